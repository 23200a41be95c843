#include "api/accept.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum fit { FIT_NONE, FIT_ANY, FIT_TYPE, FIT_EXACT };

/* How closely a range such as "text/ *" (without the blank) means an offer. */
static enum fit range_fits(const char *range, size_t length, const char *offer) {
    if (length == strlen(offer) && strncasecmp(range, offer, length) == 0)
        return FIT_EXACT;
    if (length == 3 && strncmp(range, "*/*", 3) == 0)
        return FIT_ANY;
    const char *slash = strchr(offer, '/');
    size_t type = (size_t)(slash - offer) + 1;
    if (length == type + 1 && range[type] == '*' && strncasecmp(range, offer, type) == 0)
        return FIT_TYPE;
    return FIT_NONE;
}

/* The weight among the parameters of a range, 1 when there is none. */
static double weight_of(const char *parameters, const char *end) {
    for (const char *at = parameters; at < end; at++) {
        at += strspn(at, "; \t");
        if (at + 2 < end && (*at == 'q' || *at == 'Q') && at[1] == '=')
            return strtod(at + 2, NULL);
        while (at < end && *at != ';')
            at++;
    }
    return 1;
}

/* What the closest range says of an offer. */
static double weigh(const char *accept, const char *offer) {
    enum fit best = FIT_NONE;
    double weight = 0;
    for (const char *at = accept; *at;) {
        at += strspn(at, ", \t");
        const char *end = at + strcspn(at, ",");
        size_t length = strcspn(at, ",; \t");
        enum fit fit = range_fits(at, length, offer);
        if (fit > best) {
            best = fit;
            weight = weight_of(at + length, end);
        }
        at = end;
    }
    return weight;
}

size_t accept_choose(const char *accept, const char *const *offers, size_t count) {
    size_t chosen = count;
    double most = 0;
    if (!accept || !accept[strspn(accept, ", \t")])
        return 0;
    for (size_t i = 0; i < count; i++) {
        double weight = weigh(accept, offers[i]);
        if (weight > most) {
            most = weight;
            chosen = i;
        }
    }
    return chosen;
}
