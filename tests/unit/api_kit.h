/* What the tests of the API share: a home with a wallbox, a battery and a meter, a real store with
 * two tokens, an engine that decides but has no devices, the real API on a free port, and a client
 * that sends bytes as they are. */
#ifndef DERD_TESTS_API_KIT_H
#define DERD_TESTS_API_KIT_H

#include <arpa/inet.h>
#include <ftw.h>
#include <jansson.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "api/api.h"
#include "ask/ask.h"
#include "ask/ask_inventory.h"
#include "ask/ask_operator.h"
#include "ask/ask_script.h"
#include "base/text.h"
#include "directory.h"
#include "inventory_desk.h"
#include "store/store.h"
#include "token_kit.h"

#define ID_HOME    "0f8fad5b-d9cb-469f-a165-70867728950e"
#define ID_WALLBOX "7c9e6679-7425-40de-944b-e07fc1f90ae7"
#define ID_BATTERY "16fd2706-8baf-433b-82eb-8c7fada847da"
#define ID_METER   "9b2d5b0a-3f0e-4b4e-9d69-0d2c6ef6c2aa"

#define KIT_CONSTRAINTS 260

struct engine { /* the fake one: one controllable device, decided as the real one would */
    struct device_card *device;
    struct constraint *constraints[KIT_CONSTRAINTS];
    size_t count;
    uint64_t rank;
    const struct clock *clock;
    enum ask_result forced; /* answer this instead, when `force` */
    bool force;
    struct ask_terms terms; /* of the last change */
    struct receipt receipt; /* and its receipt, without the body */
    int asked;
    int nice;                   /* of the thread that asked for the last change of constraints */
    struct inventory_desk desk; /* clusters and devices */
    struct script_answer script;
    char script_text[200];
    int looked;
    pthread_mutex_t hold; /* held by a test: changes wait for it */
    atomic_int waiting;   /* how many do, or did */
};

struct kit {
    char folder[64];
    struct store *store;
    char token[TOKEN_TEXT_SIZE];      /* "ems", up to 2999 */
    char weak_token[TOKEN_TEXT_SIZE]; /* "guest", up to 999 */
    struct clock clock;
    struct directory_slot slot;
    struct engine engine;
    struct api *api;
};

/* --- the engine ------------------------------------------------------------------------------ */

static inline int kit_order(const void *a, const void *b) {
    const struct constraint *const *left = a;
    const struct constraint *const *right = b;
    return arbiter_order(&(*left)->wish, &(*right)->wish);
}

static inline int kit_item(const size_t *index, int by) {
    return by >= 0 ? (int)index[by] : by;
}

static inline void engine_publish(struct engine *engine) {
    struct now now = clock_now(engine->clock);
    struct decided *decided = decided_new(engine->count);
    struct wish *wishes = calloc(engine->count + 1, sizeof *wishes);
    struct verdict *verdicts = calloc(engine->count + 1, sizeof *verdicts);
    size_t *index = calloc(engine->count + 1, sizeof *index);
    size_t in_force = 0;
    assert_true(decided && wishes && verdicts && index);
    qsort(engine->constraints, engine->count, sizeof engine->constraints[0], kit_order);
    decided->at = now;
    decided->has_decision = true;
    decided->allowed = ranges_of(0, 11000);
    decided->type = DEVICE_CHARGING_STATION;
    decided->soc = NAN;
    decided->no_set_point = NO_SET_FOLLOWS_MAX;
    for (size_t i = 0; i < engine->count; i++) {
        struct constraint *constraint = engine->constraints[i];
        struct decided_item *item = &decided->items[i];
        item->constraint = constraint_hold(constraint);
        item->in_force = item->set_in_force =
            constraint->valid_at.ms <= now.wall.ms && now.wall.ms < constraint->invalid_at.ms;
        if (item->in_force) {
            index[in_force] = i;
            wishes[in_force++] = constraint->wish;
        }
    }
    decide(
        &(struct decide_input){
            .allowed = &decided->allowed, .wishes = wishes, .wish_count = in_force, .soc = NAN},
        &decided->decision, verdicts);
    decided->decision.set_by = kit_item(index, decided->decision.set_by);
    decided->decision.min_by = kit_item(index, decided->decision.min_by);
    decided->decision.max_by = kit_item(index, decided->decision.max_by);
    for (size_t i = 0; i < in_force; i++) {
        verdicts[i].against = kit_item(index, verdicts[i].against);
        decided->items[index[i]].verdict = verdicts[i];
    }
    device_card_decide(engine->device, decided);
    free(wishes);
    free(verdicts);
    free(index);
}

static inline size_t engine_find(const struct engine *engine, const char *id) {
    for (size_t i = 0; i < engine->count; i++)
        if (strcmp(engine->constraints[i]->id, id) == 0)
            return i;
    return SIZE_MAX;
}

static inline void engine_clear(struct engine *engine) {
    for (size_t i = 0; i < engine->count; i++)
        constraint_release(engine->constraints[i]);
    engine->count = 0;
    engine->force = false;
    engine->asked = 0;
    engine_publish(engine);
}

void ask_inventory(struct engine *engine, const struct inventory_change *change,
                   struct report *mistakes, bool dry, int64_t patience_ms,
                   struct inventory_answer *answer) {
    (void)patience_ms;
    desk_ask(&engine->desk, change, mistakes, dry, answer);
}

void ask_script(struct engine *engine, enum script_kind kind, const char *name, const char *text,
                int64_t patience_ms, struct script_answer *answer) {
    (void)kind;
    (void)name;
    (void)patience_ms;
    *answer = engine->script; /* as the test wants it; its mistakes are moved out */
    report_init(&answer->mistakes);
    report_move(&answer->mistakes, &engine->script.mistakes, "");
    snprintf(engine->script_text, sizeof engine->script_text, "%s", text ? text : "");
}

bool ask_script_look(struct engine *engine, int64_t patience_ms) {
    (void)patience_ms;
    engine->looked++;
    return true;
}

/* No cluster of this home has a grid operator's box. */
void ask_operator(struct engine *engine, const char *cluster_id, const struct asker *asker,
                  const struct operator_statement *statement, int64_t version, int64_t patience_ms,
                  struct operator_answer *answer) {
    (void)engine, (void)cluster_id, (void)asker, (void)statement, (void)version, (void)patience_ms;
    *answer = (struct operator_answer){.result = ASK_NOT_FOUND};
}

void ask_answer_free(struct ask_answer *answer) {
    report_free(&answer->mistakes);
    for (size_t i = 0; i < answer->count; i++)
        constraint_release(answer->items[i]);
}

static bool engine_forced(struct engine *engine, struct ask_answer *answer) {
    *answer = (struct ask_answer){0};
    report_init(&answer->mistakes);
    atomic_fetch_add(&engine->waiting, 1);
    pthread_mutex_lock(&engine->hold);
    pthread_mutex_unlock(&engine->hold);
    engine->asked++;
    if (!engine->force)
        return false;
    answer->result = engine->forced;
    snprintf(answer->detail, sizeof answer->detail, "as the engine says");
    if (answer->result == ASK_INVALID)
        report_add(&answer->mistakes, "/maxActivePower", "the engine does not like it");
    return true;
}

static inline void engine_put(struct engine *engine, struct constraint *constraint, size_t old) {
    if (old == SIZE_MAX) {
        assert_true(engine->count < KIT_CONSTRAINTS);
        engine->constraints[engine->count++] = constraint_hold(constraint);
    } else {
        constraint_release(engine->constraints[old]);
        engine->constraints[old] = constraint_hold(constraint);
    }
}

void ask_put_constraints(struct engine *engine, const char *target_id,
                         const struct constraint *drafts, size_t count, const struct asker *asker,
                         const struct ask_terms *terms, int64_t patience_ms,
                         struct ask_answer *answer) {
    (void)patience_ms;
    bool not_durable = engine->force && engine->forced == ASK_NOT_DURABLE;
    engine->nice = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
    engine->terms = *terms;
    if (terms->receipt) {
        engine->receipt = *terms->receipt;
        engine->receipt.body = NULL;
    }
    if (engine_forced(engine, answer) && !not_durable)
        return;
    if (strcmp(target_id, engine->device->id) != 0) {
        answer->result = ASK_NOT_FOUND;
        return;
    }
    answer->detail[0] = '\0';
    answer->result = not_durable ? ASK_NOT_DURABLE : ASK_REPLACED;
    for (size_t i = 0; i < count; i++) {
        struct constraint full = drafts[i];
        if (!full.id[0])
            uuid_make(full.id);
        size_t old = engine_find(engine, full.id);
        full.wish.rank = old == SIZE_MAX ? ++engine->rank : engine->constraints[old]->wish.rank;
        full.durable = !not_durable;
        full.created_at = clock_now(engine->clock).wall;
        memcpy(full.created_by, asker->created_by, sizeof full.created_by);
        answer->items[i] = constraint_new(&full);
        answer->created[i] = old == SIZE_MAX;
        answer->count = i + 1;
        if (old == SIZE_MAX && !not_durable)
            answer->result = ASK_CREATED;
        if (!terms->dry_run)
            engine_put(engine, answer->items[i], old);
    }
    engine_publish(engine);
}

void ask_remove_constraint(struct engine *engine, const char *target_id, const char *constraint_id,
                           const struct asker *asker, const struct ask_terms *terms,
                           int64_t patience_ms, struct ask_answer *answer) {
    (void)target_id;
    (void)asker;
    (void)patience_ms;
    engine->terms = *terms;
    if (engine_forced(engine, answer))
        return;
    size_t old = engine_find(engine, constraint_id);
    answer->detail[0] = '\0';
    answer->result = old == SIZE_MAX ? ASK_NOT_FOUND : ASK_REMOVED;
    if (old == SIZE_MAX || terms->dry_run)
        return;
    constraint_release(engine->constraints[old]);
    engine->constraints[old] = engine->constraints[--engine->count];
    engine_publish(engine);
}

/* --- the home -------------------------------------------------------------------------------- */

static inline struct device_card *kit_device(const char *id, const char *key,
                                             enum device_type type) {
    const struct card_words words = {
        .key = key, .driver = "some_driver", .link = "tcp://127.0.0.1:502"};
    struct device_card *card = device_card_new(&words, QUANTITIES_ALL);
    assert_non_null(card);
    snprintf(card->id, sizeof card->id, "%s", id);
    snprintf(card->cluster_id, sizeof card->cluster_id, "%s", ID_HOME);
    card->unit = 1;
    card->type = type;
    card->controllable = type != DEVICE_METER;
    card->has_soc = type == DEVICE_BATTERY;
    return card;
}

static inline struct flexibility kit_unknown(void) {
    struct flexibility flexibility = {.connection = CONNECTION_CONNECTING,
                                      .bound_min = -POWER_UNBOUNDED,
                                      .bound_max = POWER_UNBOUNDED};
    for (int i = 0; i < POINT_NUMBER_COUNT; i++)
        flexibility.values[i] = NAN;
    return flexibility;
}

static inline struct directory *kit_directory(struct kit *kit) {
    struct directory *directory = calloc(1, sizeof *directory);
    assert_non_null(directory);
    atomic_init(&directory->references, 1);
    directory->made_at = clock_now(&kit->clock).wall;
    directory->horizon_ms = 25 * 3600000LL;
    directory->cluster_count = 1;
    directory->device_count = 3;
    directory->script_count = 2;
    directory->clusters = calloc(1, sizeof *directory->clusters);
    directory->devices = calloc(3, sizeof *directory->devices);
    directory->scripts = calloc(2, sizeof *directory->scripts);
    assert_true(directory->clusters && directory->devices && directory->scripts);
    directory->clusters[0] = (struct cluster_card){.id = ID_HOME,
                                                   .key = "home",
                                                   .name = "Wall Street 5",
                                                   .account = "owner",
                                                   .uncontrolled = NAN,
                                                   .device_count = 3,
                                                   .slot = decided_slot_new()};
    assert_non_null(directory->clusters[0].slot);
    directory->devices[0] = kit_device(ID_WALLBOX, "wallbox", DEVICE_CHARGING_STATION);
    directory->devices[1] = kit_device(ID_BATTERY, "battery", DEVICE_BATTERY);
    directory->devices[2] = kit_device(ID_METER, "grid", DEVICE_METER);
    text_set(&directory->devices[0]->identity[0], "Maker & \"Sons\"");
    directory->scripts[0] =
        (struct script_card){.kind = SCRIPT_DRIVER,
                             .name = "some_driver",
                             .json = strdup("{\"name\":\"some_driver\",\"status\":\"active\"}")};
    directory->scripts[1] = (struct script_card){.kind = SCRIPT_POLICY,
                                                 .name = "solar_charging",
                                                 .json = strdup("{\"name\":\"solar_charging\"}")};
    directory->site_problems = strdup("[]");
    directory->site_file = strdup("The site file /etc/derd/site.lua");
    kit->engine.device = directory->devices[0];
    return directory;
}

/* Measured values of the wallbox, taken `age_ms` ago and good for 10 s. */
static inline void kit_measure(struct kit *kit, double power, int64_t age_ms) {
    struct flexibility flexibility = kit_unknown();
    int64_t at = clock_now(&kit->clock).wall.ms - age_ms;
    flexibility.connection = age_ms < 10000 ? CONNECTION_ONLINE : CONNECTION_OFFLINE;
    flexibility.values[POINT_ACTIVE_POWER] = power;
    flexibility.updated_ms[POINT_ACTIVE_POWER] = at;
    flexibility.values[POINT_VOLTAGE_L1] = 230.4;
    flexibility.updated_ms[POINT_VOLTAGE_L1] = at;
    flexibility.values[POINT_STATE] = STATE_CHARGING;
    flexibility.updated_ms[POINT_STATE] = at;
    flexibility.updated_at.ms = at;
    flexibility.invalid_at.ms = at + 10000;
    ranges_add(&flexibility.allowed, 0, 0);
    ranges_add(&flexibility.allowed, 1380, 11000);
    flexibility.command = COMMAND_CONFIRMED;
    flexibility.following = FOLLOWING_BELOW;
    flexibility.command_since.ms = at;
    flexibility.bound_max = 4200;
    live_publish(kit->engine.device->live, &flexibility);
}

static inline void kit_listen(struct kit *kit, int threads) {
    char why[200];
    struct api_settings settings = {.listen = "127.0.0.1:0",
                                    .web_root = DERD_SOURCE_DIR "/web",
                                    .threads = threads,
                                    .engine = &kit->engine,
                                    .directory = &kit->slot,
                                    .store = kit->store,
                                    .clock = &kit->clock,
                                    .rate = 1e6, /* tests ask as fast as they can */
                                    .burst = 1e6};
    if (api_start(&kit->api, &settings, why, sizeof why) != ERR_OK)
        fail_msg("%s", why);
    assert_true(api_port(kit->api) > 0);
}

static inline void kit_start(struct kit *kit, int threads, bool publish) {
    struct report report;
    report_init(&report);
    *kit = (struct kit){.folder = "/tmp/derd-api-XXXXXX"};
    assert_non_null(mkdtemp(kit->folder));
    clock_init(&kit->clock, (struct wall){0}, 0);
    assert_int_equal(store_open(&kit->store, kit->folder, &report), ERR_OK);
    report_free(&report);
    assert_int_equal(token_create(kit->store, "ems", "owner", 2999, kit->token), ERR_OK);
    assert_int_equal(
        token_create_with(kit->store, "guest", "owner", 999, TOKEN_SCOPES_DEFAULT, kit->weak_token),
        ERR_OK);
    directory_slot_init(&kit->slot);
    kit->engine.clock = &kit->clock;
    desk_open(&kit->engine.desk, &kit->slot, ID_HOME);
    pthread_mutex_init(&kit->engine.hold, NULL);
    if (publish) {
        directory_publish(&kit->slot, kit_directory(kit));
        engine_publish(&kit->engine);
        kit_measure(kit, 4140, 0);
    }
    kit_listen(kit, threads);
}

static inline int kit_remove_one(const char *path, const struct stat *status, int flag,
                                 struct FTW *at) {
    (void)status;
    (void)flag;
    (void)at;
    return remove(path);
}

static inline void kit_stop(struct kit *kit) {
    api_stop(kit->api);
    for (size_t i = 0; i < kit->engine.count; i++)
        constraint_release(kit->engine.constraints[i]);
    directory_slot_free(&kit->slot);
    desk_close(&kit->engine.desk);
    store_close(kit->store);
    nftw(kit->folder, kit_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- the client ------------------------------------------------------------------------------ */

struct answer {
    int status;
    char head[4096]; /* without the empty line */
    char *body;      /* NUL-terminated */
    size_t length;   /* of the body */
    bool more;       /* bytes of a further answer came with it */
    bool closed;     /* the connection ended after it */
};

static inline int client_connect(const struct kit *kit) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)api_port(kit->api)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 20};
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static inline void client_send(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the server may have answered and closed already */
        bytes += sent;
        length -= (size_t)sent;
    }
}

static inline void answer_free(struct answer *answer) {
    free(answer->body);
    *answer = (struct answer){0};
}

/* Value of a header of the answer into `value`, or "". */
static inline const char *answer_header(const struct answer *answer, const char *name,
                                        char value[512]) {
    char start[80];
    snprintf(start, sizeof start, "\r\n%s: ", name);
    const char *found = strcasestr(answer->head, start);
    value[0] = '\0';
    if (found) {
        found += strlen(start);
        size_t length = strcspn(found, "\r");
        assert_true(length < 512);
        memcpy(value, found, length);
        value[length] = '\0';
    }
    return value;
}

/* Reads one answer; a HEAD's, 204's and 304's has no body. */
static inline void client_read(int fd, bool no_body, struct answer *answer) {
    size_t capacity = 1 << 20;
    char *text = calloc(1, capacity);
    size_t used = 0;
    char *end = NULL;
    char length[512];
    assert_non_null(text);
    *answer = (struct answer){0};
    while (!(end = strstr(text, "\r\n\r\n"))) {
        ssize_t got = recv(fd, text + used, capacity - 1 - used, 0);
        if (got <= 0)
            fail_msg("no answer, got %zu bytes: %s", used, text);
        used += (size_t)got;
        if (strncmp(text, "HTTP/1.1 100 ", 13) == 0 && strstr(text, "\r\n\r\n")) {
            size_t skip = (size_t)(strstr(text, "\r\n\r\n") + 4 - text);
            memmove(text, text + skip, used - skip + 1);
            used -= skip;
        }
    }
    size_t head = (size_t)(end - text);
    assert_true(head < sizeof answer->head);
    memcpy(answer->head, text, head);
    assert_int_equal(sscanf(text, "HTTP/1.1 %d", &answer->status), 1);
    answer_header(answer, "Content-Length", length);
    if (!no_body && answer->status != 204 && answer->status != 304) {
        assert_true(length[0]);
        answer->length = strtoul(length, NULL, 10);
    }
    while (used < head + 4 + answer->length) {
        ssize_t got = recv(fd, text + used, capacity - 1 - used, 0);
        assert_true(got > 0);
        used += (size_t)got;
    }
    answer->more = used > head + 4 + answer->length;
    answer->body = calloc(1, answer->length + 1);
    assert_non_null(answer->body);
    memcpy(answer->body, text + head + 4, answer->length);
    char value[512];
    answer->closed = strcmp(answer_header(answer, "Connection", value), "close") == 0;
    if (answer->closed && !answer->more)
        answer->closed = recv(fd, text, 1, 0) <= 0; /* as it said */
    free(text);
}

/* One connection, these bytes, one answer. */
static inline void kit_raw(const struct kit *kit, const char *bytes, size_t length,
                           struct answer *answer) {
    int fd = client_connect(kit);
    client_send(fd, bytes, length);
    client_read(fd, strncmp(bytes, "HEAD ", 5) == 0, answer);
    close(fd);
}

static inline void kit_text(const struct kit *kit, const char *text, struct answer *answer) {
    kit_raw(kit, text, strlen(text), answer);
}

/* A request with a token, a further header line ("" or NULL: none) and, when `body` is not NULL, a
 * JSON body. */
static inline void kit_request_with(const struct kit *kit, const char *token, const char *method,
                                    const char *path, const char *header, const char *body,
                                    struct answer *answer) {
    const size_t size = 80000;
    char *text = malloc(size);
    assert_non_null(text);
    int length =
        snprintf(text, size, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s%s%s%s%s",
                 method, path, token ? "Authorization: Bearer " : "", token ? token : "",
                 token ? "\r\n" : "", header ? header : "", header && header[0] ? "\r\n" : "");
    if (body)
        length += snprintf(text + length, size - (size_t)length,
                           "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                           strlen(body), body);
    else
        length += snprintf(text + length, size - (size_t)length, "\r\n");
    assert_true((size_t)length < size);
    kit_raw(kit, text, (size_t)length, answer);
    free(text);
}

static inline void kit_request_as(const struct kit *kit, const char *token, const char *method,
                                  const char *path, const char *body, struct answer *answer) {
    kit_request_with(kit, token, method, path, NULL, body, answer);
}

static inline void kit_request(const struct kit *kit, const char *method, const char *path,
                               const char *body, struct answer *answer) {
    kit_request_as(kit, kit->token, method, path, body, answer);
}

/* The body as a tree; new reference. */
static inline json_t *answer_tree(const struct answer *answer) {
    json_error_t error;
    json_t *tree =
        json_loadb(answer->body, answer->length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!tree)
        fail_msg("%s in: %s", error.text, answer->body);
    return tree;
}

/* GET with the first token; must be 200. New reference. */
static inline json_t *kit_get(const struct kit *kit, const char *path) {
    struct answer answer;
    kit_request(kit, "GET", path, NULL, &answer);
    if (answer.status != 200)
        fail_msg("%s: %d %s", path, answer.status, answer.body);
    json_t *tree = answer_tree(&answer);
    answer_free(&answer);
    return tree;
}

/* Every answer that is no success must be a problem of this status, with all that belongs to it. */
static inline void expect_problem(struct answer *answer, int status) {
    char value[512];
    if (answer->status != status)
        fail_msg("%d, not %d: %s", answer->status, status, answer->body);
    assert_string_equal(answer_header(answer, "Content-Type", value), "application/problem+json");
    assert_true(answer_header(answer, "X-Request-Id", value)[0]);
    json_t *tree = answer_tree(answer);
    assert_string_equal(json_string_value(json_object_get(tree, "requestId")), value);
    assert_int_equal(json_integer_value(json_object_get(tree, "status")), status);
    assert_true(json_string_length(json_object_get(tree, "type")) > 0);
    assert_true(json_string_length(json_object_get(tree, "title")) > 0);
    assert_true(json_string_length(json_object_get(tree, "detail")) > 0);
    assert_string_equal(answer_header(answer, "Cache-Control", value), "no-store");
    assert_string_equal(answer_header(answer, "X-Content-Type-Options", value), "nosniff");
    json_decref(tree);
    answer_free(answer);
}

static inline const char *text_at(const json_t *tree, const char *key) {
    const char *text = json_string_value(json_object_get(tree, key));
    return text ? text : "";
}

static inline long long number_at(const json_t *tree, const char *key) {
    const json_t *value = json_object_get(tree, key);
    assert_true(json_is_number(value));
    return (long long)json_number_value(value);
}

static inline bool null_at(const json_t *tree, const char *key) {
    const json_t *value = json_object_get(tree, key);
    assert_non_null(value);
    return json_is_null(value);
}

#endif
