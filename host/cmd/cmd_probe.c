/* `derd probe`: which driver fits what answers at an address. Each driver's own points are read,
 * nothing is written; the best fit is the one of which most can be read and makes sense. */
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cmd/commands.h"
#include "kit/find.h"
#include "kit/probe_talk.h"
#include "kit/survey.h"
#include "link/wire.h"
#include "script/library.h"

static const char help[] =
    "usage: derd probe URL [--unit N | --units A-B]\n\n"
    "Asks a device which driver fits: fingerprints, the SunSpec chain, and each driver's points\n"
    "(those in ./drivers and those that ship). Prints what was read, best fit first, and the "
    "lines\n"
    "for the site file. Nothing is written to the device.\n\n"
    "  URL          tcp://HOST:PORT, or http://HOST, udp://HOST:PORT, line://HOST:PORT,\n"
    "               mqtt://BROKER/TOPIC: every driver of that kind is tried\n"
    "  --unit N     one unit, 0 to 255 (1)\n"
    "  --units A-B  several units behind a gateway\n"
    "  --help\n\n"
    "Exit status: 0 a driver fits, 1 none does or nothing answers, 2 used wrongly.\n";

#define MOST_DRIVERS 200
#define MOST_FITS    5
#define LEAST_FIT    50 /* %, below which a driver is not proposed */

struct fit {
    const struct generation *generation;
    int unit;
    int percent;
    struct survey survey;
};

struct fits { /* the best ones, best first */
    struct fit items[MOST_FITS];
    size_t count;
};

/* A single bit makes sense whatever it is, so bits alone tell no make from another. */
static bool only_bits(const struct survey *survey, const struct driver *driver) {
    for (int i = 0; i < driver->point_count; i++)
        if (survey->read[i] && driver->points[i].encoding != ENCODING_BIT)
            return false;
    return true;
}

/* 100: all is there, makes sense and says something. A SunSpec chain or a fingerprint that is right
 * counts for half; one that is wrong rules the driver out. */
static int fit_percent(const struct survey *survey, const struct driver *driver) {
    bool known = driver->sunspec || driver->fingerprint_count > 0;
    if ((driver->fingerprint_count > 0 && !survey->fingerprint_right) ||
        (driver->sunspec && survey->walk.model_count == 0) || survey->asked == 0 ||
        survey->answered == 0)
        return 0;
    /* Impossible values weigh twice: a wrong map shows by them. */
    int good = survey->plausible * 2 - survey->answered;
    int share = (good > 0 ? good * 80 : 0) / survey->asked + survey->telling * 20 / survey->asked;
    if (!known && share > LEAST_FIT && only_bits(survey, driver))
        share = LEAST_FIT;
    return known ? 50 + share / 2 : share;
}

static void fits_add(struct fits *fits, struct fit *fit) {
    size_t at = fits->count;
    while (at > 0 && fits->items[at - 1].percent < fit->percent)
        at--;
    if (at == MOST_FITS) {
        survey_free(&fit->survey);
        return;
    }
    if (fits->count == MOST_FITS)
        survey_free(&fits->items[--fits->count].survey);
    memmove(fits->items + at + 1, fits->items + at, (fits->count - at) * sizeof *fits->items);
    fits->items[at] = *fit;
    fits->count++;
}

/* --- what is printed -----------------------------------------------------------------------------
 */

static void print_point(const struct fit *fit, int index) {
    const struct driver *driver = fit->generation->driver;
    const struct point *point = &driver->points[index];
    const struct survey *survey = &fit->survey;
    const char *part = point->part == POINT_NONE ? "" : driver->parts[point->part].name;
    char name[100], value[140] = "unknown", raw[24] = "";
    uint16_t address;
    if (point->id == POINT_NONE || !survey->read[index] || !survey_address(survey, point, &address))
        return;
    const uint16_t *words = &survey->registers->words[point->kind][address];
    double number = survey->values[index];
    snprintf(name, sizeof name, "%s%s%s", part, part[0] ? "." : "", point->name);
    for (int i = 0; i < point->words && i < 4; i++)
        snprintf(raw + 5 * (size_t)i, sizeof raw - 5 * (size_t)i, "%04X ", words[i]);
    if (point->id >= POINT_TEXT_FIRST) {
        if (point_decode_text(point, words, value, sizeof value) != POINT_OK)
            snprintf(value, sizeof value, "unknown");
    } else if (!isnan(number) && point->id == POINT_STATE) {
        snprintf(value, sizeof value, "%s", device_state_name((enum device_state)number));
    } else if (!isnan(number)) {
        snprintf(value, sizeof value, "%.9g %s", number,
                 point_word((enum point_id)point->id)->unit);
    }
    printf("  %-28s %-8s %5u  %-20s %s\n", name, register_kind_names()[point->kind], address, raw,
           value);
}

static void print_fit(const struct fit *fit) {
    const struct driver *driver = fit->generation->driver;
    const struct survey *survey = &fit->survey;
    printf("\n%s fits unit %d by %d %%: %d of %d points answered, %d plausible, %d not zero%s\n",
           driver->name, fit->unit, fit->percent, survey->answered, survey->asked,
           survey->plausible, survey->telling,
           driver->sunspec                 ? ", a SunSpec chain"
           : driver->fingerprint_count > 0 ? ", its fingerprint"
                                           : "");
    for (size_t i = 0; i < survey->walk.model_count; i++)
        printf("%s%u%s", i ? " " : "  models: ", survey->walk.models[i].id,
               i + 1 == survey->walk.model_count ? "\n" : "");
    if (survey->walk.trouble[0])
        printf("  %s\n", survey->walk.trouble);
    printf("  %-28s %-8s %5s  %-20s %s\n", "point", "kind", "at", "raw", "value");
    for (int i = 0; i < driver->point_count; i++)
        print_point(fit, i);
}

/* Whether anything of this part was read: a SunSpec inverter without storage is no battery. */
static bool part_there(const struct fit *fit, int part) {
    const struct driver *driver = fit->generation->driver;
    for (int i = 0; i < driver->point_count; i++)
        if (driver->points[i].part == part && driver->points[i].id != POINT_NONE &&
            fit->survey.read[i] && !isnan(fit->survey.values[i]))
            return true;
    return driver->part_count == 1;
}

static void print_site(const struct fit *fit, const char *url) {
    const struct driver *driver = fit->generation->driver;
    printf("\nFor `devices` in the site file:\n\n");
    for (int i = 0; i < driver->part_count; i++) {
        const struct driver_part *part = &driver->parts[i];
        if (!part_there(fit, i))
            continue;
        printf("  { key = \"%s%d\", driver = \"%s\"",
               part->name[0] ? part->name : device_type_name(part->type), fit->unit, driver->name);
        if (part->name[0])
            printf(", as = \"%s\"", part->name);
        printf(", link = \"%s\", unit = %d },\n", url, fit->unit);
    }
}

/* --- probing -------------------------------------------------------------------------------------
 */

/* Tries each driver on one unit. False: the connection is gone for good. */
static bool probe_unit(struct surveyor *surveyor, int unit, struct generation **drivers,
                       size_t count, struct fits *fits) {
    for (size_t i = 0; i < count; i++) {
        struct fit fit = {.generation = drivers[i], .unit = unit};
        if (!(drivers[i]->driver->links & (1U << LINK_TCP | 1U << LINK_SERIAL)))
            continue; /* it speaks otherwise */
        fprintf(stderr, "unit %d: asking as %s ... ", unit, drivers[i]->name);
        enum survey_end end = survey_take(&fit.survey, surveyor, unit, drivers[i]->driver, false);
        if (end == SURVEY_DONE)
            fit.percent = fit_percent(&fit.survey, drivers[i]->driver);
        if (end == SURVEY_DONE)
            fprintf(stderr, "%d %%\n", fit.percent);
        else
            fprintf(stderr, "%s\n", fit.survey.trouble);
        if (fit.percent >= LEAST_FIT)
            fits_add(fits, &fit);
        else
            survey_free(&fit.survey);
        if (end == SURVEY_ABSENT)
            return true; /* the others would wait as long for nothing */
        if (end == SURVEY_LOST && !surveyor->up)
            return false;
    }
    return true;
}

static int probe(const char *url, int first, int last) {
    static struct generation *drivers[MOST_DRIVERS];
    struct surveyor surveyor;
    struct fits fits = {.count = 0};
    fprintf(stderr, "connecting to %s ... ", url);
    if (!surveyor_open(&surveyor, url)) {
        fprintf(stderr, "%s\n", surveyor.reason);
        surveyor_close(&surveyor);
        return 1;
    }
    fputs("connected\n", stderr);
    size_t count = find_all_drivers(drivers, MOST_DRIVERS);
    for (int unit = first; unit <= last; unit++)
        if (!probe_unit(&surveyor, unit, drivers, count, &fits))
            break;
    surveyor_close(&surveyor);
    for (size_t i = 0; i < fits.count; i++)
        print_fit(&fits.items[i]);
    /* The best driver of each unit. */
    for (int unit = first; unit <= last; unit++)
        for (size_t i = 0; i < fits.count; i++)
            if (fits.items[i].unit == unit) {
                print_site(&fits.items[i], url);
                break;
            }
    if (!fits.count)
        puts("No driver fits. With the device's register table at hand: `derd new driver NAME`.");
    int status = fits.count ? 0 : 1;
    while (fits.count)
        survey_free(&fits.items[--fits.count].survey);
    while (count)
        generation_release(drivers[--count]);
    return status;
}

int cmd_probe(int argc, char **argv) {
    static const struct option options[] = {{"unit", required_argument, NULL, 'u'},
                                            {"units", required_argument, NULL, 'r'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int first = 1, last = 1, option;
    char text[16], why[160];
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        const char *dash = option == 'r' ? strchr(optarg, '-') : NULL;
        bool right = true;
        switch (option) {
        case 'u':
            right = find_unit(optarg, &first);
            last = first;
            break;
        case 'r':
            snprintf(text, sizeof text, "%.*s", dash ? (int)(dash - optarg) : 0, optarg);
            right = dash && find_unit(text, &first) && find_unit(dash + 1, &last) && first <= last;
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            fputs(help, stderr);
            return 2;
        }
        if (!right) {
            fputs("derd probe: units go from 0 to 255: --unit 1, or --units 1-10\n", stderr);
            return 2;
        }
    }
    if (optind + 1 != argc) {
        fputs(help, stderr);
        return 2;
    }
    if (!wire_url_valid(argv[optind], why, sizeof why)) {
        fprintf(stderr, "derd probe: %s: %s\n", argv[optind], why);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_LEVEL_ERROR); /* what the link sees is told here, in its place */
    if (!wire_is_modbus(wire_kind(argv[optind])))
        return probe_talk(argv[optind], stdout);
    return probe(argv[optind], first, last);
}
