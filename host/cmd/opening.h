/* When the API is opened to the network. At once, but for an address that others can reach
 * (http.listen is not a loopback one) before there is any token: then the host controls meanwhile,
 * says in its log how to make the first token, and opens as soon as there is one. All on the loop
 * that it is given; opening itself is done by a worker. */
#ifndef DERD_CMD_OPENING_H
#define DERD_CMD_OPENING_H

#include <stdbool.h>
#include <uv.h>

#include "api/api.h"

typedef void opening_ended(void *context);

struct opening { /* fields are private */
    uv_timer_t look;
    uv_work_t open;
    struct api *api;
    struct store *store;
    char listen[64];
    const char *site; /* lent */
    bool watching, working;
    char why[200];
    opening_ended *closed; /* to be called once the opening has ended */
    void *context;
};

/* Opens, or waits for the first token. `listen` is http.listen, `site` the path of the site file.
 * False, with the reason logged: it cannot listen. */
bool opening_begin(struct opening *opening, uv_loop_t *loop, struct api *api, struct store *store,
                   const char *listen, const char *site);
/* Opens no more; calls `closed` as soon as no worker is opening, which may be at once. */
void opening_end(struct opening *opening, opening_ended *closed, void *context);

#endif
