/* What readers see: clusters, devices, scripts and what is decided on each device, as immutable
 * snapshots counted by reference. The engine makes new ones when something changes; API threads
 * hold one for the length of a request and never wait for the engine.
 *
 *   directory -> cluster cards
 *             -> device cards -> live (flexibility, sequence lock)
 *                             -> decided (constraints, decision; swapped under a short lock)
 *             -> script cards (ready JSON) */
#ifndef DERD_DIRECTORY_H
#define DERD_DIRECTORY_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/figure.h"
#include "constraint.h"
#include "decided.h"
#include "driver.h"
#include "flexibility.h"

#define IDENTITY_SIZE 65
struct script_figures;
struct directory_index;

#define GRID_ROLE "grid" /* of the device that measures its cluster's connection */

struct card_words { /* what a card says for good; NULL: nothing */
    const char *key, *name, *driver, *link;
    const char *part; /* `as` */
    const char *role;
    const char *maker; /* who makes it, as its driver says */
    const char *entry; /* JSON: what was declared of it */
};

enum card_text {
    CARD_CONNECTION, /* why it is offline, wrong, not configured */
    CARD_COMMAND,    /* why a command is unsupported, rejected, diverging */
    CARD_TEXTS
};

struct device_card {
    atomic_uint references;
    char id[ID_SIZE];
    char cluster_id[ID_SIZE];
    const char *key, *name, *driver, *link, *part, *role, *maker; /* "" for nothing */
    const char *entry;                                            /* may be NULL */
    char *words;                                                  /* where they stand, owned */
    enum device_type type;
    int unit;
    bool observe;
    bool controllable;
    bool has_soc;
    int64_t revision;             /* of what the API made; 0: the site file declares it */
    struct wall created_at;       /* ms 0: not known */
    struct live *live;            /* owned */
    figure_t polls, polls_failed; /* since the card was made for this id */
    pthread_mutex_t lock;         /* of the fields below, held for a pointer swap or a small copy */
    struct decided *decided;      /* one reference; never NULL */
    char *identity[POINT_COUNT - POINT_TEXT_FIRST]; /* manufacturer, model, ...; NULL: unknown */
    char *texts[CARD_TEXTS];                        /* NULL: none */
    atomic_bool told[CARD_TEXTS]; /* which of them there are, for those without the lock */
};

#define CARD_TEXT_SIZE 160 /* of a text, for those who copy it */

struct decided_slot { /* where the newest one hangs, shared by reference */
    atomic_uint references;
    pthread_mutex_t lock;    /* held for a pointer swap */
    struct decided *decided; /* one reference; never NULL */
};

struct cluster_card {
    char id[ID_SIZE];
    char key[KEY_SIZE];
    char name[129];
    char account[KEY_SIZE];
    bool observe;
    size_t first_device, device_count; /* devices[first .. first + count) of the directory */
    char parent_id[ID_SIZE];           /* "": none */
    int64_t revision;                  /* of what the API made; 0: the site file declares it */
    struct wall created_at;            /* ms 0: not known */
    char clash[240];                   /* with the site file, in words; "" */
    char *limits;                      /* JSON, as declared; owned, NULL: none */
    double uncontrolled;               /* W, maxUncontrolledPower; NAN: not declared */
    bool sees_grid;                    /* its connection is measured, or its load declared */
    struct decided_slot *slot;         /* its constraints; one reference */
    struct operator_slot *box;         /* the grid operator's; one reference, NULL: none */
};

struct operator_slot;

enum script_kind { SCRIPT_DRIVER, SCRIPT_POLICY };

struct script_card {
    enum script_kind kind;
    char name[DRIVER_NAME_SIZE];
    char *json;       /* the body of GET /v1/drivers/{name} or /v1/policies/{name}, owned */
    bool has_script;  /* something is called in it */
    bool quarantined; /* and not any more */
    struct script_figures *figures; /* one reference, or NULL */
};

struct directory { /* immutable once published */
    atomic_uint references;
    struct wall made_at;
    int64_t horizon_ms; /* how far ahead a constraint may end, as the site file says */
    size_t cluster_count, device_count, script_count;
    struct cluster_card *clusters;
    struct device_card **devices; /* one reference each */
    struct script_card *scripts;  /* by kind, then name */
    char *scripts_off;            /* why no policy and no hook is called; "": they are */
    char *site_file;              /* "The site file /etc/derd/site.lua", to begin a sentence with */
    char *site_problems;          /* JSON array of {where, text}; "[]" when the site file is fine */
    struct directory_index *index; /* of ids and keys, made at the publish; NULL: one by one */
};

struct directory_slot { /* where the newest one hangs */
    pthread_mutex_t lock;
    struct directory *newest;
};

void directory_slot_init(struct directory_slot *slot);
void directory_slot_free(struct directory_slot *slot);
void directory_publish(struct directory_slot *slot,
                       struct directory *directory); /* takes the reference */
struct directory *
directory_hold(struct directory_slot *slot); /* never NULL after the first publish */
void directory_release(struct directory *directory);

/* With an empty `decided`. `words`: copied; NULL: none. `quantities`: bits by enum point_id of
 * those that may ever be known of it. */
struct device_card *device_card_new(const struct card_words *words, uint64_t quantities);
struct device_card *device_card_hold(struct device_card *card);
void device_card_release(struct device_card *card);
/* What people are told of it, "" for nothing; and a copy of that. Most devices have nothing to
 * tell, and those who look then take no lock: readers beyond number wait for nobody. Any thread. */
void device_card_tell(struct device_card *card, enum card_text which, const char *text);
void device_card_text(struct device_card *card, enum card_text which, char text[CARD_TEXT_SIZE]);
void device_card_decide(struct device_card *card,
                        struct decided *decided); /* takes the reference */
/* The same, and gives the one before, with its reference. */
struct decided *device_card_swap(struct device_card *card, struct decided *decided);
/* To be read, with its items; to be released. NULL without memory. Any thread; makes each
 * constraint anew, so that it takes longer the more there are. */
struct decided *device_card_decided(struct device_card *card);
struct decided *device_card_snapshot(struct device_card *card); /* as published; held */

struct decided_slot *decided_slot_new(void); /* with an empty cluster's `decided` */
struct decided_slot *decided_slot_hold(struct decided_slot *slot);
void decided_slot_release(struct decided_slot *slot);                      /* NULL is fine */
void decided_slot_put(struct decided_slot *slot, struct decided *decided); /* takes it */
struct decided *decided_slot_get(struct decided_slot *slot);               /* held */

/* A path step of the API: an id, or a key. NULL when there is none. */
const struct cluster_card *directory_cluster(const struct directory *directory, const char *which);
/* Whether the cluster is one of these `count` ids, or stands below one of them, at any depth. True
 * when count is 0: no choice was made. */
bool directory_within(const struct directory *directory, const struct cluster_card *cluster,
                      const char ids[][ID_SIZE], size_t count);
struct device_card *directory_device(const struct directory *directory,
                                     const struct cluster_card *cluster, const char *which);
const struct script_card *directory_script(const struct directory *directory, enum script_kind kind,
                                           const char *name);

#endif
