/* /metrics: clusters and devices.
 *
 * A device is read once, into a row: its numbers then are of one moment, and the samples of each
 * family can stand together, as the format wants it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "operator/operator_view.h"
#include "service/metrics.h"
#include "service/metrics_text.h"

#define SERIES_OF_DEVICE 24 /* at most; see the families below */
#define BYTES_OF_SERIES  96 /* of the name and the value; labels come on top */

struct row {
    const struct device_card *card;
    struct flexibility now;
    uint64_t polls, polls_failed;
    size_t in_force, scheduled; /* constraints */
    char labels[METRICS_LABELS_SIZE];
};

struct rows {
    const struct metrics_sources *sources;
    struct buf *out;
    struct row *items;
    size_t count;
    size_t left_out; /* devices, for want of room */
};

static bool sees(const struct metrics_sources *sources, const struct cluster_card *cluster) {
    return !sources->sees || sources->sees(sources->context, cluster);
}

/* What the API made and the site file stands against is listed with the key that the file's has. */
static bool clashes(const struct directory *directory, const struct cluster_card *cluster,
                    size_t index) {
    const struct device_card *card = directory->devices[index];
    for (size_t i = cluster->first_device; card->revision && i < index; i++)
        if (strcmp(directory->devices[i]->key, card->key) == 0)
            return true;
    return false;
}

/* --- rows ------------------------------------------------------------------------------------ */

static void fill_row(struct row *row, struct device_card *card, struct wall now) {
    struct decided *decided = device_card_snapshot(card);
    row->card = card;
    row->polls = figure_get(&card->polls);
    row->polls_failed = figure_get(&card->polls_failed);
    live_read(card->live, &row->now);
    decided_count(decided, now, &row->in_force, &row->scheduled);
    decided_release(decided);
}

/* As many whole devices as there is room for, in the directory's order. */
static void fill_rows(struct rows *rows) {
    const struct directory *directory = rows->sources->directory;
    size_t room = METRICS_DEVICE_ROOM;
    rows->items = calloc(directory->device_count + 1, sizeof *rows->items);
    for (size_t i = 0; i < directory->cluster_count; i++) {
        const struct cluster_card *cluster = &directory->clusters[i];
        if (!sees(rows->sources, cluster))
            continue;
        for (size_t j = cluster->first_device; j < cluster->first_device + cluster->device_count;
             j++) {
            if (clashes(directory, cluster, j))
                continue;
            struct row *row = rows->items ? &rows->items[rows->count] : NULL;
            char labels[METRICS_LABELS_SIZE] = "";
            metrics_label(labels, "cluster", cluster->key);
            metrics_label(labels, "device", directory->devices[j]->key);
            size_t needs = SERIES_OF_DEVICE * (strlen(labels) + BYTES_OF_SERIES);
            if (!row || needs > room || rows->count >= METRICS_SERIES / SERIES_OF_DEVICE) {
                rows->left_out++;
                continue;
            }
            room -= needs;
            memcpy(row->labels, labels, sizeof labels);
            fill_row(row, directory->devices[j], rows->sources->now.wall);
            rows->count++;
        }
    }
}

/* A measured value; NAN: unknown, or too old to be trusted. */
static double fresh(const struct rows *rows, const struct row *row, enum point_id id) {
    int64_t until_ms = row->now.invalid_ms[id];
    bool trusted = until_ms == INT64_MAX ? row->now.connection == CONNECTION_ONLINE
                                         : rows->sources->now.wall.ms < until_ms;
    return trusted ? row->now.values[id] : NAN;
}

static double bound(int32_t bound_w) {
    return bound_w <= -POWER_UNBOUNDED || bound_w >= POWER_UNBOUNDED ? (double)NAN
                                                                     : (double)bound_w;
}

static double age(const struct rows *rows, struct wall at) {
    double age_s = (double)(rows->sources->now.wall.ms - at.ms) / 1e3;
    return at.ms > 0 ? fmax(0, age_s) : NAN;
}

/* --- families -------------------------------------------------------------------------------- */

static void put_points(const struct rows *rows) {
    static const struct {
        const char *name, *help;
        enum metric_type type;
        int count; /* 3: of the phases */
        enum point_id id;
        double factor;
    } families[] = {
        {"derd_device_active_power_watts", "Import is positive, export is negative.", METRIC_GAUGE,
         1, POINT_ACTIVE_POWER, 1},
        {"derd_device_phase_active_power_watts", "The same on each phase.", METRIC_GAUGE, 3,
         POINT_ACTIVE_POWER_L1, 1},
        {"derd_device_energy_import_joules_total", "Energy taken, as the device counts it.",
         METRIC_COUNTER, 1, POINT_ENERGY_IMPORT, 3600},
        {"derd_device_energy_export_joules_total", "Energy given, as the device counts it.",
         METRIC_COUNTER, 1, POINT_ENERGY_EXPORT, 3600},
        {"derd_device_state_of_charge_ratio", "0 is empty, 1 is full.", METRIC_GAUGE, 1,
         POINT_STATE_OF_CHARGE, 0.01},
    };
    static const char *const phases[] = {"L1", "L2", "L3"};
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        metrics_family(rows->out, families[i].name, families[i].type, families[i].help);
        for (size_t j = 0; j < rows->count; j++)
            for (int k = 0; k < families[i].count; k++) {
                const struct row *row = &rows->items[j];
                double value = fresh(rows, row, (enum point_id)((int)families[i].id + k));
                char labels[METRICS_LABELS_SIZE];
                if (isnan(value))
                    continue;
                memcpy(labels, row->labels, sizeof labels);
                if (families[i].count > 1)
                    metrics_label(labels, "phase", phases[k]);
                metrics_sample(rows->out, families[i].name, labels, value * families[i].factor);
            }
    }
}

enum device_metric {
    SAMPLE_AGE,
    SAMPLE_STALE,
    POLLS,
    POLLS_FAILED,
    SET_POINT,
    BOUND_MIN,
    BOUND_MAX,
    COMMAND_AGE
};

static double device_value(const struct rows *rows, const struct row *row,
                           enum device_metric which) {
    switch (which) {
    case SAMPLE_AGE:
        return age(rows, row->now.updated_at);
    case SAMPLE_STALE:
        return row->now.invalid_at.ms <= rows->sources->now.wall.ms;
    case POLLS:
        return (double)row->polls;
    case POLLS_FAILED:
        return (double)row->polls_failed;
    case SET_POINT:
        return row->now.has_set_point ? (double)row->now.set_point : (double)NAN;
    case BOUND_MIN:
        return bound(row->now.bound_min);
    case BOUND_MAX:
        return bound(row->now.bound_max);
    case COMMAND_AGE:
        break;
    }
    return row->now.command == COMMAND_NONE ? NAN : age(rows, row->now.command_since);
}

static void put_values(const struct rows *rows) {
    static const struct {
        const char *name, *help;
        enum metric_type type;
        enum device_metric which;
    } families[] = {
        {"derd_device_sample_age_seconds", "Since the last sample; absent before the first.",
         METRIC_GAUGE, SAMPLE_AGE},
        {"derd_device_sample_stale", "1: too old to be trusted, or there is none.", METRIC_GAUGE,
         SAMPLE_STALE},
        {"derd_device_polls_total", "Polls that were answered.", METRIC_COUNTER, POLLS},
        {"derd_device_poll_failures_total", "Polls without an answer.", METRIC_COUNTER,
         POLLS_FAILED},
        {"derd_device_set_point_watts", "The set point in force.", METRIC_GAUGE, SET_POINT},
        {"derd_device_bound_min_watts", "The device stays at or above.", METRIC_GAUGE, BOUND_MIN},
        {"derd_device_bound_max_watts", "The device stays at or below.", METRIC_GAUGE, BOUND_MAX},
        {"derd_device_command_age_seconds", "Since its command has the state that it has.",
         METRIC_GAUGE, COMMAND_AGE},
    };
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        metrics_family(rows->out, families[i].name, families[i].type, families[i].help);
        for (size_t j = 0; j < rows->count; j++)
            metrics_sample(rows->out, families[i].name, rows->items[j].labels,
                           device_value(rows, &rows->items[j], families[i].which));
    }
}

/* A word of a closed list, as the label of a sample of 1: only the one that holds is there. */
static void put_word(const struct rows *rows, const struct row *row, const char *name,
                     const char *label, const char *word) {
    char labels[METRICS_LABELS_SIZE];
    memcpy(labels, row->labels, sizeof labels);
    metrics_label(labels, label, word);
    metrics_count(rows->out, name, labels, 1);
}

static void put_words(const struct rows *rows) {
    metrics_family(rows->out, "derd_device_info", METRIC_GAUGE, "1, with what the device is.");
    for (size_t i = 0; i < rows->count; i++) {
        char labels[METRICS_LABELS_SIZE];
        memcpy(labels, rows->items[i].labels, sizeof labels);
        metrics_label(labels, "type", device_type_name(rows->items[i].card->type));
        metrics_label(labels, "driver", rows->items[i].card->driver);
        metrics_count(rows->out, "derd_device_info", labels, 1);
    }
    metrics_family(rows->out, "derd_device_connection", METRIC_GAUGE,
                   "1, with the connection that it has.");
    for (size_t i = 0; i < rows->count; i++)
        put_word(rows, &rows->items[i], "derd_device_connection", "connection",
                 connection_name(rows->items[i].now.connection));
    metrics_family(rows->out, "derd_device_state", METRIC_GAUGE,
                   "1, with the state that it is in.");
    for (size_t i = 0; i < rows->count; i++) {
        double state = fresh(rows, &rows->items[i], POINT_STATE);
        if (state > STATE_UNKNOWN && state < STATE_COUNT)
            put_word(rows, &rows->items[i], "derd_device_state", "state",
                     device_state_name((enum device_state)(int)state));
    }
    metrics_family(rows->out, "derd_device_command", METRIC_GAUGE,
                   "1, with how far the device has been told.");
    for (size_t i = 0; i < rows->count; i++)
        if (rows->items[i].now.command != COMMAND_NONE)
            put_word(rows, &rows->items[i], "derd_device_command", "state",
                     command_state_name(rows->items[i].now.command));
    metrics_family(rows->out, "derd_device_following", METRIC_GAUGE,
                   "1, with how its power is to what was decided.");
    for (size_t i = 0; i < rows->count; i++)
        if (rows->items[i].now.following != FOLLOWING_UNKNOWN)
            put_word(rows, &rows->items[i], "derd_device_following", "following",
                     following_name(rows->items[i].now.following));
}

static void put_constraint_count(struct buf *out, const char *name, const char *of, size_t in_force,
                                 size_t scheduled) {
    char labels[METRICS_LABELS_SIZE];
    memcpy(labels, of, sizeof labels);
    metrics_label(labels, "status", "inForce");
    metrics_count(out, name, labels, in_force);
    memcpy(labels, of, sizeof labels);
    metrics_label(labels, "status", "scheduled");
    metrics_count(out, name, labels, scheduled);
}

static void put_constraints(const struct rows *rows) {
    metrics_family(rows->out, "derd_device_constraints", METRIC_GAUGE,
                   "Constraints on the device, proposals of policies too.");
    for (size_t i = 0; i < rows->count; i++)
        put_constraint_count(rows->out, "derd_device_constraints", rows->items[i].labels,
                             rows->items[i].in_force, rows->items[i].scheduled);
}

/* --- clusters -------------------------------------------------------------------------------- */

static bool cluster_shown(const struct rows *rows, size_t index) {
    const struct directory *directory = rows->sources->directory;
    return sees(rows->sources, &directory->clusters[index]) && directory->clusters[index].slot;
}

static void put_boxes(const struct rows *rows) {
    const struct directory *directory = rows->sources->directory;
    static const char missing[] = "derd_cluster_grid_operator_missing";
    metrics_family(rows->out, missing, METRIC_GAUGE,
                   "1: the grid operator's box is not heard, or states no limit: failsafe.");
    for (size_t i = 0; i < directory->cluster_count; i++) {
        char labels[METRICS_LABELS_SIZE] = "";
        struct operator_view view;
        if (!cluster_shown(rows, i) || !directory->clusters[i].box)
            continue;
        operator_slot_get(directory->clusters[i].box, &view);
        metrics_label(labels, "cluster", directory->clusters[i].key);
        metrics_count(rows->out, missing, labels, view.alarm);
    }
}

static void put_clusters(const struct rows *rows) {
    const struct directory *directory = rows->sources->directory;
    static const char constraints[] = "derd_cluster_constraints";
    metrics_family(rows->out, "derd_cluster_limit_unmet", METRIC_GAUGE,
                   "1: a limit of the cluster is beyond what can be reached.");
    for (size_t i = 0; i < directory->cluster_count; i++) {
        char labels[METRICS_LABELS_SIZE] = "";
        if (!cluster_shown(rows, i))
            continue;
        struct decided *decided = decided_slot_get(directory->clusters[i].slot);
        metrics_label(labels, "cluster", directory->clusters[i].key);
        metrics_count(rows->out, "derd_cluster_limit_unmet", labels,
                      decided->cluster->alarm[0] != '\0');
        decided_release(decided);
    }
    put_boxes(rows);
    metrics_family(rows->out, constraints, METRIC_GAUGE, "Constraints on the cluster.");
    for (size_t i = 0; i < directory->cluster_count; i++) {
        char labels[METRICS_LABELS_SIZE] = "";
        size_t in_force;
        size_t scheduled;
        if (!cluster_shown(rows, i))
            continue;
        struct decided *decided = decided_slot_get(directory->clusters[i].slot);
        decided_count(decided, rows->sources->now.wall, &in_force, &scheduled);
        decided_release(decided);
        metrics_label(labels, "cluster", directory->clusters[i].key);
        put_constraint_count(rows->out, constraints, labels, in_force, scheduled);
    }
}

void metrics_write_devices(const struct metrics_sources *sources, struct buf *out) {
    struct rows rows = {.sources = sources, .out = out};
    if (!sources->directory)
        return;
    fill_rows(&rows);
    put_clusters(&rows);
    put_words(&rows);
    put_points(&rows);
    put_values(&rows);
    put_constraints(&rows);
    metrics_family(out, "derd_metrics_devices_left_out", METRIC_GAUGE,
                   "Devices without samples here, since the text would become too large.");
    metrics_count(out, "derd_metrics_devices_left_out", "", rows.left_out);
    free(rows.items);
}
