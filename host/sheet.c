#include "sheet.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "words.h"

static_assert(sizeof(struct packed) == 72 && sizeof(struct book_entry) == 32,
              "there may be millions of them");

/* --- ids -----------------------------------------------------------------------------------------
 */

#define HEX_NONE 0x80

/* Value of a digit, HEX_NONE of any other character. */
static inline unsigned char hex_value(char c) {
    unsigned char digit = (unsigned char)(c - '0');
    unsigned char letter = (unsigned char)(c - 'a');
    return digit < 10 ? digit : letter < 6 ? (unsigned char)(letter + 10) : HEX_NONE;
}

/* False when it is not a UUID in lower case, which alone comes back as it was. */
static bool id_parse(const char *id, unsigned char bytes[16]) {
    static const unsigned char at[16] = {0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34};
    if (strnlen(id, ID_SIZE) != ID_SIZE - 1 || id[8] != '-' || id[13] != '-' || id[18] != '-' ||
        id[23] != '-')
        return false;
    unsigned wrong = 0;
    for (size_t i = 0; i < 16; i++) {
        unsigned high = hex_value(id[at[i]]);
        unsigned low = hex_value(id[at[i] + 1]);
        wrong |= high | low;
        bytes[i] = (unsigned char)((high << 4 | low) & 0xFF);
    }
    return !(wrong & HEX_NONE);
}

static void id_print(const unsigned char bytes[16], char id[ID_SIZE]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *id++ = '-';
        *id++ = digits[bytes[i] >> 4];
        *id++ = digits[bytes[i] & 15];
    }
    *id = '\0';
}

void id_key_of(struct id_key *key, const char *id) {
    key->text = NULL;
    if (!id_parse(id, key->bytes)) {
        uint64_t hash[2] = {UINT64_C(0xCBF29CE484222325), 1};
        for (const char *c = id; *c; c++)
            hash[0] = (hash[0] ^ (unsigned char)*c) * UINT64_C(0x100000001B3);
        memcpy(key->bytes, hash, sizeof key->bytes);
        key->text = id;
    }
    uint32_t parts[4];
    memcpy(parts, key->bytes, sizeof parts);
    key->mark = parts[0] ^ parts[1] ^ parts[2] ^ parts[3];
}

void entry_key(const struct book_entry *entry, struct id_key *key) {
    memcpy(key->bytes, entry->packed->id, sizeof key->bytes);
    key->mark = entry->mark;
    key->text = entry->packed->text_id ? entry->packed->rare->id : NULL;
}

bool entry_has_id(const struct book_entry *entry, const struct id_key *key) {
    const struct packed *packed = entry->packed;
    if (entry->mark != key->mark || packed->text_id != (key->text != NULL))
        return false;
    return key->text ? strcmp(packed->rare->id, key->text) == 0
                     : memcmp(packed->id, key->bytes, sizeof packed->id) == 0;
}

void entry_id(const struct book_entry *entry, char id[ID_SIZE]) {
    const struct packed *packed = entry->packed;
    if (packed->text_id)
        memcpy(id, packed->rare->id, ID_SIZE);
    else
        id_print(packed->id, id);
}

/* --- packing -------------------------------------------------------------------------------------
 */

static bool spans_valid_for(const struct constraint *constraint) {
    return constraint->valid_for_ms > 0 &&
           constraint->invalid_at.ms - constraint->valid_at.ms == constraint->valid_for_ms;
}

static bool is_rare(const struct constraint *constraint, const struct id_key *key) {
    const struct wish *wish = &constraint->wish;
    return wish->has_min_soc || wish->has_max_soc || constraint->has_current || key->text ||
           (constraint->valid_for_ms != 0 && !spans_valid_for(constraint));
}

static void fill_rare(struct rare *rare, const struct constraint *constraint) {
    *rare = (struct rare){.min_soc = constraint->wish.min_soc,
                          .max_soc = constraint->wish.max_soc,
                          .has_min_soc = constraint->wish.has_min_soc,
                          .has_max_soc = constraint->wish.has_max_soc,
                          .valid_for_ms = constraint->valid_for_ms};
    memcpy(rare->max_current, constraint->max_current, sizeof rare->max_current);
    snprintf(rare->id, sizeof rare->id, "%s", constraint->id);
}

static int32_t power_kept(bool has, int32_t power_w) {
    if (!has)
        return ENTRY_NO_POWER;
    return power_w == ENTRY_NO_POWER ? -POWER_UNBOUNDED : power_w;
}

bool entry_fill(struct book_entry *entry, const struct constraint *constraint) {
    const struct wish *wish = &constraint->wish;
    struct id_key key;
    id_key_of(&key, constraint->id);
    bool rare = is_rare(constraint, &key);
    struct packed *packed = malloc(sizeof *packed + (rare ? sizeof packed->rare[0] : 0));
    if (!packed)
        return false;
    *packed = (struct packed){
        .rank = wish->rank,
        .valid_at = constraint->valid_at,
        .invalid_at = constraint->invalid_at,
        .created_at = constraint->created_at,
        .words = words_of(constraint->created_by, constraint->policy_key, constraint->reason),
        .priority = wish->priority,
        .valid_for = constraint->valid_for_ms > 0,
        .durable = constraint->durable,
        .by_host = constraint->by_host,
        .has_current = constraint->has_current,
        .has_rare = rare,
        .text_id = key.text != NULL,
        .scope = constraint->scope};
    if (!packed->words) {
        free(packed);
        return false;
    }
    memcpy(packed->id, key.bytes, sizeof packed->id);
    if (rare)
        fill_rare(packed->rare, constraint);
    *entry = (struct book_entry){.packed = packed,
                                 .exclusive = wish->exclusive,
                                 .clamp = wish->on_conflict == ON_CONFLICT_CLAMP,
                                 .has_soc = wish->has_min_soc || wish->has_max_soc,
                                 .mark = key.mark,
                                 .set = power_kept(wish->has_set, wish->set),
                                 .min = power_kept(wish->has_min, wish->min),
                                 .max = power_kept(wish->has_max, wish->max)};
    return true;
}

bool entry_has_min_soc(const struct book_entry *entry) {
    return entry->has_soc && entry->packed->rare->has_min_soc;
}

bool entry_has_max_soc(const struct book_entry *entry) {
    return entry->has_soc && entry->packed->rare->has_max_soc;
}

bool entry_keeps(const struct book_entry *entry) {
    const struct packed *packed = entry->packed;
    return !packed->by_host && !words_policy_key(packed->words)[0];
}

bool entry_is_of(const struct book_entry *entry, const char *created_by) {
    return strcmp(words_created_by(entry->packed->words), created_by) == 0;
}

void entry_read(const struct book_entry *entry, struct constraint *constraint) {
    const struct packed *packed = entry->packed;
    *constraint = (struct constraint){.valid_at = packed->valid_at,
                                      .invalid_at = packed->invalid_at,
                                      .created_at = packed->created_at,
                                      .durable = packed->durable,
                                      .by_host = packed->by_host,
                                      .scope = packed->scope,
                                      .has_current = packed->has_current};
    atomic_init(&constraint->references, 1);
    entry_id(entry, constraint->id);
    entry_wish(entry, &constraint->wish);
    constraint->wish.rank = packed->rank;
    constraint->wish.priority = packed->priority;
    constraint->wish.min_gate_closed = constraint->wish.max_gate_closed = false;
    text_copy(constraint->created_by, sizeof constraint->created_by,
              words_created_by(packed->words));
    text_copy(constraint->policy_key, sizeof constraint->policy_key,
              words_policy_key(packed->words));
    text_copy(constraint->reason, sizeof constraint->reason, words_reason(packed->words));
    if (packed->has_rare) {
        memcpy(constraint->max_current, packed->rare->max_current, sizeof constraint->max_current);
        constraint->valid_for_ms = packed->rare->valid_for_ms;
    } else if (packed->valid_for) {
        constraint->valid_for_ms = packed->invalid_at.ms - packed->valid_at.ms;
    }
}

struct constraint *entry_constraint(const struct book_entry *entry) {
    struct constraint *constraint = malloc(sizeof *constraint);
    if (constraint)
        entry_read(entry, constraint);
    return constraint;
}

void packed_free(struct packed *packed) {
    words_release(packed->words);
    free(packed);
}

void entry_set_clock(struct book_entry *entry, int64_t ms) {
    const int64_t most = (INT64_C(1) << 47) - 1;
    if (ms > most)
        ms = most;
    else if (ms < -most)
        ms = -most;
    entry->clock_low = (uint16_t)(ms & 0xFFFF);
    entry->clock_high = (int32_t)((ms - entry->clock_low) / 65536);
}

int entry_order(const struct book_entry *a, const struct book_entry *b) {
    const struct packed *one = a->packed;
    const struct packed *other = b->packed;
    if (one->priority != other->priority)
        return one->priority > other->priority ? -1 : 1;
    if (one->rank != other->rank)
        return one->rank > other->rank ? -1 : 1;
    return 0;
}

/* --- sheets --------------------------------------------------------------------------------------
 */

struct sheet *sheet_new(size_t capacity) {
    struct sheet *sheet = malloc(sizeof *sheet + capacity * sizeof sheet->entries[0]);
    if (!sheet)
        return NULL;
    sheet->next = NULL;
    sheet->dropped = NULL;
    sheet->count = 0;
    sheet->capacity = capacity;
    atomic_init(&sheet->references, 1);
    return sheet;
}

struct sheet *sheet_hold(struct sheet *sheet) {
    if (sheet)
        atomic_fetch_add_explicit(&sheet->references, 1, memory_order_relaxed);
    return sheet;
}

const struct book_entry *sheet_find(const struct sheet *sheet, const struct id_key *key) {
    for (size_t i = 0; sheet && i < sheet->count; i++)
        if (sheet->entries[i].mark == key->mark && entry_has_id(&sheet->entries[i], key))
            return &sheet->entries[i];
    return NULL;
}

void sheet_release(struct sheet *sheet) {
    while (sheet && atomic_fetch_sub_explicit(&sheet->references, 1, memory_order_acq_rel) == 1) {
        struct sheet *next = sheet->next;
        for (struct packed *packed = sheet->dropped, *after; packed; packed = after) {
            after = packed->next;
            packed_free(packed);
        }
        free(sheet);
        sheet = next;
    }
}

struct sorted { /* so that sorting touches no other memory */
    int32_t priority;
    uint32_t index;
    uint64_t rank;
};

static int sorted_order(const void *a, const void *b) {
    const struct sorted *one = a;
    const struct sorted *other = b;
    if (one->priority != other->priority)
        return one->priority > other->priority ? -1 : 1;
    if (one->rank != other->rank)
        return one->rank > other->rank ? -1 : 1;
    return one->index < other->index ? -1 : 1; /* of one rank the later goes behind */
}

void sheet_sort(struct sheet *sheet) {
    struct sorted order[ARBITER_WISHES];
    struct book_entry copy[ARBITER_WISHES];
    assert(sheet->count <= ARBITER_WISHES);
    for (size_t i = 0; i < sheet->count; i++) {
        const struct packed *packed = sheet->entries[i].packed;
        order[i] = (struct sorted){packed->priority, (uint32_t)i, packed->rank};
    }
    qsort(order, sheet->count, sizeof *order, sorted_order);
    memcpy(copy, sheet->entries, sheet->count * sizeof *copy);
    for (size_t i = 0; i < sheet->count; i++)
        sheet->entries[i] = copy[order[i].index];
}
