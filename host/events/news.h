/* Whether a device's flexibility is news to those who watch: it changed, other than in age alone,
 * or what they were told last is about to lose their trust although nothing changed. At most once
 * a second for each device; what comes sooner waits, and the newest wins. Pure. */
#ifndef DERD_NEWS_H
#define DERD_NEWS_H

#include "flexibility.h"

#define NEWS_PAUSE_MS 1000

struct news { /* zeroed: nothing told yet */
    bool told_once;
    bool waits; /* changed, but too soon after the last */
    struct mono told_at;
    struct flexibility told;
};

/* True: tell it now. Else news->waits says whether to look again after the pause. */
bool news_look(struct news *news, const struct flexibility *now_is, struct now now);
/* A second later: true when what waited is to be told now. */
bool news_due(const struct news *news, struct mono now);
/* It was told. */
void news_told(struct news *news, const struct flexibility *what, struct mono now);

#endif
