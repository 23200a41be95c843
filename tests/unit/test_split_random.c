/* The split on random sites over many steps of one second: devices that lag, fall silent and come
 * back, do not obey, are plugged and unplugged; a house whose load jumps; limits that come and go;
 * meters that fall silent. Held against what is promised:
 *
 *   always     beside what each still holds, nobody is raised beyond a limit
 *   settled    nothing changed for longer than the slowest device needs to hear, confirm and
 * follow: the devices that can be reached and obey stay within what the others leave of every
 *              limit, by their true powers; nobody waits for a confirmation any more; and the
 *              connection, where a meter sees it, carries no more than it may
 *
 * `test_split_random [STEPS [SEED]]`, or --full for a million and more. A failure names its seed.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "split_site.h"

#if defined(DERD_SANITIZED)
#define STEPS_QUICK 30000
#else
#define STEPS_QUICK 100000
#endif
#define STEPS_FULL  2000000
#define STEPS_PROOF 100000 /* so many must have had enough that settled */
#define SITE_STEPS  2000   /* then another site */
#define LAG_MOST    4      /* s */
#define SENT_MOST   3
#define PERIOD      2 /* s, at most, between two measurements */
#define NOTICE      2 /* s until silence or disobedience is known */
#define SETTLED     (2 * (LAG_MOST + SENT_MOST) + NOTICE + 2 * PERIOD + 16)
/* A step of the load is answered within this, also when another command and its lag were under way.
 */
#define ANSWERED (2 * SENT_MOST + 2 * LAG_MOST + 2 * PERIOD)
#define SLACK    1.5 /* W: shares are whole */

struct being { /* a device as it truly is */
    int lag, takes_to_send, period;
    struct range told;    /* what it obeys */
    int settles;          /* seconds until it does */
    struct range sending; /* on its way */
    int sending_left;     /* 0: nothing is */
    bool sent_once;
    struct range aim; /* as last sent */
    double power, appetite;
    int silent_left, stubborn_left, noticed;
    bool has_failsafe;
    struct range failsafe;
    bool has_set;
    int32_t set;
    int waits; /* s for a confirmation, while all is settled */
};

struct world {
    struct split_site site;
    struct being beings[SITE_DEVICES];
    double house, sun;
    int meter_silent_left;
    int quiet; /* seconds since anything changed */
    uint64_t random;
    long step, settled_steps, binding_steps, beyond_steps;
    double left[SITE_LEVELS][2][SCOPE_COUNT][SPLIT_QUANTITIES]; /* W, a second ago */
    int carries[2];
    int beyond[SITE_LEVELS][2][SCOPE_COUNT][SPLIT_QUANTITIES]; /* s, each budget */
};

static uint64_t next_random(struct world *world) { /* xorshift64*, Vigna 2014 */
    world->random ^= world->random >> 12;
    world->random ^= world->random << 25;
    world->random ^= world->random >> 27;
    return world->random * UINT64_C(2685821657736338717);
}

static int32_t pick(struct world *world, int32_t least, int32_t most) {
    return least + (int32_t)(next_random(world) % (uint64_t)(most - least + 1));
}

static bool chance(struct world *world, int of_thousand) {
    return pick(world, 0, 999) < of_thousand;
}

static double unit(struct world *world) {
    return pick(world, 0, 1000) / 1000.0;
}

/* --- the site ----------------------------------------------------------------------------------
 */

static const char *const names[SITE_DEVICES] = {"a", "b", "c", "d", "e", "f",
                                                "g", "h", "i", "j", "k", "l"};

static void make_device(struct world *world, int index) {
    struct split_site *site = &world->site;
    struct split_device *device;
    switch (pick(world, 0, 4)) {
    case 0:
        device = site_device(site, names[index], DEVICE_BATTERY, -pick(world, 1, 6000),
                             pick(world, 1, 6000));
        break;
    case 1:
        device = site_device(site, names[index], DEVICE_INVERTER, -pick(world, 1, 10000), 0);
        break;
    case 2:
        device = site_device(site, names[index], DEVICE_HEAT_PUMP,
                             chance(world, 300) ? pick(world, 1, 600) : 0, pick(world, 700, 4000));
        break;
    default:
        device = site_car(site, names[index], pick(world, -1, 2));
        break;
    }
    device->rank = pick(world, 0, 2) * 100;
    device->level = pick(world, 0, (int32_t)site->level_count - 1);
    device->has_held = false;
    struct being *being = &world->beings[index];
    *being = (struct being){.lag = pick(world, 0, LAG_MOST),
                            .takes_to_send = pick(world, 1, SENT_MOST),
                            .period = pick(world, 1, PERIOD),
                            .appetite = unit(world),
                            .has_failsafe = chance(world, 400)};
    being->told = device->nameplate;
    being->failsafe = (struct range){device->nameplate.lo / 2, device->nameplate.hi / 2};
    device->has_failsafe = being->has_failsafe;
    device->failsafe = being->failsafe;
}

static void change_limit(struct world *world, struct split_level *level) {
    struct limit *limit = &level->limits[pick(world, SCOPE_CONNECTION, SCOPE_CONTROLLABLE)];
    switch (pick(world, 0, 4)) {
    case 0:
        limit->max = chance(world, 200) ? POWER_UNBOUNDED : pick(world, 0, 20000);
        break;
    case 1:
        limit->min = chance(world, 200) ? -POWER_UNBOUNDED : -pick(world, 0, 12000);
        break;
    case 2:
        for (int i = 0; i < 3; i++)
            limit->current[i] = chance(world, 200) ? (double)INFINITY : pick(world, 0, 64);
        break;
    default:
        *limit = limit_none();
        break;
    }
}

static void make_site(struct world *world) {
    struct split_site *site = &world->site;
    *site = site_new();
    while (site->level_count < SITE_LEVELS && chance(world, 400))
        site_level(site, pick(world, 0, (int32_t)site->level_count - 1));
    int count = pick(world, 1, 7);
    for (int i = 0; i < count; i++)
        make_device(world, i);
    for (size_t i = 0; i < site->level_count; i++) {
        site->levels[i].window_ms = 3000 * PERIOD + 1000 * LAG_MOST;
        site->levels[i].declared = chance(world, 500) ? pick(world, 0, 5000) : (double)NAN;
        change_limit(world, &site->levels[i]);
    }
    world->house = pick(world, -2000, 6000);
    world->sun = unit(world);
    world->quiet = 0;
    world->meter_silent_left = 0;
}

/* --- devices as they are ------------------------------------------------------------------------
 */

static double clamp(double value, double lo, double hi) {
    return value < lo ? lo : value > hi ? hi : value;
}

/* Where a device goes by itself within what it obeys. */
static double goes_to(const struct world *world, const struct split_device *device,
                      const struct being *being) {
    const struct range *own = &device->nameplate;
    double lo = being->told.lo > own->lo ? being->told.lo : own->lo;
    double hi = being->told.hi < own->hi ? being->told.hi : own->hi;
    int32_t least_able = 0, most_able = 0;
    (void)ranges_hull(&device->own, &least_able, &most_able);
    if (device->type == DEVICE_INVERTER)
        return fmax(-world->sun * -(double)own->lo, lo);
    if (device->type == DEVICE_BATTERY)
        return clamp(own->lo + being->appetite * (own->hi - own->lo), fmin(lo, hi), hi);
    double power = fmin(hi, being->appetite * own->hi);
    if (power < device->least)
        power = 0;
    return fmax(power, least_able > 0 ? least_able : 0);
}

static void live(struct world *world, int index) {
    struct split_device *device = &world->site.devices[index];
    struct being *being = &world->beings[index];
    if (being->settles == 0 && !being->stubborn_left)
        being->power = goes_to(world, device, being);
    if (being->sending_left > 0 && !being->silent_left && --being->sending_left == 0) {
        being->told = being->sending;
        if (being->settles == 0) /* else it is on its way already */
            being->settles = being->lag;
        device->held = being->sending;
        device->has_held = true;
    }
    double aim = goes_to(world, device, being);
    if (being->stubborn_left)
        being->power =
            device->nameplate.lo + being->appetite * (device->nameplate.hi - device->nameplate.lo);
    else if (being->settles > 0)
        being->settles--; /* stays where it was */
    else
        being->power = aim;
    if (world->step % being->period == 0)
        device->power = being->power;
}

static struct range united(struct range a, struct range b) {
    return (struct range){a.lo < b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
}

/* What the host tells it now: the share, and within it the set point. */
static void tell(struct world *world, int index) {
    struct split_device *device = &world->site.devices[index];
    struct being *being = &world->beings[index];
    struct range aim = {
        device->share.lo > device->nameplate.lo ? device->share.lo : device->nameplate.lo,
        device->share.hi < device->nameplate.hi ? device->share.hi : device->nameplate.hi};
    if (device->reach == SPLIT_SILENT || being->sending_left > 0)
        return;          /* one thing at a time */
    if (aim.lo > aim.hi) /* raised against export to all that it has */
        aim.lo = aim.hi;
    if (being->has_set && device->rise <= 0) {
        int32_t set = (int32_t)clamp(being->set, aim.lo, aim.hi);
        if (set > 0 && set < device->least)
            set = 0;
        aim = (struct range){set < 0 ? set : 0, set > 0 ? set : 0};
    }
    if (being->sent_once && memcmp(&aim, &being->aim, sizeof aim) == 0)
        return;
    being->sent_once = true;
    being->aim = being->sending = aim;
    being->sending_left = being->takes_to_send;
    struct range span = {aim.lo < 0 ? aim.lo : 0, aim.hi > 0 ? aim.hi : 0};
    being->sending.lo = aim.lo;
    if (device->has_held)
        device->held = united(device->held, span);
}

/* --- what happens -------------------------------------------------------------------------------
 */

static void happens_to(struct world *world, int index) {
    struct split_device *device = &world->site.devices[index];
    struct being *being = &world->beings[index];
    enum split_reach before = device->reach;
    if (!being->silent_left && chance(world, 3)) {
        being->silent_left = pick(world, 1, 120);
        being->noticed = 0;
        if (being->sending_left && chance(world, 500))
            being->told = being->sending; /* heard, and not confirmed */
    } else if (!being->silent_left && !being->stubborn_left && chance(world, 2)) {
        being->stubborn_left = pick(world, 1, 120);
        being->noticed = 0;
    } else if (being->silent_left && being->has_failsafe && chance(world, 50)) {
        being->told = being->failsafe;
        world->quiet = 0;
    }
    if (chance(world, 5)) {
        being->appetite = unit(world);
        being->has_set = chance(world, 400);
        being->set = pick(world, device->nameplate.lo, device->nameplate.hi);
        world->quiet = 0;
    }
    device->wants = being->has_set ? (struct range){being->set, being->set} : device->nameplate;
    device->may = device->wants;
    if (being->silent_left && --being->silent_left == 0) {
        being->sending_left = 0;
        being->sent_once = false; /* told anew when it is back */
        world->quiet = 0;
    }
    if (being->stubborn_left && --being->stubborn_left == 0) {
        being->settles = 0;
        world->quiet = 0;
    }
    being->noticed += being->silent_left || being->stubborn_left;
    bool known = being->noticed > NOTICE + being->lag;
    device->reach = known && being->silent_left     ? SPLIT_SILENT
                    : known && being->stubborn_left ? SPLIT_STUBBORN
                                                    : SPLIT_REACHED;
    if (device->reach != before || being->silent_left == 1 || being->noticed == 1)
        world->quiet = 0;
    if ((being->silent_left || being->stubborn_left) && !known)
        world->quiet = 0; /* nobody can know yet */
}

static void happens(struct world *world) {
    struct split_site *site = &world->site;
    for (size_t i = 0; i < site->level_count; i++)
        if (chance(world, 4)) {
            change_limit(world, &site->levels[i]);
            world->quiet = 0;
        }
    if (chance(world, 10)) {
        world->house = pick(world, -2000, 6000);
        world->quiet = 0;
    }
    if (chance(world, 5)) {
        world->sun = unit(world);
        world->quiet = 0;
    }
    if (world->meter_silent_left) {
        if (--world->meter_silent_left == 0)
            world->quiet = 0;
    } else if (chance(world, 2)) {
        world->meter_silent_left = pick(world, 1, 60);
        world->quiet = 0;
    }
    for (size_t i = 0; i < site->device_count; i++)
        happens_to(world, (int)i);
}

static double carried(const struct world *world) {
    double sum = world->house;
    for (size_t i = 0; i < world->site.device_count; i++)
        sum += world->beings[i].power;
    return sum;
}

static void see(struct world *world) {
    struct split_level *level = &world->site.levels[0];
    level->meter = world->meter_silent_left ? SPLIT_METER_STALE : SPLIT_METER_FRESH;
    if (level->meter != SPLIT_METER_FRESH || world->step % PERIOD)
        return;
    level->sampled_ms = world->site.now_ms;
    level->metered[0] = carried(world);
    for (int q = 1; q < SPLIT_QUANTITIES; q++) {
        level->metered[q] = world->house / 3;
        for (size_t i = 0; i < world->site.device_count; i++)
            level->metered[q] += world->beings[i].power * world->site.devices[i].weight[q - 1];
    }
}

/* --- what is promised ---------------------------------------------------------------------------
 */

static bool stands_below(const struct split_site *site, const struct split_device *device,
                         int level) {
    for (int at = device->level; at >= 0; at = site->levels[at].parent)
        if (at == level)
            return true;
    return false;
}

static double weight(const struct split_device *device, int quantity) {
    return quantity == 0 ? 1 : device->weight[quantity - 1];
}

static double bound(const struct limit *limit, int side, int quantity) {
    if (quantity > 0)
        return limit->current[quantity - 1] * SPLIT_VOLTAGE;
    if (side == 0)
        return limit->max == POWER_UNBOUNDED ? (double)INFINITY : limit->max;
    return limit->min == -POWER_UNBOUNDED ? (double)INFINITY : -(double)limit->min;
}

static double toward(double power, int side) {
    double magnitude = side == 0 ? power : -power;
    return magnitude > 0 ? magnitude : 0;
}

static double edge(const struct range *range, int side) {
    return toward(side == 0 ? range->hi : range->lo, side);
}

/* What one counts with that cannot be told, by the rule's text: a silent one with the largest of
 * what it was told last and its failsafe, its nameplate if neither is known; a stubborn one as
 * measured. */
static double counts_with(const struct split_device *device, int side) {
    if (device->reach == SPLIT_STUBBORN)
        return toward(device->power, side);
    if (device->reach != SPLIT_SILENT)
        return 0;
    if (!device->has_held && !device->has_failsafe)
        return edge(&device->nameplate, side);
    double held = device->has_held ? edge(&device->held, side) : 0;
    return fmax(held, device->has_failsafe ? edge(&device->failsafe, side) : 0);
}

struct budget {
    int level, side, scope, quantity;
    double room; /* of the limit, less the uncontrolled load as the split took it */
};

static int complain(const struct world *world, const struct budget *budget, const char *what,
                    double sum) {
    printf("step %ld: %s: %.2f W of %.2f W (level %d, %s, %s, quantity %d)\n", world->step, what,
           sum, budget->room, budget->level, budget->side ? "export" : "import",
           scope_name((enum scope)budget->scope), budget->quantity);
    for (size_t i = 0; i < world->site.device_count; i++) {
        const struct split_device *device = &world->site.devices[i];
        printf("  %s type %d level %d reach %d power %.0f held %d..%d%s share %d..%d counted %.0f "
               "rise %.0f told %d..%d settles %d least %d rank %d ideal %.2f %.2f given %.2f held "
               "%.2f "
               "why %d want %.2f\n",
               device->id, (int)device->type, device->level, (int)device->reach,
               world->beings[i].power, device->held.lo, device->held.hi,
               device->has_held ? "" : " (not told)", device->share.lo, device->share.hi,
               device->sides[budget->side].counted, device->rise, world->beings[i].told.lo,
               world->beings[i].told.hi, world->beings[i].settles, device->least, device->rank,
               device->sides[budget->side].ideal_want, device->sides[budget->side].ideal,
               device->sides[budget->side].given, device->sides[budget->side].held,
               (int)device->sides[budget->side].why, device->sides[budget->side].want);
    }
    return 1;
}

/* Always: held or given, whichever is more, fits; or nobody who draws on it is raised. */
static int check_raises(const struct world *world, const struct budget *budget) {
    const struct split_site *site = &world->site;
    double sum = 0, raised = 0;
    for (size_t i = 0; i < site->device_count; i++) {
        const struct split_device *device = &site->devices[i];
        const struct split_side *side = &device->sides[budget->side];
        double apart = counts_with(device, budget->side);
        double counts = fmax(fmax(side->minimum, apart), fmax(side->held, side->given));
        if (!stands_below(site, device, budget->level) || weight(device, budget->quantity) <= 0)
            continue;
        if (device->reach == SPLIT_SILENT)
            counts = fmax(apart, side->minimum);
        if (device->reach == SPLIT_REACHED)
            raised += side->given > fmax(side->held, side->minimum) + SLACK ? 1 : 0;
        sum += weight(device, budget->quantity) * counts;
    }
    if (raised > 0 && sum > budget->room + SLACK)
        return complain(world, budget, "raised beyond the limit", sum);
    return 0;
}

/* By true powers, those who can be reached and obey stay within what the others leave, but for the
 * time that the slowest needs to be told and to follow: the room itself moves while PV is released.
 */
static int check_powers(struct world *world, const struct budget *budget) {
    int *beyond = &world->beyond[budget->level][budget->side][budget->scope][budget->quantity];
    const struct split_site *site = &world->site;
    double obey = 0, least = 0, others = 0;
    for (size_t i = 0; i < site->device_count; i++) {
        const struct split_device *device = &site->devices[i];
        const struct split_side *side = &device->sides[budget->side];
        double part = weight(device, budget->quantity);
        if (!stands_below(site, device, budget->level) || part <= 0)
            continue;
        if (device->reach != SPLIT_REACHED) {
            others += part * fmax(side->minimum, counts_with(device, budget->side));
            continue;
        }
        obey += part * toward(world->beings[i].power, budget->side);
        least += part * side->minimum;
    }
    double left = fmax(budget->room - others, least);
    if (world->quiet > SETTLED)
        world->binding_steps += obey > 0.9 * left && obey > least;
    double *before = &world->left[budget->level][budget->side][budget->scope][budget->quantity];
    bool stepped = left < *before - SLACK; /* a further step, to be answered in its own time */
    *before = left;
    *beyond = obey > left + SLACK && world->quiet && !stepped ? *beyond + 1 : 0;
    world->beyond_steps += *beyond > 0 && world->quiet > SETTLED;
    if (*beyond > ANSWERED)
        return complain(world, budget, "too much for longer than the lag", obey);
    return 0;
}

/* The room at a connection moves on while PV is released: who waits longer than that is stuck. */
static int check_waits(struct world *world) {
    for (size_t i = 0; i < world->site.device_count; i++) {
        const struct split_side *side = &world->site.devices[i].sides[0];
        struct being *being = &world->beings[i];
        being->waits = side->why == SPLIT_WAITS && world->quiet > SETTLED ? being->waits + 1 : 0;
        if (being->waits > SETTLED)
            return complain(world, &(struct budget){0}, "settled, and one waits", side->given);
    }
    return 0;
}

/* By the true flow at the connection, with all that flows there. */
static int check_connection(struct world *world) {
    const struct split_level *level = &world->site.levels[0];
    const struct limit *limit = &level->limits[SCOPE_CONNECTION];
    for (size_t i = 0; i < world->site.device_count; i++)
        if (world->site.devices[i].reach != SPLIT_REACHED)
            return 0;
    for (int side = 0; side < 2; side++) {
        struct budget budget = {0, side, SCOPE_CONNECTION, 0, bound(limit, side, 0)};
        double flow = side == 0 ? carried(world) : -carried(world);
        bool beyond = level->meter == SPLIT_METER_FRESH &&
                      level->over[side][SCOPE_CONNECTION][0] <= 0 && flow > budget.room + SLACK;
        world->carries[side] = beyond && world->quiet ? world->carries[side] + 1 : 0;
        if (world->carries[side] > ANSWERED)
            return complain(world, &budget,
                            "the connection carries too much for longer than the lag", flow);
    }
    return 0;
}

static int check(struct world *world) {
    const struct split_site *site = &world->site;
    bool settled = world->quiet > SETTLED;
    int bad = 0;
    world->settled_steps += settled;
    for (int level = 0; level < (int)site->level_count && !bad; level++)
        for (int side = 0; side < 2 && !bad; side++)
            for (int scope = SCOPE_CONNECTION; scope < SCOPE_COUNT && !bad; scope++)
                for (int q = 0; q < SPLIT_QUANTITIES && !bad; q++) {
                    const struct split_level *at = &site->levels[level];
                    struct budget budget = {level, side, scope, q,
                                            bound(&at->limits[scope], side, q)};
                    if (isinf(budget.room))
                        continue;
                    if (scope == SCOPE_CONNECTION)
                        budget.room -= side == 0 ? at->uncontrolled[0][q] : -at->uncontrolled[1][q];
                    bad = check_raises(world, &budget);
                    if (!bad)
                        bad = check_powers(world, &budget);
                }
    return bad || check_waits(world) || check_connection(world);
}

/* --- running ------------------------------------------------------------------------------------
 */

static int run(struct world *world, long steps) {
    for (world->step = 0; world->step < steps; world->step++) {
        struct split_site *site = &world->site;
        if (world->step % SITE_STEPS == 0) {
            make_site(world);
            memset(world->beyond, 0, sizeof world->beyond);
        }
        site_wait(site, 1000);
        happens(world);
        for (size_t i = 0; i < site->device_count; i++)
            live(world, (int)i);
        see(world);
        site_split(site);
        if (check(world))
            return 1;
        for (size_t i = 0; i < site->device_count; i++)
            tell(world, (int)i);
        world->quiet++;
    }
    return 0;
}

int main(int argc, char **argv) {
    long steps = argc > 1 ? strtol(argv[1], NULL, 10) : STEPS_QUICK;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 20261127;
    if (argc > 1 && strcmp(argv[1], "--full") == 0)
        steps = STEPS_FULL;
    struct world world = {.random = seed ? seed : 1};
    int bad = run(&world, steps);
    printf("%ld steps, seed %llu: %ld settled, %ld of the budgets then used to nine tenths, %ld "
           "beyond\n",
           world.step, (unsigned long long)seed, world.settled_steps, world.binding_steps,
           world.beyond_steps);
    if (!bad && steps >= STEPS_PROOF &&
        (world.settled_steps < steps / 20 || world.binding_steps < steps / 400)) {
        printf("too little of it was settled, or used, to have proved anything\n");
        bad = 1;
    }
    printf("%d passed, %d failed\n", !bad, bad);
    return bad;
}
