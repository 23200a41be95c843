/* The limits in force on one cluster, from its constraints and the permanent limits of the site
 * file: the same walk as a device's (arbiter.h), minimum and maximum only, once for each scope, for
 * limits on different things cannot conflict. Pure; powers are whole watts, import positive.
 *
 * As read here: an exclusive constraint that holds excludes what stands below it in both scopes.
 * Currents of one phase never conflict: the least of those that are applied holds. The permanent
 * limits stand above all; what the walk leaves beyond them is moved to their edge. */
#ifndef DERD_CLUSTER_LIMITS_H
#define DERD_CLUSTER_LIMITS_H

#include "constraint.h"

struct decided;

struct permanent { /* of the site file; NAN: none */
    enum scope scope;
    double min, max;            /* W */
    double current;             /* A on each phase, either way */
    double uncontrolled_import; /* W, maxUncontrolledPower: what others draw at most */
};

struct limit {          /* of one scope */
    int32_t min, max;   /* W; +-POWER_UNBOUNDED: open */
    double current[3];  /* A, either way; INFINITY: open */
    int min_by, max_by; /* index of the constraint, BY_DEVICE: the site file, BY_NOBODY: open */
    int current_by[3];
    bool unmet; /* the constraints left nothing of what the site file allows */
};

struct limit_wish {
    struct wish wish;
    enum scope scope;
    double current[3]; /* A, NAN: no opinion */
};

struct limits_room { /* memory of one walk: 60 KB, too much for the stacks of the API's threads */
    struct wish wishes[ARBITER_WISHES];
    struct verdict verdicts[ARBITER_WISHES];
    size_t index[ARBITER_WISHES];
};

/* `wishes` in force, in arbiter_order(), at most ARBITER_WISHES. `verdicts`: as many, out, with
 * `against` as index into wishes. `limits`: of each scope; SCOPE_NONE stays open. */
void limits_walk(const struct limit_wish *wishes, size_t count, const struct permanent *permanent,
                 struct limit limits[SCOPE_COUNT], struct verdict *verdicts,
                 struct limits_room *room);
/* What a constraint asks, `wish` as the book gives it. */
struct limit_wish limit_wish_of(const struct wish *wish, const struct constraint *constraint);
struct limit limit_none(void);
bool limit_open(const struct limit *limit); /* it limits nothing */
bool limits_equal(const struct limit a[SCOPE_COUNT], const struct limit b[SCOPE_COUNT]);

/* Looking ahead on a published snapshot of a cluster, as outlook.h does on a device. */
must_check enum err limits_next_change(const struct decided *decided, struct wall *at);
bool limits_no_effect(const struct decided *decided, size_t index);

#endif
