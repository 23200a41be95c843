/* One constraint, and the door that it comes in by (ARBITRATION section 9). What becomes of it over
 * time is the book's (book.h).
 *
 * On its way through requests and answers one is counted by reference and immutable once others
 * have it, on any thread. A book packs what it holds (sheet.h); what is read out of that is a new
 * one. Pure apart from the heap. */
#ifndef DERD_CONSTRAINT_H
#define DERD_CONSTRAINT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arbiter.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/uuid.h"

#define REASON_SIZE             201
#define CREATOR_SIZE            81
#define CONSTRAINTS_PER_DEVICE  250
#define CONSTRAINTS_PER_CREATOR 50 /* on one device */

#define CONSTRAINT_ENDLESS_MS 253402300799999LL /* 9999-12-31T23:59:59.999Z */

/* What a limit of a cluster counts (ARBITRATION section 8). */
enum scope {
    SCOPE_NONE,         /* a device's constraint */
    SCOPE_CONNECTION,   /* what the grid meter shows: fuse, feed-in */
    SCOPE_CONTROLLABLE, /* the sum of the controllable devices */
    SCOPE_COUNT
};

struct constraint {
    atomic_uint references;
    char id[ID_SIZE];
    struct wish wish;
    struct wall valid_at;
    struct wall invalid_at; /* always set; with valid_for_ms: valid_at plus that; the last moment,
                               CONSTRAINT_ENDLESS_MS, of what the host ends itself */
    int64_t valid_for_ms;   /* 0: given with invalidAt; else runs on the monotonic clock */
    struct wall created_at;
    char created_by[CREATOR_SIZE]; /* "token:NAME", "token:NAME#ID", "account:KEY", "policy:..." */
    char policy_key[CREATOR_SIZE]; /* of a proposal: its key; "" for the API's */
    char reason[REASON_SIZE];
    bool durable; /* on disk */
    bool by_host; /* made by the host itself: in no store, and nobody else changes it */
    /* Of a cluster's only: */
    enum scope scope;
    bool has_current;
    double max_current[3]; /* maxCurrentPhases, A on L1, L2, L3, either way; NAN: no opinion */
};

const char *scope_name(enum scope scope); /* "connection", "controllable" */
bool scope_parse(const char *name, enum scope *scope);
#define CONSTRAINT_LABEL_SIZE 200
/* "ems, priority 2000, until 2026-11-23T18:00:00.000Z": who made it, and until when. */
void constraint_label(const struct constraint *constraint, char label[CONSTRAINT_LABEL_SIZE]);
/* A bound, which is applied even when the store fails. */
bool constraint_bounds(const struct constraint *constraint);

enum constraint_status { CONSTRAINT_SCHEDULED, CONSTRAINT_IN_FORCE, CONSTRAINT_EXPIRED };
const char *constraint_status_name(enum constraint_status status); /* "inForce" */

/* A copy on the heap with one reference; NULL without memory. */
struct constraint *constraint_new(const struct constraint *from);
struct constraint *constraint_hold(struct constraint *constraint);
void constraint_release(struct constraint *constraint); /* NULL is fine */

#define CONSTRAINT_VERSION_SIZE 17

/* 16 hexadecimal digits that are others whenever what was asked for is: the version that an ETag
 * tells. What time and other constraints make of it (status, outcome) is not in it. */
void constraint_version(const struct constraint *constraint, char version[CONSTRAINT_VERSION_SIZE]);

/* The door (ARBITRATION section 9), as far as it does not need the book: fields against each other,
 * the device type's sign, times, priority. `report` gets JSON pointers. True when nothing was
 * found. While the clock is not trusted, now.wall is a lower bound of the true time: what is past
 * by it is past, but how far ahead something lies cannot be told and is not refused. */
struct report;
struct door {
    int device_type;    /* enum device_type */
    bool has_soc;       /* the device has a state of charge */
    bool controllable;  /* it can be controlled at all */
    bool cluster;       /* it is a cluster, and the three above do not matter */
    bool sees_grid;     /* of a cluster: something tells what its connection carries */
    int64_t horizon_ms; /* 25 h unless the site says otherwise */
};
bool constraint_check(const struct constraint *constraint, const struct door *door, struct now now,
                      struct report *report);

#endif
