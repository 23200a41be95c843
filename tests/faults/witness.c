#include "witness.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_webhooks.h"

#define ROUND_MAXIMUM 12 /* changes under way together */
#define CHANGE_SIZE   4  /* constraints in one */
#define TARGET        "11111111-2222-4333-8444-555555555555"
#define OWNER_NAME    "witness" /* the token that receipts belong to */
#define BORN          INT64_C(1790000000000)

enum kind {
    KIND_CONSTRAINT,
    KIND_TEXT,
    KIND_CLUSTER,
    KIND_DEVICE,
    KIND_ACCOUNT,
    KIND_TOKEN,
    KIND_RECEIPT,
    KIND_ID,
    KIND_WEBHOOK,
    KIND_DELIVERY, /* of the webhook of the same index */
    KIND_COUNT
};

static const struct {
    const char *name;
    int slots;
} kinds[KIND_COUNT] = {
    {"constraint", 24}, {"text", 8},    {"cluster", 5}, {"device", 5},  {"account", 4},
    {"token", 5},       {"receipt", 6}, {"id", 5},      {"webhook", 3}, {"delivery", 3},
};

#define SLOTS_MAXIMUM 24

struct version {
    bool present;
    uint64_t number;            /* what it says is made of that */
    char text[TOKEN_TEXT_SIZE]; /* of a token; of an account or id: its UUID */
};

struct slot {
    struct version known, coming;
    int change; /* which is under way for it; -1: none */
};

struct witness {
    uint64_t random, number;
    struct slot slots[KIND_COUNT][SLOTS_MAXIMUM];
    struct version seen[KIND_COUNT][SLOTS_MAXIMUM]; /* by witness_look() */
    char owner[RECEIPT_OWNER_SIZE];                 /* id of its token; "": not made yet */
    int changes;                                    /* of this round */
    enum err results[ROUND_MAXIMUM];
    int pending;
    pthread_mutex_t lock; /* of the two above */
    pthread_cond_t wake;
    struct answer { /* context of one `done` */
        struct witness *witness;
        int change;
    } contexts[ROUND_MAXIMUM];
};

uint64_t witness_random(struct witness *witness, uint64_t below) {
    witness->random ^= witness->random >> 12; /* xorshift64*, Vigna 2014 */
    witness->random ^= witness->random << 25;
    witness->random ^= witness->random >> 27;
    return (witness->random * UINT64_C(2685821657736338717) >> 16) % below;
}

struct witness *witness_new(uint64_t seed) {
    struct witness *witness = calloc(1, sizeof *witness);
    if (!witness)
        abort();
    pthread_mutex_init(&witness->lock, NULL);
    pthread_cond_init(&witness->wake, NULL);
    witness->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    witness_forget(witness);
    return witness;
}

void witness_free(struct witness *witness) {
    pthread_cond_destroy(&witness->wake);
    pthread_mutex_destroy(&witness->lock);
    free(witness);
}

void witness_forget(struct witness *witness) {
    witness->owner[0] = '\0';
    memset(witness->slots, 0, sizeof witness->slots);
    for (int kind = 0; kind < KIND_COUNT; kind++)
        for (int i = 0; i < SLOTS_MAXIMUM; i++)
            witness->slots[kind][i].change = -1;
}

int witness_count(const struct witness *witness) {
    int count = 0;
    for (int kind = 0; kind < KIND_COUNT; kind++)
        for (int i = 0; i < kinds[kind].slots; i++)
            count += witness->slots[kind][i].known.present;
    return count;
}

/* --- names and contents ----------------------------------------------------------------------- */

static void slot_id(enum kind kind, int slot, char id[ID_SIZE]) {
    snprintf(id, ID_SIZE, "00000000-0000-4000-8%03d-%012d", (int)kind, slot);
}

static void slot_key(enum kind kind, int slot, char key[32]) {
    snprintf(key, 32, "%s-%d", kinds[kind].name, slot);
}

static struct constraint constraint_of(int slot, uint64_t number) {
    struct constraint constraint = {
        .wish = {.priority = (int32_t)(number % 4000),
                 .rank = number,
                 .has_max = true,
                 .max = (int32_t)(number % 100000),
                 .has_min = number % 3 == 0,
                 .min = -(int32_t)(number % 5000)},
        .valid_at = {BORN},
        .invalid_at = {BORN + (int64_t)number},
        .created_at = {BORN},
        .created_by = "token:witness",
    };
    constraint.scope = number % 4 == 0 ? SCOPE_CONNECTION : SCOPE_NONE;
    snprintf(constraint.reason, sizeof constraint.reason, "version %llu",
             (unsigned long long)number);
    slot_id(KIND_CONSTRAINT, slot, constraint.id);
    return constraint;
}

static bool constraint_same(const struct constraint *a, const struct constraint *b) {
    return a->wish.priority == b->wish.priority && a->wish.rank == b->wish.rank &&
           a->wish.has_max == b->wish.has_max && a->wish.max == b->wish.max &&
           a->wish.has_min == b->wish.has_min && (!a->wish.has_min || a->wish.min == b->wish.min) &&
           a->scope == b->scope && a->valid_at.ms == b->valid_at.ms &&
           a->invalid_at.ms == b->invalid_at.ms && strcmp(a->reason, b->reason) == 0 &&
           strcmp(a->created_by, b->created_by) == 0;
}

static void content_of(uint64_t number, char text[400]) {
    int length = snprintf(text, 400, "{\"v\":%llu,\"fill\":\"", (unsigned long long)number);
    memset(text + length, 'a' + (int)(number % 26), 300);
    snprintf(text + length + 300, (size_t)(100 - length), "\"}");
}

static uint64_t number_in(const char *text) {
    char right[400];
    uint64_t number = text && strncmp(text, "{\"v\":", 5) == 0 ? strtoull(text + 5, NULL, 10) : 0;
    content_of(number, right);
    return text && strcmp(text, right) == 0 ? number : UINT64_MAX;
}

static struct receipt receipt_of(const struct witness *witness, int slot, uint64_t number) {
    struct receipt receipt = {.created_at = {BORN}, .status = 201};
    memcpy(receipt.owner, witness->owner, sizeof receipt.owner);
    slot_key(KIND_RECEIPT, slot, receipt.key);
    memcpy(receipt.fingerprint, &number, sizeof number);
    return receipt;
}

/* --- changing --------------------------------------------------------------------------------- */

static void answered(void *context, enum err result) {
    struct answer *answer = context;
    struct witness *witness = answer->witness;
    pthread_mutex_lock(&witness->lock);
    witness->results[answer->change] = result;
    witness->pending--;
    pthread_cond_signal(&witness->wake);
    pthread_mutex_unlock(&witness->lock);
}

static struct answer *begin(struct witness *witness, int *change) {
    *change = witness->changes++;
    witness->results[*change] = ERR_IO;
    pthread_mutex_lock(&witness->lock);
    witness->pending++;
    pthread_mutex_unlock(&witness->lock);
    witness->contexts[*change] = (struct answer){witness, *change};
    return &witness->contexts[*change];
}

/* A slot that this round has not touched yet; -1: none was found. */
static int pick(struct witness *witness, enum kind kind) {
    int slot = (int)witness_random(witness, (uint64_t)kinds[kind].slots);
    return witness->slots[kind][slot].change < 0 ? slot : -1;
}

static struct version *touch(struct witness *witness, enum kind kind, int slot, int change,
                             bool present) {
    struct slot *touched = &witness->slots[kind][slot];
    touched->change = change;
    touched->coming =
        (struct version){.present = present, .number = present ? ++witness->number : 0};
    return &touched->coming;
}

static void refused(struct answer *answer, enum err err) {
    if (err != ERR_OK)
        answered(answer, err);
}

static void change_constraints(struct witness *witness, struct store *store) {
    struct constraint *puts[CHANGE_SIZE];
    char removals[CHANGE_SIZE][ID_SIZE];
    struct store_change what = {
        .target_id = TARGET, .puts = puts, .removals = (const char(*)[ID_SIZE])removals};
    struct receipt receipt;
    int change;
    struct answer *answer = begin(witness, &change);
    int parts = 1 + (int)witness_random(witness, CHANGE_SIZE);
    for (int i = 0; i < parts; i++) {
        int slot = pick(witness, KIND_CONSTRAINT);
        if (slot < 0)
            continue;
        bool there = witness->slots[KIND_CONSTRAINT][slot].known.present;
        if (there && witness_random(witness, 3) == 0) {
            touch(witness, KIND_CONSTRAINT, slot, change, false);
            slot_id(KIND_CONSTRAINT, slot, removals[what.removal_count++]);
            continue;
        }
        const struct version *version = touch(witness, KIND_CONSTRAINT, slot, change, true);
        struct constraint constraint = constraint_of(slot, version->number);
        puts[what.put_count] = constraint_new(&constraint);
        if (!puts[what.put_count]) { /* never asked for */
            witness->slots[KIND_CONSTRAINT][slot].change = -1;
            continue;
        }
        what.put_count++;
    }
    int slot = witness->owner[0] ? pick(witness, KIND_RECEIPT) : -1;
    if (slot >= 0 && witness->slots[KIND_RECEIPT][slot].known.present) {
        receipt = receipt_of(witness, slot, 0);
        what.forget = &receipt;
        touch(witness, KIND_RECEIPT, slot, change, false);
    } else if (slot >= 0) {
        receipt =
            receipt_of(witness, slot, touch(witness, KIND_RECEIPT, slot, change, true)->number);
        what.receipt = &receipt;
    }
    refused(answer, store_change_constraints(store, &what, answered, answer));
    for (size_t i = 0; i < what.put_count; i++)
        constraint_release(puts[i]);
}

static void change_text(struct witness *witness, struct store *store) {
    int change, slot = pick(witness, KIND_TEXT);
    char key[32], content[400];
    if (slot < 0)
        return;
    struct answer *answer = begin(witness, &change);
    bool present = witness_random(witness, 4) > 0;
    content_of(touch(witness, KIND_TEXT, slot, change, present)->number, content);
    slot_key(KIND_TEXT, slot, key);
    refused(answer,
            store_put_text(store, "witness", key, present ? content : NULL, answered, answer));
}

static void change_thing(struct witness *witness, struct store *store, enum kind kind) {
    int change, slot = pick(witness, kind);
    char id[ID_SIZE], key[32], content[400];
    if (slot < 0)
        return;
    struct answer *answer = begin(witness, &change);
    bool present = witness_random(witness, 4) > 0;
    const struct version *version = touch(witness, kind, slot, change, present);
    slot_id(kind, slot, id);
    slot_key(kind, slot, key);
    content_of(version->number, content);
    const struct stored_thing thing = {.is_device = kind == KIND_DEVICE,
                                       .id = id,
                                       .key = key,
                                       .owner = kind == KIND_DEVICE ? TARGET : ACCOUNT_ROOT,
                                       .parent_id = "",
                                       .entry = content,
                                       .revision = (int64_t)version->number,
                                       .created_at = {BORN}};
    refused(answer, present
                        ? store_put_thing(store, &thing, answered, answer)
                        : store_remove_thing(store, thing.is_device, id, NULL, answered, answer));
}

/* What blocks stands alone: those before it have been answered when it begins to wait. */
static void change_token(struct witness *witness, struct store *store) {
    int change, slot = pick(witness, KIND_TOKEN);
    char key[32], id[16];
    struct token wanted = {.max_priority = 1000 + slot, .scopes = TOKEN_SCOPES_DEFAULT};
    if (slot < 0)
        return;
    const struct version *known = &witness->slots[KIND_TOKEN][slot].known;
    bool present = !known->present;
    snprintf(id, sizeof id, "%.12s", known->text + strlen("derd_"));
    struct answer *answer = begin(witness, &change);
    struct version *version = touch(witness, KIND_TOKEN, slot, change, present);
    slot_key(KIND_TOKEN, slot, key);
    answered(answer, present ? store_token_create(store, key, NULL, &wanted, version->text, NULL)
                             : store_token_revoke(store, id, NULL));
}

static void change_account(struct witness *witness, struct store *store) {
    int change, slot = pick(witness, KIND_ACCOUNT);
    if (slot < 0)
        return;
    const struct version *known = &witness->slots[KIND_ACCOUNT][slot].known;
    bool there = known->present;
    struct account account = {.parent = ACCOUNT_ROOT};
    snprintf(account.id, sizeof account.id, "%.36s", known->text);
    slot_key(KIND_ACCOUNT, slot, account.key);
    struct answer *answer = begin(witness, &change);
    bool present = !there || witness_random(witness, 3) > 0;
    struct version *version = touch(witness, KIND_ACCOUNT, slot, change, present);
    snprintf(account.name, sizeof account.name, "%llu", (unsigned long long)version->number);
    enum err err = !present ? store_account_remove(store, account.id, 0, NULL)
                   : there  ? store_account_change(store, &account, NULL)
                            : store_account_create(store, &account, NULL);
    snprintf(version->text, sizeof version->text, "%s", account.id);
    answered(answer, err);
}

static void change_id(struct witness *witness, struct store *store) {
    int change, slot = pick(witness, KIND_ID);
    char key[32];
    if (slot < 0 || witness->slots[KIND_ID][slot].known.present)
        return;
    struct answer *answer = begin(witness, &change);
    struct version *version = touch(witness, KIND_ID, slot, change, true);
    slot_key(KIND_ID, slot, key);
    answered(answer, store_id(store, "witness", key, version->text));
}

static void change_webhook(struct witness *witness, struct store *store) {
    int change, slot = pick(witness, KIND_WEBHOOK);
    char id[ID_SIZE], content[400];
    if (slot < 0 || witness->slots[KIND_DELIVERY][slot].change >= 0)
        return;
    struct answer *answer = begin(witness, &change);
    bool there = witness->slots[KIND_WEBHOOK][slot].known.present;
    bool present = !there || witness_random(witness, 4) > 0;
    content_of(touch(witness, KIND_WEBHOOK, slot, change, present)->number, content);
    slot_id(KIND_WEBHOOK, slot, id);
    if (!present) /* its deliveries go along */
        touch(witness, KIND_DELIVERY, slot, change, false);
    answered(answer, present ? store_put_webhook(store, id, ACCOUNT_ROOT, content,
                                                 (struct wall){BORN}, NULL)
                             : store_remove_webhook(store, id, NULL));
}

static void change_delivery(struct witness *witness, struct store *store) {
    int change, slot = pick(witness, KIND_DELIVERY);
    char content[400];
    if (slot < 0 || witness->slots[KIND_WEBHOOK][slot].change >= 0 ||
        !witness->slots[KIND_WEBHOOK][slot].known.present)
        return;
    struct answer *answer = begin(witness, &change);
    struct delivery delivery = {.type = "alarm", .queued_at = {BORN}};
    uint64_t number = touch(witness, KIND_DELIVERY, slot, change, true)->number;
    content_of(number, content);
    delivery.body = content;
    slot_id(KIND_WEBHOOK, slot, delivery.webhook_id);
    snprintf(delivery.message_id, sizeof delivery.message_id, "%llu", (unsigned long long)number);
    answered(answer, store_queue_deliveries(store, &delivery, 1, NULL));
}

/* Those that were acknowledged are known from now on; the rest may be there or not. */
static int take_answers(struct witness *witness) {
    int count = 0;
    pthread_mutex_lock(&witness->lock);
    while (witness->pending)
        pthread_cond_wait(&witness->wake, &witness->lock);
    pthread_mutex_unlock(&witness->lock);
    for (int i = 0; i < witness->changes; i++)
        count += witness->results[i] == ERR_OK;
    for (int kind = 0; kind < KIND_COUNT; kind++)
        for (int i = 0; i < kinds[kind].slots; i++) {
            struct slot *slot = &witness->slots[kind][i];
            if (slot->change < 0 || witness->results[slot->change] != ERR_OK)
                continue;
            slot->known = slot->coming;
            slot->change = -1;
        }
    return count;
}

static void make_owner(struct witness *witness, struct store *store) {
    char text[TOKEN_TEXT_SIZE];
    struct token owner = {.scopes = TOKEN_SCOPES_ALL};
    struct token token;
    if (store_token_create(store, OWNER_NAME, NULL, &owner, text, NULL) == ERR_OK &&
        store_token_check(store, text, &token))
        memcpy(witness->owner, token.id, sizeof token.id);
}

int witness_change(struct witness *witness, struct store *store) {
    if (!witness->owner[0])
        make_owner(witness, store);
    int count = 1 + (int)witness_random(witness, ROUND_MAXIMUM - 1);
    witness->changes = 0;
    for (int i = 0; i < count; i++)
        switch (witness_random(witness, 14)) {
        case 0:
        case 1:
            change_text(witness, store);
            break;
        case 2:
            change_thing(witness, store, KIND_CLUSTER);
            break;
        case 3:
            change_thing(witness, store, KIND_DEVICE);
            break;
        case 4:
            change_token(witness, store);
            break;
        case 5:
            change_account(witness, store);
            break;
        case 6:
            change_id(witness, store);
            break;
        case 7:
            change_webhook(witness, store);
            break;
        case 8:
            change_delivery(witness, store);
            break;
        default:
            change_constraints(witness, store);
            break;
        }
    return take_answers(witness);
}

/* --- looking ---------------------------------------------------------------------------------- */

static int slot_of(enum kind kind, const char *id) {
    char right[ID_SIZE];
    for (int i = 0; i < kinds[kind].slots; i++) {
        slot_id(kind, i, right);
        if (strcmp(right, id) == 0)
            return i;
    }
    return -1;
}

static void see(struct witness *witness, enum kind kind, int slot, uint64_t number,
                const char *text) {
    if (slot < 0)
        return;
    struct version *version = &witness->seen[kind][slot];
    *version = (struct version){.present = true, .number = number};
    snprintf(version->text, sizeof version->text, "%s", text);
}

static void see_constraint(void *context, const char *target_id, const struct constraint *row) {
    int slot = slot_of(KIND_CONSTRAINT, row->id);
    struct constraint right = constraint_of(slot, row->wish.rank);
    bool same = constraint_same(row, &right) && strcmp(target_id, TARGET) == 0;
    see(context, KIND_CONSTRAINT, slot, same ? row->wish.rank : UINT64_MAX, "");
}

static void see_thing(void *context, const struct stored_thing *thing) {
    enum kind kind = thing->is_device ? KIND_DEVICE : KIND_CLUSTER;
    uint64_t number = number_in(thing->entry);
    see(context, kind, slot_of(kind, thing->id),
        (uint64_t)thing->revision == number ? number : UINT64_MAX, "");
}

static void see_webhook(void *context, const char *id, const char *account, const char *document) {
    (void)account;
    see(context, KIND_WEBHOOK, slot_of(KIND_WEBHOOK, id), number_in(document), "");
}

/* A token has no number: the text that is accepted is the right one. */
static void see_token(struct witness *witness, struct store *store, int slot) {
    const struct version *both[] = {&witness->slots[KIND_TOKEN][slot].known,
                                    &witness->slots[KIND_TOKEN][slot].coming};
    char key[32];
    struct token token;
    slot_key(KIND_TOKEN, slot, key);
    for (int i = 0; i < 2; i++)
        if (both[i]->text[0] && store_token_check(store, both[i]->text, &token) &&
            strcmp(token.name, key) == 0 && token.max_priority == 1000 + slot &&
            token.scopes == TOKEN_SCOPES_DEFAULT)
            see(witness, KIND_TOKEN, slot, both[i]->number, both[i]->text);
}

/* One whose secret nobody got, since the power went before: it is in the list, and of no use. */
static void drop_orphans(struct witness *witness, struct store *store) {
    struct token *tokens;
    size_t count;
    if (store_token_list(store, &tokens, &count) != ERR_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        int slot = 0;
        bool ours = sscanf(tokens[i].name, "token-%d", &slot) == 1;
        bool orphan = strcmp(tokens[i].name, OWNER_NAME) == 0 && !witness->owner[0];
        if (orphan && store_token_revoke(store, tokens[i].id, NULL) != ERR_OK)
            abort();
        if (ours && !witness->seen[KIND_TOKEN][slot].present &&
            store_token_revoke(store, tokens[i].id, NULL) != ERR_OK)
            abort();
    }
    free(tokens);
}

static void see_rest(struct witness *witness, struct store *store) {
    char key[32], id[ID_SIZE];
    struct account account;
    struct receipt receipt;
    struct delivery *deliveries;
    size_t count;
    for (int i = 0; i < kinds[KIND_TEXT].slots; i++) {
        slot_key(KIND_TEXT, i, key);
        char *text = store_get_text(store, "witness", key);
        if (text)
            see(witness, KIND_TEXT, i, number_in(text), "");
        free(text);
    }
    for (int i = 0; i < kinds[KIND_TOKEN].slots; i++)
        see_token(witness, store, i);
    for (int i = 0; i < kinds[KIND_ACCOUNT].slots; i++) {
        slot_key(KIND_ACCOUNT, i, key);
        if (store_account_find(store, key, &account))
            see(witness, KIND_ACCOUNT, i, strtoull(account.name, NULL, 10), account.id);
    }
    for (int i = 0; i < kinds[KIND_RECEIPT].slots; i++) {
        uint64_t number;
        slot_key(KIND_RECEIPT, i, key);
        if (store_get_receipt(store, witness->owner, key, (struct wall){BORN}, &receipt) != ERR_OK)
            continue;
        memcpy(&number, receipt.fingerprint, sizeof number);
        see(witness, KIND_RECEIPT, i, number, "");
        free(receipt.body);
    }
    for (int i = 0; i < kinds[KIND_ID].slots; i++) { /* asking for one that is missing makes it */
        const struct slot *slot = &witness->slots[KIND_ID][i];
        slot_key(KIND_ID, i, key);
        if (slot->known.present && store_id(store, "witness", key, id) == ERR_OK)
            see(witness, KIND_ID, i, slot->known.number, id);
    }
    for (int i = 0; i < kinds[KIND_DELIVERY].slots; i++) {
        slot_id(KIND_WEBHOOK, i, id);
        if (store_list_deliveries(store, id, 1, &deliveries, &count) != ERR_OK)
            continue;
        if (count)
            see(witness, KIND_DELIVERY, i, strtoull(deliveries[0].message_id, NULL, 10), "");
        free(deliveries);
    }
}

static bool is(const struct version *seen, const struct version *right, enum kind kind) {
    if (seen->present != right->present)
        return false;
    bool has_text = kind == KIND_ACCOUNT || kind == KIND_ID || kind == KIND_TOKEN;
    return !seen->present ||
           (seen->number == right->number && (!has_text || strcmp(seen->text, right->text) == 0));
}

int witness_look(struct witness *witness, struct store *store, char *text, size_t text_size) {
    int wrong = 0;
    int done[ROUND_MAXIMUM] = {0}, left[ROUND_MAXIMUM] = {0};
    memset(witness->seen, 0, sizeof witness->seen);
    if (store_load_constraints(store, see_constraint, witness) != ERR_OK ||
        store_load_things(store, see_thing, witness) != ERR_OK ||
        store_load_webhooks(store, see_webhook, witness) != ERR_OK) {
        snprintf(text, text_size, "the store cannot be read");
        return 1;
    }
    see_rest(witness, store);
    drop_orphans(witness, store);
    for (int kind = 0; kind < KIND_COUNT; kind++)
        for (int i = 0; i < kinds[kind].slots; i++) {
            struct slot *slot = &witness->slots[kind][i];
            const struct version *seen = &witness->seen[kind][i];
            bool coming = slot->change >= 0;
            bool was = is(seen, &slot->known, (enum kind)kind);
            bool became = coming && is(seen, &slot->coming, (enum kind)kind);
            if (coming && (enum kind)kind == KIND_ID) /* not asked for */
                was = true;
            if (!was && !became && wrong++ == 0)
                snprintf(text, text_size, "%s %d: %s (%llu) was acknowledged, %s (%llu) is there%s",
                         kinds[kind].name, i, slot->known.present ? "present" : "absent",
                         (unsigned long long)slot->known.number,
                         seen->present ? "present" : "absent", (unsigned long long)seen->number,
                         coming ? ", another was under way" : "");
            if (coming && was != became && (enum kind)kind != KIND_ID)
                (became ? done : left)[slot->change]++;
            slot->known = *seen;
            slot->change = -1;
        }
    for (int i = 0; i < ROUND_MAXIMUM; i++)
        if (done[i] && left[i] && wrong++ == 0)
            snprintf(text, text_size, "a change is there in pieces: %d of %d parts", done[i],
                     done[i] + left[i]);
    return wrong;
}
