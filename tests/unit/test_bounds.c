/* No sequence of constraints, script faults and failures lets a device that can be reached exceed a
 * bound in force for longer than one poll and its lag: the whole chain against a simulated home, on
 * a clock that jumps from timer to timer, with everything that can go wrong going wrong at random.
 * What must hold is worked out apart (bounds_oracle.h).
 *
 *   build/test_bounds                 the quick count
 *   build/test_bounds --full          a million steps of 100 ms
 *   build/test_bounds STEPS SEED      one run again; a violation says with what
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <inttypes.h>

#include "base/text.h"
#include "bounds_oracle.h"

#include "bounds_site.h"
#include "cluster/cluster.h"

#ifdef DERD_SANITIZED
#define STEPS_QUICK 20000
#else
#define STEPS_QUICK 50000
#endif
#define STEPS_FULL 1000000

#define WRITE_MS     2000  /* a plan of writes on a slow wire, behind the reads of others */
#define TIMEOUT_MS   4000  /* until a lost answer is noticed, and the next sample tries again */
#define POLL_MS      1500  /* until a poll has told the host, whatever it is */
#define SUM_MS       18000 /* the slowest poll, the longest lag, and its command */
#define CALM_MS      22000 /* the same, after a measurement */
#define SETTLE_MS    8000  /* of a device that something else was told for a moment */
#define PLAN_MS      1500  /* from its first write to its last */
#define RETRY_MS     31000 /* what was refused is sent again after this */
#define VERIFY_MS    65000 /* a device that forgot without a word is read back within this */
#define RETURN_MS    60000 /* the longest back-off, its jitter, and the arrival */
#define MARGIN_W     10    /* standby draw, rounding of the physics */
#define WINDOW       256   /* steps that are remembered */
#define CALM_STEPS   2000  /* every second time that long little goes wrong */
#define HAPPENS_EACH 40    /* steps, in the mean */

struct memory { /* of bounds in force, the newest steps */
    struct bounds steps[WINDOW];
};

struct world {
    uint64_t random, seed;
    long step, steps;
    struct bounds_host host;
    struct sim_home home;
    struct sim_device *sims[BEINGS];
    struct plan_of_site site;
    struct promises promises[BEINGS], limits; /* of the devices; of the cluster */
    uint64_t rank;
    int64_t down_until;  /* the host is not there until then; 0: it is */
    int64_t up_since;    /* of the host */
    struct bounds limit; /* of the connection */
    int64_t moved_ms;    /* something changed, of what is asked or what is there */
    int32_t rest;        /* W, of the connection without those that can be reached */
    long metered;
    bool counts[BEINGS];      /* in the sum */
    int64_t right_ms[BEINGS]; /* its registers were last as they must be */
    int64_t good_ms[BEINGS];  /* and what it did */
    int64_t last_up[BEINGS];  /* of the device, as the host sees it */
    int64_t fault_ends[LISTENERS], silent_ends[BEINGS], frozen_ends[BEINGS];
    int64_t fault_since[LISTENERS];            /* it was last out of order */
    int64_t forgot[BEINGS];                    /* it was restarted and nobody saw it */
    struct memory told[BEINGS];                /* bounds where it could be reached, else open */
    struct memory does[BEINGS], keeps[BEINGS]; /* with set points and without */
    struct memory sum;
    double soc_before; /* its state of charge jumped */
    int64_t soc_ms;
    int64_t floor_wall;  /* below it the clock is not trusted */
    int64_t most_wall;   /* that the host has seen */
    int64_t rose_ms;     /* the cluster's export was last limited */
    int64_t stale_since; /* the meter cannot be heard; 0: it can */
    int number, quirk;   /* of scripts written */
    long checked, bounded, summed, summed_bound, asked, refused, restarts, faults, scripts;
};

/* --- chance --------------------------------------------------------------------------------------
 */

static uint64_t next_random(struct world *world) {
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return world->random;
}

static int32_t pick(struct world *world, int32_t lo, int32_t hi) {
    return lo + (int32_t)(next_random(world) % (uint64_t)(hi - lo + 1));
}

static bool chance(struct world *world, int per_mille) {
    return pick(world, 0, 999) < per_mille;
}

static int64_t mono_ms(void) {
    return atomic_load(&bounds_mono_ms);
}

static int64_t wall_ms(void) {
    return mono_ms() + atomic_load(&bounds_wall_offset_ms);
}

/* --- what is asked -------------------------------------------------------------------------------
 */

static struct device *host_device(struct world *world, int being) {
    return world->host.engine ? engine_device(world->host.engine, "home", traits[being].key) : NULL;
}

/* State of charge and what gates it, such that no gate is ever at its edge. */
static const double charges[] = {5, 15, 35, 60, 85, 97};
static const double gates[] = {10, 25, 50, 75, 92};

static void random_wish(struct world *world, int being, struct wish *wish) {
    bool cluster = being == BEINGS;
    int32_t least = cluster ? -12000 : traits[being].least,
            most = cluster ? 24000 : traits[being].most;
    *wish = (struct wish){.priority = pick(world, 600, 3999)};
    if (chance(world, 300))
        wish->priority = 1000 * pick(world, 1, 3);
    bool open_ended = chance(world, 300);
    if (most > 0 && chance(world, 700)) {
        wish->has_max = true;
        wish->max = chance(world, 200) ? 0 : pick(world, 0, most);
    }
    if (least < 0 && chance(world, 600)) {
        wish->has_min = true;
        wish->min = chance(world, 200) ? 0 : -pick(world, 0, -least);
    }
    if (cluster) {
        if (!wish->has_min && !wish->has_max)
            wish->has_max = true, wish->max = pick(world, 0, 20000);
    } else if (being == BATTERY && open_ended && wish->has_max && wish->has_min) {
        /* on one side of 0: it is to do something */
        if (chance(world, 500))
            wish->min = pick(world, 0, wish->max);
        else
            wish->max = -pick(world, 0, -wish->min);
    }
    if (!cluster && chance(world, 400)) {
        wish->has_set = true;
        wish->set =
            pick(world, wish->has_min ? wish->min : least, wish->has_max ? wish->max : most);
        if (!wish->has_min && !wish->has_max && chance(world, 100))
            wish->set = 0;
    }
    if (being == BATTERY && chance(world, 250)) {
        wish->has_min_soc = true;
        wish->min_soc = gates[pick(world, 0, 4)];
    }
    if (being == BATTERY && chance(world, 250)) {
        wish->has_max_soc = true;
        wish->max_soc = gates[pick(world, 0, 4)];
    }
    wish->on_conflict = chance(world, 400) ? ON_CONFLICT_CLAMP : ON_CONFLICT_DISCARD;
    wish->exclusive = !cluster && chance(world, 60);
}

static struct promises *promises_of(struct world *world, int being) {
    return being == BEINGS ? &world->limits : &world->promises[being];
}

static const char *target_of(struct world *world, int being) {
    if (being == BEINGS)
        return engine_cluster(world->host.engine, "home")->id;
    const struct device *device = host_device(world, being);
    return device ? device->id : "";
}

static void take_in(struct world *world, struct promises *all,
                    const struct constraint *constraint) {
    struct promise *at = promise_find(all, constraint->id);
    uint64_t rank = at ? at->rank : ++world->rank;
    bool min_closed = at && at->min_closed && constraint->wish.has_min_soc;
    bool max_closed = at && at->max_closed && constraint->wish.has_max_soc;
    if (!at) {
        assert_true(all->count < PROMISES);
        at = &all->items[all->count++];
    }
    *at = (struct promise){.wish = constraint->wish,
                           .scope = constraint->scope,
                           .rank = rank,
                           .valid_at = constraint->valid_at.ms,
                           .invalid_at = constraint->invalid_at.ms,
                           .valid_for = constraint->valid_for_ms,
                           .min_closed = min_closed,
                           .max_closed = max_closed};
    memcpy(at->id, constraint->id, sizeof at->id);
}

static void ask_put(struct world *world, int being) {
    struct promises *all = promises_of(world, being);
    struct constraint *draft = &world->host.draft;
    const char *target = target_of(world, being);
    if (!target[0] || all->count >= 40)
        return;
    *draft = (struct constraint){.valid_at.ms = wall_ms()};
    if (all->count && chance(world, 300))
        memcpy(draft->id, all->items[pick(world, 0, all->count - 1)].id, sizeof draft->id);
    random_wish(world, being, &draft->wish);
    if (being == BEINGS)
        draft->scope = chance(world, 400) ? SCOPE_CONNECTION : SCOPE_CONTROLLABLE;
    int64_t length_ms = 1000LL * (chance(world, 500) ? pick(world, 2, 120) : pick(world, 60, 3600));
    if (chance(world, 250)) {
        draft->valid_at.ms += 1000LL * pick(world, 1, 300);
        if (all->count && chance(world, 300)) { /* where another one ends */
            int64_t end = all->items[pick(world, 0, all->count - 1)].invalid_at;
            if (end > wall_ms())
                draft->valid_at.ms = end;
        }
    }
    draft->invalid_at.ms = draft->valid_at.ms + length_ms;
    if (chance(world, 500))
        draft->valid_for_ms = length_ms;
    snprintf(world->host.target, sizeof world->host.target, "%s", target);
    world->host.removes[0] = '\0';
    struct ask_answer *answer = bounds_ask(&world->host);
    world->asked++;
    if (answer->result == ASK_CREATED || answer->result == ASK_REPLACED)
        take_in(world, all, answer->items[0]);
    else
        world->refused++;
    ask_answer_free(answer);
}

static void ask_remove(struct world *world, int being) {
    struct promises *all = promises_of(world, being);
    const char *target = target_of(world, being);
    if (!target[0] || !all->count)
        return;
    int which = pick(world, 0, all->count - 1);
    snprintf(world->host.target, sizeof world->host.target, "%s", target);
    memcpy(world->host.removes, all->items[which].id, ID_SIZE);
    struct ask_answer *answer = bounds_ask(&world->host);
    if (answer->result == ASK_REMOVED)
        all->items[which] = all->items[--all->count];
    else
        assert_int_equal(answer->result, ASK_NOT_FOUND);
    ask_answer_free(answer);
}

/* --- what goes wrong -----------------------------------------------------------------------------
 */

static void break_wire(struct world *world) {
    int listener = pick(world, 0, 3);
    struct mishap *mishap = &bounds_wires.mishaps[listener];
    world->faults++;
    switch (pick(world, 0, 5)) {
    case 0:
        mishap->unplugged = true;
        break;
    case 1:
        mishap->mute = true;
        break;
    case 2: {
        static const int exceptions[] = {2, 3, 4, 6};
        mishap->refuses = exceptions[pick(world, 0, 3)];
        break;
    }
    case 3:
        mishap->breaks_after = pick(world, 1, 6);
        break;
    case 4:
        mishap->drops_after = pick(world, 1, 6);
        break;
    default:
        mishap->latency_ms = pick(world, 0, 150);
        break;
    }
    world->fault_ends[listener] =
        mono_ms() + 1000LL * (chance(world, 500) ? pick(world, 1, 10) : pick(world, 10, 200));
}

static void mend(struct world *world) {
    for (int i = 0; i < LISTENERS; i++) {
        if (bounds_wires.mishaps[i].unplugged || bounds_wires.mishaps[i].mute)
            bounds_wires.hurt_ms[i] = mono_ms();
        if (world->fault_ends[i] && mono_ms() >= world->fault_ends[i]) {
            world->fault_ends[i] = 0;
            bounds_wires.mishaps[i] =
                (struct mishap){.latency_ms = bounds_wires.mishaps[i].latency_ms};
        }
    }
    for (int i = 0; i < BEINGS; i++) {
        if (world->silent_ends[i] && mono_ms() >= world->silent_ends[i])
            world->sims[i]->silent = false;
        if (world->frozen_ends[i] && mono_ms() >= world->frozen_ends[i])
            world->sims[i]->frozen = false;
        if (!world->sims[i]->silent)
            world->silent_ends[i] = 0;
        if (!world->sims[i]->frozen)
            world->frozen_ends[i] = 0;
    }
}

/* It has forgotten what it was told. */
static void restart_device(struct world *world, int being) {
    struct sim_device *sim = world->sims[being];
    struct modbus_request request = {.unit = sim->unit, .function = MODBUS_WRITE_REGISTERS};
    struct modbus_answer answer;
    struct mishap *mishap = &bounds_wires.mishaps[traits[being].listener];
    struct mishap before = *mishap;
    *mishap = (struct mishap){0};
    bool silent = sim->silent;
    sim->silent = false;
    if (being == BOX || being == QUIRK) {
        sim->station.limit_a = sim->station.max_current;
        sim->timers.fallback_a = NAN;
        sim->timers.watchdog_s = 60;
        sim->timers.unread_s = 0;
    } else if (being == ROOF) {
        sim->pv.limit_w = sim->pv.rated_w;
        sim->timers.limit_s = 0;
        uint16_t *enabled = sim_image_at(&sim->image, SIM_HOLDING, 40159, 1);
        if (enabled)
            *enabled = 0;
    } else {
        request.address = 13049;
        request.count = 1;
        request.words[0] = 0;
        (void)bounds_answer(traits[being].listener, &request, &answer);
        for (request.address = 33046; request.address <= 33047; request.address++) {
            request.words[0] = 500;
            (void)bounds_answer(traits[being].listener, &request, &answer);
        }
    }
    sim->silent = silent;
    *mishap = before;
    world->forgot[being] = mono_ms();
    world->faults++;
}

static void change_site(struct world *world) {
    struct plan_of_site *site = &world->site;
    int being = pick(world, BATTERY, QUIRK);
    switch (pick(world, 0, 3)) {
    case 0:
        site->left[being] = being != BATTERY && !site->left[being];
        break;
    case 1:
        site->controllable_most = chance(world, 500) ? OPEN : pick(world, 0, 25000);
        break;
    default:
        site->least[being] = -OPEN;
        site->most[being] = OPEN;
        site->current[being] = 0;
        if (traits[being].least < 0 && chance(world, 500))
            site->least[being] = -pick(world, 0, -traits[being].least);
        if (traits[being].most > 0 && chance(world, 500))
            site->most[being] = pick(world, 0, traits[being].most);
        if (being >= BOX && chance(world, 400))
            site->current[being] = pick(world, 6, 20);
        break;
    }
    site_write(&world->host, site);
}

static void change_script(struct world *world) {
    world->scripts++;
    world->quirk = chance(world, 400) ? 0 : pick(world, 0, QUIRKS - 1);
    quirk_write(&world->host, world->quirk, world->number++);
}

static void change_home(struct world *world) {
    struct sim_station *station = &world->sims[pick(world, BOX, QUIRK)]->station;
    switch (pick(world, 0, 4)) {
    case 0:
        world->home.sun.constant_w = pick(world, 0, 9000);
        break;
    case 1:
        world->home.load.constant_w = pick(world, 100, 5000);
        break;
    case 2:
        station->car.plugged = !station->car.plugged;
        if (station->car.plugged)
            station->car.phases = chance(world, 500) ? 1 : 3;
        break;
    case 3:
        world->soc_before = world->sims[BATTERY]->battery.soc_pct;
        world->soc_ms = mono_ms();
        world->sims[BATTERY]->battery.soc_pct = charges[pick(world, 0, 5)];
        break;
    default:
        station->car.soc_pct = 10;
        break;
    }
}

static void end_host(struct world *world) {
    world->restarts++;
    if (world->quirk == QUIRKS - 1) /* a host has no driver that was never whole while it ran */
        quirk_write(&world->host, world->quirk = 0, world->number++);
    bounds_host_end(&world->host);
    world->down_until =
        mono_ms() + 1000LL * (chance(world, 700) ? pick(world, 1, 10) : pick(world, 10, 200));
}

/* With a clock that can be trusted: one behind the last known time is another test's. */
static void start_host(struct world *world) {
    if (wall_ms() < world->most_wall)
        atomic_fetch_add(&bounds_wall_offset_ms, world->most_wall - wall_ms());
    world->down_until = 0;
    world->floor_wall = wall_ms();
    world->up_since = mono_ms();
    for (int being = 0; being <= BEINGS; being++)
        promises_restart(promises_of(world, being), being < BEINGS && world->site.left[being],
                         wall_ms(), mono_ms());
    bounds_host_start(&world->host);
}

static void step_clock(struct world *world) {
    int64_t by = 1000LL * pick(world, 3, chance(world, 300) ? 3600 : 60);
    if (chance(world, 500))
        by = wall_ms() - by > world->floor_wall ? -by : 0;
    atomic_fetch_add(&bounds_wall_offset_ms, by);
}

static void happens(struct world *world) {
    int being = pick(world, BATTERY, QUIRK);
    int what = pick(world, 0, 999);
    bool calm = world->step / CALM_STEPS % 2 == 1;
    if (calm && what >= 700 && !chance(world, 100))
        what = pick(world, 0, 699);
    if (what < 350)
        ask_put(world, being);
    else if (what < 430)
        ask_put(world, BEINGS);
    else if (what < 560)
        ask_remove(world, chance(world, 150) ? BEINGS : being);
    else if (what < 700)
        change_home(world);
    else if (what < 790)
        break_wire(world);
    else if (what < 830) {
        world->sims[being = pick(world, GRID, QUIRK)]->silent = true;
        world->silent_ends[being] = mono_ms() + 1000LL * pick(world, 1, 90);
    } else if (what < 850) {
        world->sims[GRID]->frozen = true;
        world->frozen_ends[GRID] = mono_ms() + 1000LL * pick(world, 1, 60);
    } else if (what < 880)
        restart_device(world, being);
    else if (what < 930)
        change_script(world);
    else if (what < 960)
        change_site(world);
    else if (what < 985)
        step_clock(world);
    else
        end_host(world);
}

/* --- what must hold ------------------------------------------------------------------------------
 */

static bool is_up(struct world *world, int being) {
    const struct device *device = host_device(world, being);
    return device && device->machine && device->machine->state == MACHINE_UP &&
           device_reachable(device);
}

/* Nothing is in the way of words between the host and the device, nor was within `ms`. */
static bool is_in_order(const struct world *world, int being, int64_t ms) {
    int listener = traits[being].listener;
    const struct mishap *mishap = &bounds_wires.mishaps[listener];
    return !mishap->unplugged && !mishap->mute && mono_ms() - bounds_wires.hurt_ms[listener] > ms &&
           !world->sims[being]->silent && mono_ms() - world->fault_since[being] > ms;
}

static void remember(struct world *world, struct memory *memory, struct bounds bounds) {
    memory->steps[world->step % WINDOW] = bounds;
}

/* The widest of the last `ms`. */
static struct bounds widest(const struct world *world, const struct memory *memory, int64_t ms) {
    long count = ms / STEP_MS + 1;
    struct bounds all = {.lo = OPEN, .hi = -OPEN};
    assert_true(count < WINDOW);
    if (world->step < count)
        return (struct bounds){.lo = -OPEN, .hi = OPEN};
    for (long i = 0; i < count; i++) {
        const struct bounds *at = &memory->steps[(world->step - i) % WINDOW];
        all.lo = smaller(all.lo, at->lo);
        all.hi = greater(all.hi, at->hi);
    }
    return all;
}

static struct bounds united(struct bounds a, struct bounds b) {
    return (struct bounds){.lo = smaller(a.lo, b.lo), .hi = greater(a.hi, b.hi)};
}

/* `sets`: what it is told to do, else only what it must keep to. */
static struct bounds in_force(struct world *world, int being, bool sets) {
    static const struct wish rest = {
        .priority = PRIORITY_FALLBACK, .has_set = true, .on_conflict = ON_CONFLICT_CLAMP};
    /* Of the policy, which wants something of BOX, only its end is known: with its meter. Against
     * the export of a cluster a charging station rises above its fallback. */
    bool alone = being == QUIRK ||
                 (being == BOX && world->stale_since && mono_ms() - world->stale_since > 6000);
    alone = alone && mono_ms() - world->rose_ms > 10000;
    int32_t least = greater(traits[being].least, world->site.least[being]);
    int32_t most = smaller(traits[being].most, world->site.most[being]);
    if (world->site.current[being] > 0)
        most = smaller(most, (int32_t)(world->site.current[being] * VOLTS * BOX_PHASES));
    const struct wish *fallback = being >= BOX && alone ? &rest : NULL;
    struct bounds all = {.lo = OPEN, .hi = -OPEN};
    /* Until it is polled, its state of charge is known as it was. While the script of QUIRK is in
     * quarantine, set points are not known to count. */
    for (int now = world->soc_ms && mono_ms() - world->soc_ms < POLL_MS ? 0 : 1; now < 2; now++)
        for (int with = being == QUIRK ? 0 : 1; with < 2; with++) {
            double soc = now ? world->sims[BATTERY]->battery.soc_pct : world->soc_before;
            struct bounds walked = bounds_of(&world->promises[being], soc, with, fallback);
            all = united(all, bounds_settle(walked, sets, least, most));
        }
    return all;
}

static void say_promises(const struct promises *all) {
    for (int i = 0; i < all->count; i++) {
        const struct promise *at = &all->items[i];
        printf("  %.8s %s %d/%" PRIu64
               " %s%s min %d (%d) max %d (%d) set %d (%d) soc %g (%d) %g (%d) "
               "ends wall %+" PRId64 " mono %+" PRId64 "%s\n",
               at->id, at->running ? "runs" : "waits", at->wish.priority, at->rank,
               at->wish.on_conflict == ON_CONFLICT_CLAMP ? "clamp" : "discard",
               at->wish.exclusive ? " exclusive" : "", at->wish.min, at->wish.has_min, at->wish.max,
               at->wish.has_max, at->wish.set, at->wish.has_set, at->wish.min_soc,
               at->wish.has_min_soc, at->wish.max_soc, at->wish.has_max_soc,
               at->invalid_at - wall_ms(), at->mono_end - mono_ms(), at->valid_for ? " for" : "");
    }
}

static int say(struct world *world, int being, const char *what, int32_t power,
               struct bounds bounds) {
    printf("step %ld of seed %" PRIu64 ", %s: %s %d W, allowed is %d..%d W\n", world->step,
           world->seed, being < BEINGS ? traits[being].key : "all", what, power, bounds.lo,
           bounds.hi);
    for (int i = GRID; i < BEINGS && being == BEINGS; i++) {
        const struct device *one = host_device(world, i);
        printf(
            "  %s does %d, held %d..%d, share %d..%d (%d), decided %d..%d %d (%d), counts %d, %s\n",
            traits[i].key,
            i == GRID ? world->home.now[SIM_GRID].total : power_of(world->sims[i], (enum being)i),
            one ? one->command.held.lo : 0, one ? one->command.held.hi : 0,
            one ? one->share.min : 0, one ? one->share.max : 0, one && one->share.limited,
            one ? one->decision.min : 0, one ? one->decision.max : 0, one ? one->decision.set : 0,
            one && one->decision.has_set, world->counts[i], one ? text_of(one->share_why) : "");
    }
    const struct device *device = being < BEINGS ? host_device(world, being) : NULL;
    if (device)
        printf("  share %d..%d (%d) %s\n", device->share.min, device->share.max,
               device->share.limited, text_of(device->share_why));
    if (device)
        printf("  decided %d..%d set %d (%d), command %s \"%s\", due %d, connection %s\n",
               device->decision.min, device->decision.max, device->decision.set,
               device->decision.has_set, command_state_name(device->command.state),
               text_of(device->command.text), device->command.due,
               connection_name(device->connection));
    if (device) {
        printf("  own %d..%d, site %d..%d %g A\n", device->own.items[0].lo,
               device->own.items[device->own.count - 1].hi, world->site.least[being],
               world->site.most[being], world->site.current[being]);
        for (size_t i = 0; i < device->book.count; i++) {
            const struct book_entry *entry = &device->book.entries[i];
            printf("  host: %d %s%s mono %+" PRId64 " wall %+" PRId64 " by_mono %d\n",
                   entry->packed->priority, entry->running ? "runs" : "waits",
                   entry->set_dropped ? " without set" : "", entry_clock(entry) - mono_ms(),
                   entry->packed->invalid_at.ms - wall_ms(), entry->by_mono);
        }
    }
    say_promises(promises_of(world, being));
    if (being < BEINGS)
        say_promises(&world->limits);
    return 1;
}

static const struct bounds open_bounds = {.lo = -OPEN, .hi = OPEN};

static int check_device(struct world *world, int being) {
    const struct trait *trait = &traits[being];
    struct bounds kept = in_force(world, being, false), now = in_force(world, being, true);
    bool reached =
        is_up(world, being) && is_in_order(world, being, TIMEOUT_MS) && !world->site.left[being];
    reached = reached && !bounds_wires.mishaps[trait->listener].refuses &&
              mono_ms() - bounds_wires.refused_ms[trait->listener] > RETRY_MS;
    bool sees = world->forgot[being] == 0 || mono_ms() - world->forgot[being] > VERIFY_MS;
    /* What its car draws on fewer phases than it has is not told by its current. */
    struct bounds told_now = being >= BOX && now.hi > 0 ? kept : now;
    remember(world, &world->told[being], reached && sees ? told_now : open_bounds);
    remember(world, &world->does[being], !reached ? open_bounds : sees ? now : kept);
    remember(world, &world->keeps[being], reached ? kept : open_bounds);
    if (!reached)
        return 0;
    struct bounds told = widest(world, &world->told[being], trait->poll_ms + WRITE_MS);
    struct bounds does = widest(world, &world->does[being], trait->poll_ms + trait->lag_ms);
    struct bounds allow = registers_allow(world->sims[being], (enum being)being);
    int32_t power = power_of(world->sims[being], (enum being)being);
    world->checked++;
    world->bounded += told.hi < trait->most || told.lo > trait->least;
    /* Between two writes of one plan a device may be anywhere. */
    if (allow.hi <= told.hi + 1 && allow.lo >= told.lo - 1)
        world->right_ms[being] = mono_ms();
    bool lasts = mono_ms() - world->right_ms[being] > PLAN_MS;
    if (lasts && allow.hi > told.hi + 1)
        return say(world, being, "is told that it may take", allow.hi, told);
    if (lasts && allow.lo < told.lo - 1)
        return say(world, being, "is told that it may give", allow.lo, told);
    /* That it has forgotten shows when it does what it must not, by more than its tolerance; else
     * when it is read back. */
    int32_t margin = sees ? MARGIN_W : MARGIN_W + trait->tolerance;
    if (power <= does.hi + margin && power >= does.lo - margin)
        world->good_ms[being] = mono_ms();
    /* Between two writes it may leave its set point, never its bounds. */
    struct bounds keeps = widest(world, &world->keeps[being], trait->poll_ms + trait->lag_ms);
    bool inside = power <= keeps.hi + MARGIN_W && power >= keeps.lo - MARGIN_W;
    int64_t notice_ms = sees             ? (inside ? SETTLE_MS : 0)
                        : being == QUIRK ? VERIFY_MS /* its script may hide what is measured */
                                         : 2 * trait->lag_ms + 2 * trait->poll_ms + WRITE_MS;
    int64_t since_ms =
        world->good_ms[being] > world->forgot[being] ? world->good_ms[being] : world->forgot[being];
    if (mono_ms() - since_ms > notice_ms)
        return say(world, being, "does", power, does);
    return 0;
}

static struct bounds limit_of(struct world *world, enum scope scope) {
    struct promises of_scope = {.count = 0};
    for (int i = 0; i < world->limits.count; i++)
        if (world->limits.items[i].scope == scope)
            of_scope.items[of_scope.count++] = world->limits.items[i];
    struct bounds limit = bounds_of(&of_scope, 0, false, NULL);
    if (scope == SCOPE_CONTROLLABLE)
        limit.hi = smaller(limit.hi, world->site.controllable_most);
    return (struct bounds){.lo = smaller(limit.lo, 0), .hi = greater(limit.hi, 0)};
}

/* What the meter sees, or what of it the devices that can be reached are answerable for. A change
 * of what is asked, of who can be reached or of the rest is answered within a measurement and a
 * lag. */
static int check_connection(struct world *world, int32_t import, int32_t export) {
    struct bounds limit = limit_of(world, SCOPE_CONNECTION);
    int32_t grid = world->home.now[SIM_GRID].total, rest = grid - import - export;
    bool changed = limit.lo != world->limit.lo || limit.hi != world->limit.hi ||
                   abs(rest - world->rest) > 5 * MARGIN_W;
    world->limit = limit;
    world->rest = rest;
    if (changed || world->sims[GRID]->frozen || world->stale_since)
        world->moved_ms = mono_ms();
    bool takes = grid > greater(limit.hi, grid - import) + 4 * MARGIN_W;
    bool gives = grid < smaller(limit.lo, grid - export) - 4 * MARGIN_W;
    if (!takes && !gives)
        world->moved_ms = mono_ms();
    world->metered += limit.hi < OPEN || limit.lo > -OPEN;
    if (mono_ms() - world->moved_ms < CALM_MS)
        return 0;
    return say(world, BEINGS, takes ? "the connection takes" : "the connection gives", grid, limit);
}

/* ARBITRATION section 8: the sum of the controllable devices that can be reached, one way. */
static int check_sum(struct world *world) {
    struct bounds now = limit_of(world, SCOPE_CONTROLLABLE);
    int32_t import = 0, export = 0;
    bool same = true;
    for (int being = BATTERY; being < BEINGS; being++) {
        bool counts = is_up(world, being) && is_in_order(world, being, TIMEOUT_MS) &&
                      world->good_ms[being] == mono_ms() &&
                      (!world->forgot[being] || mono_ms() - world->forgot[being] > VERIFY_MS);
        same = same && counts == world->counts[being];
        world->counts[being] = counts;
        int32_t power = counts ? power_of(world->sims[being], (enum being)being) : 0;
        import += power > 0 ? power : 0;
        export += power < 0 ? power : 0;
    }
    remember(world, &world->sum, same ? now : open_bounds); /* who is back has yet to be told */
    world->summed++;
    struct bounds sum = widest(world, &world->sum, SUM_MS);
    world->summed_bound += sum.hi < 25000 || sum.lo > -13000;
    if (import > sum.hi + 3 * MARGIN_W)
        return say(world, BEINGS, "import", import, sum);
    if (export < sum.lo - 3 * MARGIN_W)
        return say(world, BEINGS, "export", export, sum);
    if (!same)
        world->moved_ms = mono_ms();
    return check_connection(world, import, export);
}

static int check_return(struct world *world, int being) {
    bool up = world->down_until || world->site.left[being] || is_up(world, being);
    if (up || world->up_since > world->last_up[being])
        world->last_up[being] = mono_ms();
    if (mono_ms() - world->last_up[being] < RETURN_MS || !is_in_order(world, being, RETURN_MS))
        return 0;
    return say(world, being, "could be reached for a minute and is not; does",
               power_of(world->sims[being], (enum being)being), open_bounds);
}

/* DERD_TRACE=battery tells how it came to that. */
static void trace(struct world *world) {
    const char *key = getenv("DERD_TRACE");
    for (int being = BATTERY; being < BEINGS && key; being++) {
        if (strcmp(traits[being].key, key) != 0 || world->step % 10)
            continue;
        struct bounds may = registers_allow(world->sims[being], (enum being)being);
        struct bounds told = world->told[being].steps[world->step % WINDOW];
        struct bounds does = world->does[being].steps[world->step % WINDOW];
        const struct device *device = host_device(world, being);
        fprintf(stderr,
                "%ld %s: does %d of %d..%d, told %d..%d, kept %d..%d, forgot %" PRId64
                ", %s, measured %g, soc %g, refused %d mute %d unplugged %d silent %d\n",
                world->step, key, power_of(world->sims[being], (enum being)being), may.lo, may.hi,
                told.lo, told.hi, does.lo, does.hi,
                world->forgot[being] ? mono_ms() - world->forgot[being] : -1,
                device ? command_state_name(device->command.state) : "",
                device ? device_known(device, POINT_ACTIVE_POWER)->value : NAN,
                world->sims[BATTERY]->battery.soc_pct,
                bounds_wires.mishaps[traits[being].listener].refuses,
                bounds_wires.mishaps[traits[being].listener].mute,
                bounds_wires.mishaps[traits[being].listener].unplugged, world->sims[being]->silent);
    }
}

static int check(struct world *world) {
    int bad = 0;
    for (int being = BATTERY; being < BEINGS && !bad; being++)
        bad = check_device(world, being) || check_return(world, being);
    return bad || check_sum(world);
}

/* --- running ------------------------------------------------------------------------------------
 */

static void open_world(struct world *world) {
    struct report report;
    report_init(&report);
    assert_int_equal(sim_home_init(&world->home), ERR_OK);
    if (!sim_config_load(&world->home, "home", home_text, strlen(home_text), &report))
        for (size_t i = 0; i < report.count; i++)
            printf("%s: %s\n", report.items[i].where, report.items[i].text);
    assert_int_equal(report.count, 0);
    report_free(&report);
    bounds_wires.home = &world->home;
    for (int i = 0; i < BEINGS; i++) {
        world->sims[i] = sim_home_find(&world->home, traits[i].key);
        assert_non_null(world->sims[i]);
        world->site.least[i] = -OPEN;
        world->site.most[i] = OPEN;
    }
    world->site.controllable_most = OPEN;
    sim_home_step(&world->home);
    bounds_clock_start();
    bounds_host_open(&world->host);
    quirk_write(&world->host, 0, world->number++);
    site_write(&world->host, &world->site);
    bounds_host_start(&world->host);
    world->up_since = mono_ms();
}

static void close_world(struct world *world) {
    bounds_host_close(&world->host);
    sim_home_free(&world->home);
}

static void advance(struct world *world) {
    mend(world);
    if (world->down_until && mono_ms() >= world->down_until) {
        start_host(world);
    }
    bool calm = world->step / CALM_STEPS % 2 == 1;
    if (!world->down_until && pick(world, 1, calm ? 5 * HAPPENS_EACH : HAPPENS_EACH) == 1)
        happens(world);
    int64_t end_ms = mono_ms() + STEP_MS;
    if (world->host.engine && wall_ms() + STEP_MS > world->most_wall)
        world->most_wall = wall_ms() + STEP_MS;
    if (world->host.engine)
        bounds_run(&world->host, end_ms);
    else
        atomic_store(&bounds_mono_ms, end_ms);
    sim_home_step(&world->home);
    for (int i = 0; i < BEINGS; i++) {
        if (world->sims[i]->silent || world->site.left[i])
            world->fault_since[i] = mono_ms();
        if (!world->site.left[i]) /* they wait with it */
            promises_advance(&world->promises[i], wall_ms(), mono_ms());
    }
    promises_advance(&world->limits, wall_ms(), mono_ms());
    for (int i = 0; i < world->limits.count; i++)
        if (world->limits.items[i].running && world->limits.items[i].wish.has_min)
            world->rose_ms = mono_ms();
    bool heard = is_up(world, GRID) && is_in_order(world, GRID, 0);
    world->stale_since = heard ? 0 : world->stale_since ? world->stale_since : mono_ms();
}

static int run(long steps, uint64_t seed) {
    struct world *world = calloc(1, sizeof *world);
    world->random = world->seed = seed ? seed : 1;
    atomic_store(&bounds_random, world->seed);
    open_world(world);
    int bad = 0;
    for (world->step = 0; world->step < steps && !bad; world->step++) {
        advance(world);
        bad = check(world);
        trace(world);
    }
    printf("%ld steps, seed %" PRIu64 ": %ld checks, %ld of them with a bound; %ld of the sum, %ld "
           "with a limit, %ld of a limited connection; %ld constraints asked "
           "(%ld refused), %ld faults, %ld scripts, %ld restarts, %" PRIu64 " writes\n",
           world->step, seed, world->checked, world->bounded, world->summed, world->summed_bound,
           world->metered, world->asked, world->refused, world->faults, world->scripts,
           world->restarts, bounds_wires.writes);
    if (!bad && (world->bounded < steps / 4 || world->asked < steps / 400)) {
        printf("too little was bound to have proved anything\n");
        bad = 1;
    }
    close_world(world);
    free(world);
    return bad;
}

static void no_log(void *context, enum log_level level, const char *line) {
    (void)context;
    (void)level;
    (void)line;
}

int main(int argc, char **argv) {
    long steps = argc > 1 ? strtol(argv[1], NULL, 10) : STEPS_QUICK;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 20261127;
    if (argc > 1 && strcmp(argv[1], "--full") == 0)
        steps = STEPS_FULL;
    enum log_level level = LOG_LEVEL_ERROR; /* what it does to the host is no news */
    if (getenv("DERD_LOG") && log_level_parse(getenv("DERD_LOG"), &level))
        log_set_level(level);
    else
        log_set_sink(no_log, NULL);
    int bad = run(steps, seed);
    printf("%d passed, %d failed\n", !bad, bad);
    return bad;
}
