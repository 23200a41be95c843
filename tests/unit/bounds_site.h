/* The home and the site of test_bounds: a grid meter and a battery behind one gateway, a roof, and
 * two charging stations, of which the second has a driver whose script is changed under way. */
#ifndef DERD_TESTS_BOUNDS_SITE_H
#define DERD_TESTS_BOUNDS_SITE_H

#include "bounds_world.h"

enum being { GRID, BATTERY, ROOF, BOX, QUIRK, BEINGS };

#define BOX_PHASES  3
#define BOX_CURRENT 16.0
#define BOX_LEAST   6.0
#define VOLTS       230.0

static const struct trait {
    const char *key;
    int listener;
    int64_t poll_ms, lag_ms; /* as the drivers declare */
    int32_t tolerance;       /* W, likewise: within it nothing shows that a device diverges */
    int32_t least, most;     /* W, nameplate */
} traits[BEINGS] = {
    [GRID] = {"grid", 0, 1000, 0, 0, 0, 0},
    [BATTERY] = {"battery", 0, 1000, 15000, 150, -5000, 5000},
    [ROOF] = {"roof", 1, 1000, 15000, 100, -8000, 0},
    [BOX] = {"box", 2, 2000, 10000, 150, 0, 11040},
    [QUIRK] = {"quirk", 3, 2000, 10000, 150, 0, 11040},
};

/* Its devices follow well within the lag that their drivers declare. */
static const char home_text[] =
    "return { speed = 0, start = '12:00', seed = 3, step = 0.1, voltage = 230,"
    " listeners = { { name = 'gateway' }, { name = 'roof' }, { name = 'box' }, { name = 'quirk' } "
    "},"
    " sun = { constant = 4000 }, load = { constant = 600 },"
    " devices = {"
    " { make = 'eastron_sdm630', name = 'grid', listener = 'gateway', unit = 1, measures = 'grid' "
    "},"
    " { make = 'sungrow_sh', name = 'battery', listener = 'gateway', unit = 2, ratedPower = 5000,"
    "   capacity = 600000, stateOfCharge = 60, maxChargePower = 5000, maxDischargePower = 5000,"
    "   lag = 1, delay = 3 },"
    " { make = 'sunspec_inverter', name = 'roof', listener = 'roof', unit = 126, ratedPower = 8000,"
    "   peakPower = 9000, lag = 1, delay = 3 },"
    " { make = 'abb_terra_ac', name = 'box', listener = 'box', unit = 1, phases = 3,"
    "   maxCurrent = 16, lag = 0.5, delay = 1, serial = '1001',"
    "   car = { phases = 3, maxCurrent = 16, capacity = 1000000, startDelay = 1,"
    "     stateOfCharge = 10 } },"
    " { make = 'abb_terra_ac', name = 'quirk', listener = 'quirk', unit = 1, phases = 3,"
    "   maxCurrent = 16, lag = 0.5, delay = 1, serial = '1002',"
    "   car = { phases = 3, maxCurrent = 16, capacity = 1000000, startDelay = 1,"
    "     stateOfCharge = 10 } },"
    " } }";

struct plan_of_site {                    /* what the site file says now */
    int32_t least[BEINGS], most[BEINGS]; /* W, permanent; +-OPEN: not limited */
    double current[BEINGS];              /* A; 0: not limited */
    bool left[BEINGS];                   /* it is not in the file */
    int32_t controllable_most;           /* W, of the cluster; OPEN: not limited */
};

static inline void site_limit_text(const struct plan_of_site *site, enum being being, char *text,
                                   size_t size) {
    char least[40] = "", most[40] = "", current[40] = "";
    if (site->least[being] > -OPEN)
        snprintf(least, sizeof least, "minActivePower = %d,", site->least[being]);
    if (site->most[being] < OPEN)
        snprintf(most, sizeof most, "maxActivePower = %d,", site->most[being]);
    if (site->current[being] > 0)
        snprintf(current, sizeof current, "maxCurrent = %g,", site->current[being]);
    text[0] = '\0';
    if (least[0] || most[0] || current[0])
        snprintf(text, size, ", limits = { %s %s %s }", least, most, current);
}

static inline void site_write(const struct bounds_host *host, const struct plan_of_site *site) {
    static const char *const rows[BEINGS] = {
        [GRID] = "key = 'grid', driver = 'eastron_sdm', role = 'grid', link = 'tcp://10.0.0.0:502'",
        [BATTERY] = "key = 'battery', driver = 'sungrow_hybrid', as = 'battery', unit = 2,"
                    " link = 'tcp://10.0.0.0:502',"
                    " parameters = { maxChargePower = 5000, maxDischargePower = 5000 }",
        [ROOF] = "key = 'roof', driver = 'sunspec', as = 'inverter', unit = 126,"
                 " link = 'tcp://10.0.0.1:502'",
        [BOX] = "key = 'box', driver = 'abb_terra_ac', link = 'tcp://10.0.0.2:502',"
                " fallback = { activePower = 0 }",
        [QUIRK] = "key = 'quirk', driver = 'quirk', link = 'tcp://10.0.0.3:502',"
                  " fallback = { activePower = 0 }"};
    char text[4000], limit[160], cluster[120] = "";
    size_t used = 0;
    if (site->controllable_most < OPEN)
        snprintf(cluster, sizeof cluster,
                 "limits = { maxActivePower = %d, scope = 'controllable' },",
                 site->controllable_most);
    used += (size_t)snprintf(text, sizeof text,
                             "return { store = { directory = '%s/state' }, clusters = { {"
                             " key = 'home', maxUncontrolledPower = 5000, %s devices = {\n",
                             host->folder, cluster);
    for (int i = 0; i < BEINGS; i++) {
        if (site->left[i])
            continue;
        site_limit_text(site, (enum being)i, limit, sizeof limit);
        used += (size_t)snprintf(text + used, sizeof text - used, "{ %s%s },\n", rows[i], limit);
    }
    snprintf(text + used, sizeof text - used,
             "}, policies = { { key = 'solar', policy = 'solar_charging', priority = 500,"
             " grid = 'grid', chargers = { 'box' }, battery = 'battery', startDelay = 5,"
             " stopDelay = 10 } } } } }\n");
    bounds_write_file(host->folder, "site.lua", text);
}

/* The driver of the charging station with a script of its own in front of its controls. */
static const char *const quirks[] = {
    "",
    "hooks = { command = function(dev, decision) return nil end },",
    "hooks = { values = function(dev, values) return {} end },",
    "hooks = { command = function(dev, decision) error('broken') end },",
    "hooks = { command = function(dev, decision)"
    " dev.state.n = (dev.state.n or 0) + 1"
    " if dev.state.n % 3 ~= 0 then error('now and then') end end },",
    "hooks = { values = function(dev, values) error('broken') end },",
    "hooks = { values = function(dev, values)"
    " dev.state.n = (dev.state.n or 0) + 1"
    " if dev.state.n % 5 == 0 then error('now and then') end return {} end },",
    "hooks = { command = function(dev, decision) return 7 end },",
    "hooks = { command = function(dev, decision)"
    " local all = {} while true do all[#all + 1] = ('x'):rep(100000) .. #all end end },",
    "hooks = { command = function(dev, decision) ", /* no Lua */
};
#define QUIRKS ((int)(sizeof quirks / sizeof quirks[0]))

static inline void quirk_write(const struct bounds_host *host, int which, int number) {
    static char text[40000], made[45000];
    char path[256];
    snprintf(path, sizeof path, "%s/drivers/abb_terra_ac.lua", DERD_SOURCE_DIR);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    char *name = strstr(text, "name = \"abb_terra_ac\"");
    assert_non_null(name);
    *name = '\0';
    char *rest = name + strlen("name = \"abb_terra_ac\"");
    char *controls = strstr(rest, "  controls = {");
    assert_non_null(controls);
    *controls = '\0';
    snprintf(made, sizeof made, "-- %d\n%sname = \"quirk\"%s%s\n  %s", number, text, rest,
             quirks[which], controls + 2);
    bounds_write_file(host->folder, "drivers/quirk.lua", made);
}

/* What a device's registers let it do, W. */
static inline struct bounds registers_allow(const struct sim_device *sim, enum being being) {
    struct bounds can = {.lo = traits[being].least, .hi = traits[being].most};
    if (being == ROOF) {
        can.lo = -(int32_t)lround(fmin(sim->pv.connected ? sim->pv.limit_w : 0, sim->pv.rated_w));
    } else if (being == BATTERY && sim->battery.forced) {
        double power = sim->battery.forced_w;
        can.lo = power < 0 ? (int32_t)power : 0;
        can.hi = power > 0 ? (int32_t)power : 0;
    } else if (being == BATTERY) {
        can.lo = greater(can.lo, (int32_t)sim->battery.least_w);
        can.hi = smaller(can.hi, (int32_t)sim->battery.most_w);
    } else if (being == BOX || being == QUIRK) {
        double current = fmin(sim->station.limit_a, sim->station.max_current);
        if (current < BOX_LEAST || sim->station.stopped || sim->station.failed)
            current = 0;
        can.hi = (int32_t)(current * VOLTS * BOX_PHASES + 1e-6);
    }
    return can;
}

static inline int32_t power_of(const struct sim_device *sim, enum being being) {
    return being == ROOF      ? sim->pv.power_w
           : being == BATTERY ? sim->battery.power_w
                              : sim->station.power.total;
}

#endif
