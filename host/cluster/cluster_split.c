/* From the engine to the split and back: what is known of each device and of the grid meter goes
 * in, shares come out. A tree of clusters is split as a whole, for its devices share the limits of
 * all levels; a cluster that stands alone is a tree of one. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/text.h"
#include "cluster/cluster.h"
#include "device.h"
#include "machine.h"

#define NOTABLE_W    20   /* a measured power that moves by less changes no split */
#define NOTABLE_PART 0.01 /* of what the device can do */

static struct cluster *root_of(struct cluster *cluster) {
    while (cluster && cluster->parent)
        cluster = cluster->parent;
    return cluster;
}

static bool is_in_tree(const struct cluster *root, struct cluster *cluster) {
    return root_of(cluster) == root;
}

/* A device that is only watched, in a cluster that is controlled, is a load like any other. One
 * that was told something and has no machine any more still does it, whatever it is. */
static bool takes_part(const struct cluster *cluster, const struct device *device) {
    if (device->site->observe && !cluster->observe)
        return false;
    return device_controllable(device) ||
           (device->told_before && (!device->machine || !device_type_only_tells(device->type)));
}

/* --- one device ---------------------------------------------------------------------------------
 */

static enum split_reach reach_of(const struct device *device) {
    if (!device->machine || !device_reachable(device))
        return SPLIT_SILENT;
    if (device->site->observe)
        return SPLIT_REACHED;
    if (device->command.diverged) /* also while it is told once more */
        return SPLIT_STUBBORN;
    switch (device->command.state) {
    case COMMAND_REJECTED:
    case COMMAND_UNSUPPORTED:
    case COMMAND_DIVERGING:
        return SPLIT_STUBBORN;
    case COMMAND_NONE:
    case COMMAND_OBSERVED:
    case COMMAND_PENDING:
    case COMMAND_SENT:
    case COMMAND_CONFIRMED:
    case COMMAND_UNREACHABLE:
        break;
    }
    return SPLIT_REACHED;
}

static bool cannot_take(const struct device *device) {
    double state = device_quantity(device, POINT_STATE);
    return device->type == DEVICE_CHARGING_STATION && state == STATE_UNPLUGGED;
}

static bool is_full(const struct device *device) {
    return device->type == DEVICE_BATTERY && device->soc >= 99.5;
}

/* Where it would be by its own decision, and where it may be put. */
static void wants_of(const struct device *device, struct split_device *split) {
    const struct decision *wanted = &device->wanted;
    const struct driver_part *part = device_part(device);
    struct range range = {wanted->min, wanted->max};
    split->wants = split->may = (struct range){0, 0};
    if (!device->own.count || cannot_take(device))
        return;
    split->may = device->wanted_set ? (struct range){wanted->set, wanted->set} : range;
    if (wanted->has_set)
        split->wants = (struct range){wanted->set, wanted->set};
    else if (part && part->control.no_set_point != NO_SET_OFF)
        split->wants = range;
    if (is_full(device))
        split->may.hi = 0;
}

/* Phases of the site that it may use, each with the part of its power that a limit counts there. */
static void weights_of(const struct device *device, const double *quantities,
                       struct split_device *split) {
    double told = quantities[POINT_PHASES];
    int all = told >= 1 && told <= 3 ? (int)told : 3;
    double used = device->type == DEVICE_CHARGING_STATION ? device_phases(device) : NAN;
    bool fewer = used >= 1 && used < all;
    for (int i = 0; i < all; i++) {
        double current = quantities[POINT_CURRENT_L1 + i];
        bool idle = fewer && isfinite(current) && fabs(current) < 1;
        if (fewer && !isfinite(current))
            idle = i >= (int)used;
        split->weight[device->site->phases_of_site[i]] = idle ? 0 : 1.0 / all;
    }
}

/* W on each phase of the site, currents counting the voltage of the split. */
static void phases_of(const struct device *device, const double *quantities, double phases[3]) {
    for (int i = 0; i < 3; i++) {
        double power = quantities[POINT_ACTIVE_POWER_L1 + i];
        double current = quantities[POINT_CURRENT_L1 + i];
        double sign = (isfinite(power) ? power : quantities[POINT_ACTIVE_POWER]) < 0 ? -1 : 1;
        phases[device->site->phases_of_site[i]] =
            isfinite(current) ? sign * fabs(current) * SPLIT_VOLTAGE : power;
    }
}

static struct range nameplate_of(const struct device *device) {
    struct range hull = {-POWER_UNBOUNDED, POWER_UNBOUNDED};
    if (device->has_nameplate)
        hull = device->nameplate;
    else
        (void)ranges_hull(&device->own, &hull.lo, &hull.hi);
    return hull;
}

static void least_of(const struct device *device, const double *quantities,
                     struct split_device *split) {
    if (!device->machine)
        return;
    const struct control_context context = {.driver = machine_driver(device->machine),
                                            .part = device->part,
                                            .parameters = device->parameters,
                                            .quantities = quantities,
                                            .site = &device->site->limits};
    split->least = control_least(&context);
    for (size_t i = 0; i < device->own.count; i++)
        if (device->own.items[i].lo > 0 && ranges_contain(&device->own, 0)) {
            if (device->own.items[i].lo > split->least)
                split->least = device->own.items[i].lo;
            break;
        }
}

static void held_of(const struct device *device, struct split_device *split) {
    split->has_held = device->command.has_held;
    split->held = device->command.held;
    if (!device->site->observe)
        return;
    /* Never told: as if it did what is decided. */
    split->has_held = true;
    split->held = split->nameplate;
    if (device->share.limited && device->share.max < split->held.hi)
        split->held.hi = device->share.max > 0 ? device->share.max : 0;
    if (device->share.limited && device->share.min > split->held.lo)
        split->held.lo = device->share.min < 0 ? device->share.min : 0;
}

/* Of what has no driver only that it can be told something is known. */
static enum device_type type_of(const struct device *device) {
    bool known = device->machine || !device_type_only_tells(device->type);
    return known ? device->type : DEVICE_CHARGING_STATION;
}

static void describe(const struct device *device, struct split_device *split) {
    double quantities[POINT_NUMBER_COUNT];
    device_quantities(device, quantities);
    memset(split, 0, sizeof *split); /* it is compared as a whole */
    split->id = device->id;
    split->type = type_of(device);
    split->rank = device->site->share_rank;
    split->reach = reach_of(device);
    split->untold = device->command.state == COMMAND_UNSUPPORTED;
    split->own = device->own;
    split->power = quantities[POINT_ACTIVE_POWER];
    wants_of(device, split);
    least_of(device, quantities, split);
    weights_of(device, quantities, split);
    phases_of(device, quantities, split->phases);
    split->nameplate = nameplate_of(device);
    held_of(device, split);
    /* What it was told by an earlier host, or under an earlier entry, it may still hold. */
    split->has_failsafe = device->site->has_failsafe && (split->has_held || !device->told_before);
    split->failsafe = device->site->failsafe;
}

/* --- the grid meter -----------------------------------------------------------------------------
 */

static bool is_meter_of(const struct cluster *cluster, const struct device *device) {
    return strcmp(device->site->role, GRID_ROLE) == 0 &&
           strcmp(device->cluster_id, cluster->id) == 0;
}

static const struct device *meter_of(const struct cluster *cluster) {
    const struct device *device = cluster->engine->devices;
    while (device && !is_meter_of(cluster, device))
        device = device->next;
    return device;
}

static void read_meter(const struct device *meter, struct split_level *level) {
    level->meter = SPLIT_NO_METER;
    for (int i = 0; i < SPLIT_QUANTITIES; i++)
        level->metered[i] = NAN;
    if (!meter)
        return;
    level->meter = SPLIT_METER_STALE;
    double quantities[POINT_NUMBER_COUNT];
    device_quantities(meter, quantities);
    if (!device_reachable(meter) || meter->stale || isnan(quantities[POINT_ACTIVE_POWER]))
        return;
    level->meter = SPLIT_METER_FRESH;
    level->sampled_ms = device_known(meter, POINT_ACTIVE_POWER)->mono.ms;
    level->metered[0] = quantities[POINT_ACTIVE_POWER];
    phases_of(meter, quantities, level->metered + 1);
}

/* --- the whole tree -----------------------------------------------------------------------------
 */

struct tree {
    struct cluster *root;
    struct cluster **clusters; /* parents before their children */
    struct split_level *levels;
    size_t cluster_count;
    struct device **devices;
    struct split_device *splits;
    size_t device_count;
};

static void tree_free(struct tree *tree) {
    free(tree->clusters);
    free(tree->levels);
    free(tree->devices);
    free(tree->splits);
}

static int level_of(const struct tree *tree, const struct cluster *cluster) {
    for (size_t i = 0; i < tree->cluster_count; i++)
        if (tree->clusters[i] == cluster)
            return (int)i;
    return -1;
}

static int level_by_id(const struct tree *tree, const char *id) {
    for (size_t i = 0; i < tree->cluster_count; i++)
        if (strcmp(tree->clusters[i]->id, id) == 0)
            return (int)i;
    return -1;
}

/* The longest that two measurements may be apart: that of the slowest device, and its lag. */
static int64_t window_of(const struct device *device) {
    const struct driver_part *part = device_part(device);
    int64_t valid_ms = device_known(device, POINT_ACTIVE_POWER)->valid_ms;
    int64_t lag_ms = part && part->control.present ? part->control.lag_ms : 0;
    return (valid_ms == INT64_MAX ? 0 : valid_ms) + lag_ms;
}

static void add_level(struct tree *tree, struct cluster *cluster) {
    struct split_level *level = &tree->levels[tree->cluster_count];
    *level = cluster->level;
    level->parent = cluster->parent ? level_of(tree, cluster->parent) : -1;
    memcpy(level->limits, cluster->limits, sizeof level->limits);
    level->declared = cluster->permanent.uncontrolled_import;
    level->window_ms = 0;
    const struct device *meter = meter_of(cluster);
    read_meter(meter, level);
    if (meter)
        level->window_ms = window_of(meter);
    tree->clusters[tree->cluster_count++] = cluster;
}

/* Parents first: each round takes those whose parent stands already. */
static void add_levels(struct tree *tree) {
    size_t before;
    do {
        before = tree->cluster_count;
        for (struct cluster *cluster = tree->root->engine->clusters; cluster;
             cluster = cluster->next)
            if (is_in_tree(tree->root, cluster) && level_of(tree, cluster) < 0 &&
                (!cluster->parent || level_of(tree, cluster->parent) >= 0))
                add_level(tree, cluster);
    } while (tree->cluster_count > before);
}

static void add_devices(struct tree *tree) {
    for (struct device *device = tree->root->engine->devices; device; device = device->next) {
        int level = level_by_id(tree, device->cluster_id);
        if (level < 0 || !takes_part(tree->clusters[level], device))
            continue;
        struct split_device *split = &tree->splits[tree->device_count];
        describe(device, split);
        if (!device->split_seen)
            device->split_seen = malloc(sizeof *device->split_seen);
        if (device->split_seen) /* without memory it never is as before: it is split again */
            *device->split_seen = *split;
        split->state = device->split_state;
        split->level = level;
        int64_t window_ms = window_of(device);
        for (int at = level; at >= 0; at = tree->levels[at].parent)
            if (window_ms > tree->levels[at].window_ms)
                tree->levels[at].window_ms = window_ms;
        tree->devices[tree->device_count++] = device;
    }
}

static bool tree_read(struct tree *tree, struct cluster *root) {
    size_t clusters = 0, devices = 0;
    for (struct cluster *cluster = root->engine->clusters; cluster; cluster = cluster->next)
        clusters++;
    for (struct device *device = root->engine->devices; device; device = device->next)
        devices++;
    *tree = (struct tree){.root = root,
                          .clusters = calloc(clusters + 1, sizeof(void *)),
                          .levels = calloc(clusters + 1, sizeof(struct split_level)),
                          .devices = calloc(devices + 1, sizeof(void *)),
                          .splits = calloc(devices + 1, sizeof(struct split_device))};
    if (!tree->clusters || !tree->levels || !tree->devices || !tree->splits) {
        log_error(root->key, "no memory to split its limits: shares stay as they are");
        tree_free(tree);
        return false;
    }
    add_levels(tree);
    add_devices(tree);
    return true;
}

/* --- in plain words -----------------------------------------------------------------------------
 */

static const char *const quantity_names[] = {"", " on L1", " on L2", " on L3"};

/* "4200 W of home (grid operator, priority 3000, until ...)" */
static void say_limit(const struct cluster *cluster, int side, int scope, int quantity,
                      struct buf *text) {
    const struct limit *limit = &cluster->limits[scope];
    int by = quantity ? limit->current_by[quantity - 1] : side ? limit->min_by : limit->max_by;
    if (quantity)
        buf_format(text, "%g A%s", limit->current[quantity - 1], quantity_names[quantity]);
    else
        buf_format(text, "%d W", side ? limit->min : limit->max);
    buf_format(text, " of cluster %s", cluster->key);
    if (by >= 0 && (size_t)by < cluster->book.count) {
        char label[CONSTRAINT_LABEL_SIZE];
        struct constraint constraint;
        entry_read(&cluster->book.entries[by], &constraint);
        constraint_label(&constraint, label);
        buf_format(text, " (%s)", label);
    } else {
        buf_text(text, " (site file)");
    }
}

/* The budget that a share is told against: the one that bound it, else the first that is limited.
 */
static int told_against(const struct tree *tree, const struct split_device *split, int side) {
    if (split->sides[side].by >= 0)
        return split->sides[side].by;
    for (int level = split->level; level >= 0; level = tree->levels[level].parent)
        for (int scope = SCOPE_CONNECTION; scope < SCOPE_COUNT; scope++)
            for (int q = 0; q < SPLIT_QUANTITIES; q++)
                if (tree->levels[level].room[side][scope][q] < (double)INFINITY &&
                    (q == 0 || split->weight[q - 1] > 0))
                    return (level * SCOPE_COUNT + scope) * SPLIT_QUANTITIES + q;
    return -1;
}

static void say_reason(const struct split_device *split, int side, struct buf *text) {
    const struct split_side *of = &split->sides[side];
    switch (of->why) {
    case SPLIT_FREE:
    case SPLIT_REASON_COUNT:
        break;
    case SPLIT_ALL:
        buf_text(text, ": all that it wants");
        break;
    case SPLIT_PART:
        buf_format(text, ": it wants %.0f W", of->want);
        break;
    case SPLIT_NO_STEP:
        buf_format(text, ": it cannot run below %d W and waits", split->least);
        break;
    case SPLIT_RESTS:
        buf_text(text, ": it was switched off a short while ago and rests");
        break;
    case SPLIT_WAITS:
        buf_format(text, ": %.0f W when others have confirmed that they have gone down",
                   of->ideal_want);
        break;
    case SPLIT_RAISED:
        buf_format(text, "; against too much export it takes at least %.0f W", split->rise);
        break;
    case SPLIT_COUNTED:
        buf_format(text, ": it does not answer and counts with %.0f W", of->counted);
        break;
    }
    if (split->reach == SPLIT_STUBBORN && of->counted > 0)
        buf_format(text, "; it does not do as told and counts with %.0f W", of->counted);
}

static void say_share(const struct tree *tree, const struct split_device *split,
                      struct cluster_share *share) {
    struct buf text;
    buf_init(&text, sizeof share->why);
    for (int side = 0; side < 2; side++) {
        int against = told_against(tree, split, side);
        bool useless = side == 0 ? split->own.count && split->sides[0].cap <= 0
                                 : split->own.count && split->sides[1].cap <= 0;
        if (against < 0 || (useless && split->sides[side].why != SPLIT_RAISED))
            continue;
        int32_t watts = (int32_t)floor(split->sides[side].given + 1e-6);
        buf_format(&text, "%s%d W of the ", text.length ? ". " : "", side ? -watts : watts);
        say_limit(tree->clusters[against / (SCOPE_COUNT * SPLIT_QUANTITIES)], side,
                  against / SPLIT_QUANTITIES % SCOPE_COUNT, against % SPLIT_QUANTITIES, &text);
        say_reason(split, side, &text);
    }
    snprintf(share->why, sizeof share->why, "%s", buf_string(&text));
    buf_free(&text);
}

/* --- what cannot be reached ---------------------------------------------------------------------
 */

static void say_culprits(const struct tree *tree, int level, int side, int scope,
                         struct buf *text) {
    if (scope == SCOPE_CONNECTION)
        buf_format(text, "; uncontrolled: %.0f W", tree->levels[level].uncontrolled[side][0]);
    for (size_t i = 0; i < tree->device_count; i++) {
        const struct split_device *split = &tree->splits[i];
        double counts = fmax(split->sides[side].counted, split->sides[side].minimum);
        if (counts <= 0 || text->length > 300)
            continue;
        const char *why = split->reach == SPLIT_SILENT     ? "does not answer"
                          : split->reach == SPLIT_STUBBORN ? "does not do as told"
                                                           : "cannot be lower";
        if (isinf(counts))
            buf_format(text, "; %s %s, and nothing is known of it", tree->devices[i]->site->key,
                       why);
        else
            buf_format(text, "; %s %s: %.0f W", tree->devices[i]->site->key, why, counts);
    }
}

static bool say_over(const struct tree *tree, int level, struct buf *text) {
    const struct split_level *at = &tree->levels[level];
    for (int side = 0; side < 2; side++)
        for (int scope = SCOPE_CONNECTION; scope < SCOPE_COUNT; scope++)
            for (int q = 0; q < SPLIT_QUANTITIES; q++) {
                double over = at->over[side][scope][q];
                if (over <= 0)
                    continue;
                say_limit(tree->clusters[level], side, scope, q, text);
                if (isinf(over) && at->blind[q])
                    buf_text(text, ": its meter gives no value and maxUncontrolledPower is not "
                                   "declared; nothing is given");
                else if (isinf(over))
                    buf_text(text, " cannot be kept for certain");
                else
                    buf_format(text, " is exceeded by %.0f W whatever is done", over);
                say_culprits(tree, level, side, scope, text);
                return true;
            }
    return false;
}

static void note_alarm(struct tree *tree, int index, struct now now) {
    struct cluster *cluster = tree->clusters[index];
    struct buf text;
    buf_init(&text, sizeof cluster->alarm);
    bool over = say_over(tree, index, &text);
    if (over && !cluster->alarm[0]) {
        cluster->alarm_since = now.wall;
        log_warning(cluster->key, "a limit cannot be kept: %s", buf_string(&text));
    } else if (!over && cluster->alarm[0]) {
        log_info(cluster->key, "all limits can be kept again");
    }
    snprintf(cluster->alarm, sizeof cluster->alarm, "%s", over ? buf_string(&text) : "");
    buf_free(&text);
}

/* --- splitting ----------------------------------------------------------------------------------
 */

static struct cluster_share share_of(const struct tree *tree, size_t index) {
    const struct split_device *split = &tree->splits[index];
    struct cluster_share share = {
        .limited = split->limited, .min = split->share.lo, .max = split->share.hi};
    memcpy(share.device_id, tree->devices[index]->id, sizeof share.device_id);
    snprintf(share.key, sizeof share.key, "%s", tree->devices[index]->site->key);
    if (share.limited)
        say_share(tree, split, &share);
    return share;
}

static bool goes_down(const struct device *device, const struct cluster_share *share) {
    return !device->share.limited || share->max < device->share.max ||
           share->min > device->share.min;
}

/* Those that go down are told first: what they free is given on when they have confirmed it. */
static void give_shares(struct tree *tree) {
    for (int down = 1; down >= 0; down--)
        for (size_t i = 0; i < tree->device_count; i++) {
            struct cluster_share share = share_of(tree, i);
            if (down == (share.limited && goes_down(tree->devices[i], &share)))
                device_take_share(tree->devices[i], &share);
        }
}

static void split_due(uv_timer_t *timer) {
    struct cluster *root = timer->data;
    cluster_split(root);
}

static void split_at(struct cluster *root, int64_t wait_ms) {
    uv_update_time(&root->engine->loop);
    uv_timer_start(&root->split, split_due, wait_ms > 0 ? (uint64_t)wait_ms : 0, 0);
}

static bool is_bound(const struct cluster *root) {
    for (struct cluster *cluster = root->engine->clusters; cluster; cluster = cluster->next)
        if (is_in_tree(root, cluster) && !(limit_open(&cluster->limits[SCOPE_CONNECTION]) &&
                                           limit_open(&cluster->limits[SCOPE_CONTROLLABLE])))
            return true;
    return false;
}

void cluster_split(struct cluster *cluster) {
    struct cluster *root = root_of(cluster);
    bool before = root->bound;
    struct tree tree;
    root->bound = is_bound(root);
    root->split_due = false;
    uv_timer_stop(&root->split);
    if (root->engine->stopping || (!before && !root->bound) || !tree_read(&tree, root))
        return;
    struct now now = clock_now(&root->engine->clock);
    int64_t again_ms;
    split(tree.levels, tree.cluster_count, tree.splits, tree.device_count, now.mono.ms, &again_ms);
    for (size_t i = 0; i < tree.device_count; i++)
        tree.devices[i]->split_state = tree.splits[i].state;
    for (size_t i = 0; i < tree.cluster_count; i++) {
        tree.clusters[i]->level = tree.levels[i];
        note_alarm(&tree, (int)i, now);
    }
    give_shares(&tree);
    for (size_t i = 0; i < tree.cluster_count; i++)
        cluster_publish(tree.clusters[i], now);
    if (again_ms != INT64_MAX && !root->split_due)
        split_at(root, again_ms - now.mono.ms);
    tree_free(&tree);
}

/* --- when ---------------------------------------------------------------------------------------
 */

static bool power_moved(double before, double now, const struct range *nameplate) {
    if (isnan(before) || isnan(now))
        return isnan(before) != isnan(now);
    double whole = fmax(fabs((double)nameplate->lo), fabs((double)nameplate->hi));
    return fabs(before - now) > fmax(NOTABLE_W, whole < 1e9 ? NOTABLE_PART * whole : 0);
}

static bool same_range(const struct range *a, const struct range *b) {
    return a->lo == b->lo && a->hi == b->hi;
}

static bool is_as_before(const struct device *device) {
    const struct split_device *before = device->split_seen;
    struct split_device now;
    describe(device, &now);
    return before && before->reach == now.reach && before->untold == now.untold &&
           before->least == now.least && before->has_held == now.has_held &&
           same_range(&before->held, &now.held) && same_range(&before->wants, &now.wants) &&
           same_range(&before->may, &now.may) && before->own.count == now.own.count &&
           memcmp(before->own.items, now.own.items, now.own.count * sizeof *now.own.items) == 0 &&
           before->weight[0] == now.weight[0] && before->weight[1] == now.weight[1] &&
           before->weight[2] == now.weight[2] && same_range(&before->nameplate, &now.nameplate) &&
           !power_moved(before->power, now.power, &now.nameplate);
}

static bool meter_is_as_before(const struct cluster *cluster, const struct device *device) {
    struct split_level now;
    read_meter(device, &now);
    return now.meter == cluster->level.meter && now.sampled_ms == cluster->level.sampled_ms;
}

void cluster_touch(struct device *device) {
    struct cluster *cluster = engine_cluster_by_id(device->engine, device->cluster_id);
    struct cluster *root = root_of(cluster);
    if (!root || !root->bound || root->split_due || device->engine->stopping)
        return;
    bool same = true;
    if (is_meter_of(cluster, device))
        same = meter_is_as_before(cluster, device);
    if (same && takes_part(cluster, device))
        same = is_as_before(device);
    if (same)
        return;
    root->split_due = true;
    split_at(root, 0);
}

void cluster_arrive(struct device *device) {
    if (!device->split_seen || device->split_seen->reach != SPLIT_SILENT ||
        !device_reachable(device))
        return;
    struct cluster *cluster = engine_cluster_by_id(device->engine, device->cluster_id);
    const struct cluster *root = root_of(cluster);
    if (root && root->bound && !device->engine->stopping && takes_part(cluster, device))
        cluster_split(cluster);
}

void cluster_settle(struct device *device) {
    struct cluster *root = root_of(engine_cluster_by_id(device->engine, device->cluster_id));
    if (root && root->split_due)
        cluster_split(root);
}

/* --- for readers --------------------------------------------------------------------------------
 */

/* Of it, or of a cluster inside it. */
static bool stands_in(const struct cluster *cluster, const struct device *device) {
    const struct cluster *at = engine_cluster_by_id(device->engine, device->cluster_id);
    while (at && at != cluster)
        at = at->parent;
    return at != NULL;
}

size_t cluster_share_count(const struct cluster *cluster) {
    size_t count = 0;
    for (const struct device *device = cluster->engine->devices; device; device = device->next)
        count += device->share.limited && stands_in(cluster, device);
    return count;
}

static struct cluster_share shown_share(const struct device *device) {
    struct cluster_share share = {
        .limited = device->share.limited, .min = device->share.min, .max = device->share.max};
    memcpy(share.device_id, device->id, sizeof share.device_id);
    snprintf(share.key, sizeof share.key, "%s", device->site->key);
    snprintf(share.why, sizeof share.why, "%s", text_of(device->share_why));
    return share;
}

void cluster_fill_split(struct cluster *cluster, struct decided *decided) {
    struct cluster_decided *shown = decided->cluster;
    const struct split_level *level = &cluster->level;
    const struct device *meter = meter_of(cluster);
    size_t count = 0;
    double controllable = 0;
    for (const struct device *device = cluster->engine->devices; device; device = device->next) {
        if (!stands_in(cluster, device) || !takes_part(cluster, device))
            continue;
        double power = device_quantity(device, POINT_ACTIVE_POWER);
        controllable += isnan(power) ? 0 : power;
        if (device->share.limited && count < shown->share_count)
            shown->shares[count++] = shown_share(device);
    }
    shown->share_count = count;
    shown->measure.controllable = controllable;
    if (meter)
        snprintf(shown->measure.meter, sizeof shown->measure.meter, "%s", meter->site->key);
    snprintf(shown->alarm, sizeof shown->alarm, "%s", cluster->alarm);
    shown->alarm_since = cluster->alarm_since;
    struct split_level now = {.meter = SPLIT_NO_METER};
    read_meter(meter, &now);
    shown->measure.power = now.metered[0];
    for (int i = 0; i < 3; i++)
        shown->measure.power_phases[i] = now.metered[i + 1];
    if (!root_of(cluster)->bound || limit_open(&cluster->limits[SCOPE_CONNECTION]))
        return;
    shown->measure.metered = level->by_meter[0];
    shown->measure.uncontrolled = level->by_meter[0] ? level->moments[0].rest[0] : level->declared;
}
