/* Scripts that come through the API. A text is checked as `derd check` does it before anything is
 * written; then it is a file like any other, in a folder of its own behind the site's and before
 * the installed one, and is taken live as a dropped file is. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/inventory.h"
#include "api/precondition.h"
#include "api/upload.h"
#include "api/witness.h"
#include "ask/ask_script.h"
#include "base/log.h"
#include "base/luadata.h"
#include "base/schema.h"
#include "script/library_watch.h"

#define PATIENCE_MS 5000
#define HASH_BYTES  32

static const char *kind_word(enum script_kind kind) {
    return kind == SCRIPT_DRIVER ? "driver" : "policy";
}

static const struct script_card *find_card(const struct exchange *x, enum script_kind kind) {
    return x->directory ? directory_script(x->directory, kind, x->step_name) : NULL;
}

/* Scripts belong to the host, not to one account. */
static bool may_change(struct exchange *x, enum script_kind kind) {
    char version[VERSION_SIZE];
    char file_name[DRIVER_NAME_SIZE + 8];
    const struct script_card *card = find_card(x, kind);
    if (!inventory_unrestricted(x, "scripts"))
        return false;
    if (strcmp(x->token.account, ACCOUNT_ROOT) != 0) {
        exchange_problem(x, 403,
                         "Scripts run for the whole host: only a token of the account \"%s\" "
                         "changes them.",
                         ACCOUNT_ROOT);
        return false;
    }
    snprintf(file_name, sizeof file_name, "%s.lua", x->step_name);
    if (strlen(x->step_name) >= DRIVER_NAME_SIZE || !library_is_script(file_name)) {
        exchange_problem(x, 400,
                         "A %s has a name like eastron_sdm: small letters, digits and _, at most "
                         "%d, got \"%.60s\".",
                         kind_word(kind), DRIVER_NAME_SIZE - 1, x->step_name);
        return false;
    }
    if (card)
        precondition_version(card->json, strlen(card->json), version);
    return precondition_check(x, card ? version : NULL);
}

/* The text has line breaks, which the schema's strings must not have: it is looked at here. */
static const struct schema upload_fields[] = {
    {.key = "text", .kind = SCHEMA_ANY, .required = true, .help = "the whole file, Lua"},
    {0},
};
static const struct schema upload_body = {.kind = SCHEMA_OBJECT, .fields = upload_fields};

static bool body_right(struct exchange *x) {
    struct report report;
    const json_t *text = json_object_get(x->tree, "text");
    report_init(&report);
    bool right = schema_check(&upload_body, x->tree, "", PATH_POINTER, &report);
    if (text && (!json_is_string(text) || json_string_length(text) < 1 ||
                 json_string_length(text) > SCRIPT_UPLOAD_MAXIMUM)) {
        report_add(&report, "/text", "must be the whole file as a string of 1 to %d bytes",
                   SCRIPT_UPLOAD_MAXIMUM);
        right = false;
    }
    if (!right)
        exchange_problem_report(x, 422, &report, "The script cannot be accepted.");
    report_free(&report);
    return right;
}

/* Mistakes of the text with file and line, all at /text of the body. */
static void answer_mistakes(struct exchange *x, const struct report *mistakes) {
    struct report report;
    report_init(&report);
    for (size_t i = 0; i < mistakes->count; i++)
        report_add(&report, "/text", "%s%s%s", mistakes->items[i].where,
                   mistakes->items[i].where[0] ? ": " : "", mistakes->items[i].text);
    report.total += mistakes->total - mistakes->count;
    exchange_problem_report(x, 422, &report,
                            "The script has mistakes; what is in use stays as it is.");
    report_free(&report);
}

static void take_newest(struct exchange *x) {
    bool done = ask_script_look(x->settings->engine, PATIENCE_MS);
    if (!done)
        log_warning("api", "what was uploaded is taken by the watch of its folder");
    directory_release(x->directory);
    x->directory = directory_hold(x->settings->directory);
}

static void answer_card(struct exchange *x, enum script_kind kind, int status) {
    char version[VERSION_SIZE];
    const struct script_card *card = find_card(x, kind);
    if (!card) {
        exchange_problem(x, 503, "It is stored and taken a little later.");
        return;
    }
    exchange_json(x, status);
    buf_text(&x->body, card->json);
    precondition_version(card->json, strlen(card->json), version);
    precondition_tell(x, version);
    if (status == 201) {
        char location[80 + DRIVER_NAME_SIZE];
        snprintf(location, sizeof location, "/v1/%s/%s",
                 kind == SCRIPT_DRIVER ? "drivers" : "policies", x->step_name);
        exchange_header(x, "Location", location);
    }
}

/* Of a text, for the audit log, which does not keep 60 kB of it. */
static json_t *text_tree(const char *text, size_t length) {
    unsigned char hash[HASH_BYTES];
    char hex[2 * HASH_BYTES + 1];
    crypto_generichash(hash, sizeof hash, (const unsigned char *)text, length, NULL, 0);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    return json_pack("{s:s, s:I}", "blake2b256", hex, "bytes", (json_int_t)length);
}

static json_t *file_tree(const char *path) {
    struct report report;
    size_t length;
    report_init(&report);
    char *text = file_read(path, SCRIPT_UPLOAD_MAXIMUM, &length, &report);
    json_t *tree = text ? text_tree(text, length) : json_pack("{s:n}", "blake2b256");
    report_free(&report);
    free(text);
    return tree;
}

/* `text` NULL: it is taken away. The file is on disk by itself; the record follows it. */
static bool witness_script(struct exchange *x, enum script_kind kind,
                           const struct script_answer *was, const char *text,
                           struct audit_record **record) {
    const struct audit_target target = {
        .kind = kind_word(kind), .id = x->step_name, .name = x->step_name, .owner = ACCOUNT_ROOT};
    return witness(x,
                   !text           ? 204
                   : was->uploaded ? 200
                                   : 201,
                   &target, was->uploaded ? file_tree(was->path) : NULL,
                   text ? text_tree(text, strlen(text)) : NULL, record);
}

/* Checked and free to be put. */
static void write_text(struct exchange *x, enum script_kind kind,
                       const struct script_answer *answer, const char *text) {
    char why[800] = "";
    struct audit_record *record;
    if (!witness_script(x, kind, answer, text, &record))
        return;
    if (upload_write(answer->path, text, strlen(text), why, sizeof why) != ERR_OK) {
        audit_records_free(record);
        log_error("api", "an upload could not be written: %s", why);
        exchange_unavailable(x, 5, "The script could not be written; nothing was changed.");
        return;
    }
    store_put_audit(x->settings->store, record);
    log_info("api", "token:%s put the %s %s (request %s)", x->token.name, kind_word(kind),
             x->step_name, x->request_id);
    take_newest(x);
    answer_card(x, kind, answer->uploaded ? 200 : 201);
}

static void put(struct exchange *x, enum script_kind kind) {
    struct script_answer answer;
    if (!may_change(x, kind) || !body_right(x))
        return;
    const char *text = tree_string(x->tree, "text", "");
    ask_script(x->settings->engine, kind, x->step_name, text, PATIENCE_MS, &answer);
    if (answer.state == SCRIPT_UNKNOWN) {
        exchange_unavailable(x, 2, "The host did not answer in time; nothing was changed.");
    } else if (answer.state == SCRIPT_OF_SITE) {
        exchange_problem(x, 409,
                         "%s stands beside the site file and would hide it; change it "
                         "there.",
                         answer.beside);
    } else if (!report_empty(&answer.mistakes)) {
        answer_mistakes(x, &answer.mistakes);
    } else {
        write_text(x, kind, &answer, text);
    }
    report_free(&answer.mistakes);
}

static void take_away(struct exchange *x, enum script_kind kind) {
    struct script_answer answer;
    char why[800] = "";
    if (!may_change(x, kind))
        return;
    ask_script(x->settings->engine, kind, x->step_name, NULL, PATIENCE_MS, &answer);
    report_free(&answer.mistakes);
    if (answer.state == SCRIPT_UNKNOWN) {
        exchange_unavailable(x, 2, "The host did not answer in time; nothing was changed.");
        return;
    }
    if (!answer.uploaded && answer.beside[0]) {
        exchange_problem(x, 409, "It did not come through the API: %s is removed by hand.",
                         answer.beside);
        return;
    }
    struct audit_record *record = NULL;
    if (answer.uploaded && !witness_script(x, kind, &answer, NULL, &record))
        return;
    enum err err = answer.uploaded ? upload_remove(answer.path, why, sizeof why) : ERR_NOT_FOUND;
    if (err == ERR_OK)
        store_put_audit(x->settings->store, record);
    else
        audit_records_free(record);
    if (err == ERR_NOT_FOUND) {
        exchange_problem(x, 404, "There is no %s \"%.100s\".", kind_word(kind), x->step_name);
    } else if (err != ERR_OK) {
        log_error("api", "an upload could not be removed: %s", why);
        exchange_unavailable(x, 5, "The script could not be removed.");
    } else {
        log_info("api", "token:%s removed the %s %s (request %s)", x->token.name, kind_word(kind),
                 x->step_name, x->request_id);
        take_newest(x);
        exchange_empty(x, 204);
    }
}

void api_driver_put(struct exchange *x) {
    put(x, SCRIPT_DRIVER);
}

void api_driver_delete(struct exchange *x) {
    take_away(x, SCRIPT_DRIVER);
}

void api_policy_put(struct exchange *x) {
    put(x, SCRIPT_POLICY);
}

void api_policy_delete(struct exchange *x) {
    take_away(x, SCRIPT_POLICY);
}
