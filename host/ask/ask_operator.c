#include "ask/ask_operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/errand.h"
#include "cluster/cluster.h"
#include "engine.h"

struct operator_ask {
    struct errand errand; /* first */
    char cluster_id[ID_SIZE];
    struct asker asker;
    bool states;
    struct operator_statement statement;
    int64_t version;
    enum err stored; /* what the store said */
    struct operator_answer answer;
};

static void ask_free(struct errand *errand) {
    free(errand);
}

static struct operator_box *find_box(const struct operator_ask *ask) {
    struct cluster *cluster = engine_cluster_by_id(ask->errand.engine, ask->cluster_id);
    return cluster ? cluster->box : NULL;
}

static void finish(struct operator_ask *ask, enum ask_result result) {
    struct operator_box *box = find_box(ask);
    ask->answer.result = result;
    if (box)
        operator_slot_get(box_slot(box), &ask->answer.view);
    errand_finish(&ask->errand);
}

static void finish_stored(struct operator_ask *ask, enum err err) {
    if (ask->errand.engine->stopping)
        finish(ask, ASK_BUSY);
    else
        finish(ask, err == ERR_OK ? ASK_REPLACED : ASK_NOT_DURABLE);
}

static void stored_run(struct errand *errand) {
    struct operator_ask *ask = (struct operator_ask *)errand;
    finish_stored(ask, ask->stored);
}

/* On the engine's thread, or the store's. */
static void stored_done(void *context, enum err err) {
    struct operator_ask *ask = context;
    ask->stored = err;
    ask->errand.run = stored_run;
    if (inbox_post_end(&ask->errand.engine->inbox, &ask->errand.item) == ERR_OK)
        return;
    ask->answer.result = ASK_BUSY; /* the host is stopping; what is stored counts at its start */
    errand_finish(&ask->errand);
}

static void ask_run(struct errand *errand) {
    struct operator_ask *ask = (struct operator_ask *)errand;
    struct operator_box *box = find_box(ask);
    enum err err = ERR_OK;
    if (errand->engine->stopping) {
        finish(ask, ASK_BUSY);
    } else if (!box) {
        finish(ask, ASK_NOT_FOUND);
    } else if (ask->asker.max_priority < box_site(box)->priority) {
        finish(ask, ASK_FORBIDDEN);
    } else if (box_site(box)->device[0]) {
        finish(ask, ASK_CONFLICT);
    } else if (ask->version != OPERATOR_ANY_VERSION && ask->version != box_version(box)) {
        finish(ask, ASK_CHANGED);
    } else if (!ask->states) {
        box_heartbeat(box);
        finish(ask, ASK_REPLACED);
    } else if (!box_state_limit(box, &ask->statement, stored_done, ask, &err)) {
        finish(ask, err == ERR_OK ? ASK_REPLACED : ASK_NOT_DURABLE);
    }
}

void ask_operator(struct engine *engine, const char *cluster_id, const struct asker *asker,
                  const struct operator_statement *statement, int64_t version, int64_t patience_ms,
                  struct operator_answer *answer) {
    struct operator_ask *ask = calloc(1, sizeof *ask);
    *answer = (struct operator_answer){.result = ASK_BUSY};
    if (!ask)
        return;
    errand_init(&ask->errand, engine, ask_run, ask_free);
    snprintf(ask->cluster_id, sizeof ask->cluster_id, "%s", cluster_id);
    ask->asker = *asker;
    ask->states = statement != NULL;
    if (statement)
        ask->statement = *statement;
    ask->version = version;
    if (errand_go(&ask->errand, patience_ms) == ERRAND_DONE)
        *answer = ask->answer;
    errand_release(&ask->errand);
}
