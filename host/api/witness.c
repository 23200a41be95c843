#include "api/witness.h"

#include <stdio.h>
#include <stdlib.h>

static const char *method_word(enum method method) {
    switch (method) {
    case METHOD_POST:
        return "POST";
    case METHOD_PUT:
        return "PUT";
    case METHOD_DELETE:
        return "DELETE";
    case METHOD_PATCH:
        return "PATCH";
    default:
        return "GET";
    }
}

void witness_origin(const struct exchange *x, int status, struct audit_origin *origin) {
    *origin = (struct audit_origin){.by = x->by_session ? AUDIT_BY_SESSION : AUDIT_BY_TOKEN,
                                    .status = status};
    snprintf(origin->id, sizeof origin->id, "%s", x->token.id);
    snprintf(origin->name, sizeof origin->name, "%s", x->token.name);
    snprintf(origin->account, sizeof origin->account, "%s", x->token.account);
    snprintf(origin->from, sizeof origin->from, "%s", x->remote.address);
    snprintf(origin->request_id, sizeof origin->request_id, "%s", x->request_id);
    snprintf(origin->action, sizeof origin->action, "%s %s", method_word(x->request.method),
             x->path);
}

bool witness(struct exchange *x, int status, const struct audit_target *target, json_t *before,
             json_t *after, struct audit_record **record) {
    struct audit_origin origin;
    char *text_before = before ? json_dumps(before, JSON_COMPACT) : NULL;
    char *text_after = after ? json_dumps(after, JSON_COMPACT) : NULL;
    witness_origin(x, status, &origin);
    *record = NULL;
    if (!before == !text_before && !after == !text_after)
        *record = audit_record_new(&origin, AUDIT_REST, target, text_before, text_after);
    json_decref(before);
    json_decref(after);
    free(text_before);
    free(text_after);
    if (!*record)
        exchange_unavailable(x, 5, "The host is short of memory; nothing was changed.");
    return *record != NULL;
}
