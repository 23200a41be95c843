#include "ask/ask_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/errand.h"
#include "engine.h"

struct script_ask {
    struct errand errand; /* first */
    bool look;
    enum script_kind kind;
    char name[DRIVER_NAME_SIZE];
    char *text;
    struct script_answer answer;
};

static void ask_free(struct errand *errand) {
    struct script_ask *ask = (struct script_ask *)errand;
    free(ask->text);
    report_free(&ask->answer.mistakes);
    free(ask);
}

static void find_out(struct script_ask *ask) {
    struct library *library = ask->errand.engine->library;
    struct script_answer *answer = &ask->answer;
    bool of_site = library_has_file(library, ask->kind, ask->name, FOLDER_SITE);
    bool installed = library_has_file(library, ask->kind, ask->name, FOLDER_SHARED);
    answer->uploaded = library_has_file(library, ask->kind, ask->name, FOLDER_UPLOADS);
    answer->state = of_site            ? SCRIPT_OF_SITE
                    : answer->uploaded ? SCRIPT_UPLOADED
                    : installed        ? SCRIPT_INSTALLED
                                       : SCRIPT_ABSENT;
    library_path(library, ask->kind, ask->name, FOLDER_UPLOADS, answer->path, sizeof answer->path);
    if (answer->state == SCRIPT_OF_SITE || answer->state == SCRIPT_INSTALLED)
        library_path(library, ask->kind, ask->name, of_site ? FOLDER_SITE : FOLDER_SHARED,
                     answer->beside, sizeof answer->beside);
    if (ask->text)
        (void)library_check(library, ask->kind, ask->name, ask->text, strlen(ask->text),
                            &answer->mistakes);
}

static void ask_run(struct errand *errand) {
    struct script_ask *ask = (struct script_ask *)errand;
    if (!errand->engine->stopping && ask->look)
        library_look(errand->engine->library);
    else if (!errand->engine->stopping)
        find_out(ask);
    errand_finish(errand);
}

static struct script_ask *ask_new(struct engine *engine) {
    struct script_ask *ask = calloc(1, sizeof *ask);
    if (!ask)
        return NULL;
    errand_init(&ask->errand, engine, ask_run, ask_free);
    ask->answer.state = SCRIPT_UNKNOWN;
    report_init(&ask->answer.mistakes);
    return ask;
}

void ask_script(struct engine *engine, enum script_kind kind, const char *name, const char *text,
                int64_t patience_ms, struct script_answer *answer) {
    struct script_ask *ask = ask_new(engine);
    *answer = (struct script_answer){.state = SCRIPT_UNKNOWN};
    report_init(&answer->mistakes);
    if (!ask)
        return;
    ask->kind = kind;
    snprintf(ask->name, sizeof ask->name, "%s", name);
    ask->text = text ? strdup(text) : NULL;
    bool ready = !text || ask->text;
    if (!ready)
        atomic_store(&ask->errand.owners, 1);
    if (ready && errand_go(&ask->errand, patience_ms) == ERRAND_DONE) {
        *answer = ask->answer;
        report_init(&ask->answer.mistakes);
    }
    errand_release(&ask->errand);
}

bool ask_script_look(struct engine *engine, int64_t patience_ms) {
    struct script_ask *ask = ask_new(engine);
    if (!ask)
        return false;
    ask->look = true;
    bool done = errand_go(&ask->errand, patience_ms) == ERRAND_DONE;
    errand_release(&ask->errand);
    return done;
}
