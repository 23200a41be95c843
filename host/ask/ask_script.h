/* Asking the engine about scripts that come through the API: whether a text is right and its name
 * is free, and to take what has changed in the folders. The files themselves are written by the
 * asking thread, for the engine never waits for a disk. */
#ifndef DERD_ASK_SCRIPT_H
#define DERD_ASK_SCRIPT_H

#include "base/report.h"
#include "directory.h"

#define UPLOAD_PATH_MAXIMUM 640

struct engine;

enum script_state {                   /* of a name */
                    SCRIPT_ABSENT,    /* no file has it */
                    SCRIPT_UPLOADED,  /* there is an upload, and no file beside the site file */
                    SCRIPT_OF_SITE,   /* a file beside the site file has it */
                    SCRIPT_INSTALLED, /* only the installed set has it */
                    SCRIPT_UNKNOWN    /* the engine did not answer in time, or stops */
};

struct script_answer {
    enum script_state state;
    bool uploaded;                    /* there is an upload, hidden or not */
    char path[UPLOAD_PATH_MAXIMUM];   /* of the upload, there or not */
    char beside[UPLOAD_PATH_MAXIMUM]; /* of the file of SCRIPT_OF_SITE or SCRIPT_INSTALLED, else ""
                                       */
    struct report mistakes;           /* of the text */
};

/* `text` NULL: only the name. To be freed: report_free(&answer->mistakes). Blocks up to
 * `patience_ms`. Any thread but the engine's. */
void ask_script(struct engine *engine, enum script_kind kind, const char *name, const char *text,
                int64_t patience_ms, struct script_answer *answer);
/* Reads the folders of scripts now; the newest directory shows what was found. False: not in time.
 */
bool ask_script_look(struct engine *engine, int64_t patience_ms);

#endif
