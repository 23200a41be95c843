/* `derd record`: what stands in a live device's registers, as a fixture for `derd test`. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/commands.h"
#include "kit/find.h"
#include "kit/survey.h"
#include "script/library.h"

static const char help[] =
    "usage: derd record URL --unit N --driver NAME [--out FILE]\n\n"
    "Reads what the driver reads (with its whole SunSpec models) from a live device, once, and\n"
    "writes it as Lua data for `derd test NAME --fixture FILE`. Nothing is written to the "
    "device.\n\n"
    "  URL            tcp://HOST:PORT\n"
    "  --unit N       its unit, 0 to 255 (1)\n"
    "  --driver NAME  a file, or a name looked for in ./drivers and among those that ship\n"
    "  --out FILE     instead of standard output\n"
    "  --help\n\n"
    "A recording holds the device's serial number: think before you publish it.\n"
    "Exit status: 0 recorded, 1 the device could not be read, 2 used wrongly.\n";

#define RECORDING_MAXIMUM (4U << 20)

static void write_text(struct buf *lua, const char *text) {
    buf_char(lua, '"');
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            buf_format(lua, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            buf_format(lua, "\\%u", (unsigned char)*text);
        else
            buf_char(lua, *text);
    buf_char(lua, '"');
}

/* Make, model and number, as the device tells them. */
static void write_identity(struct buf *lua, const struct survey *survey,
                           const struct driver *driver) {
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        uint16_t address;
        char text[129];
        if (point->id < POINT_TEXT_FIRST || !survey->read[i] ||
            !survey_address(survey, point, &address) ||
            point_decode_text(point, &survey->registers->words[point->kind][address], text,
                              sizeof text) != POINT_OK)
            continue;
        buf_format(lua, "    %s = ", point->name);
        write_text(lua, text);
        buf_text(lua, ",\n");
    }
}

/* The values beside the registers are for the reader: where to look, and what to expect. */
static void write_values(struct buf *lua, const struct survey *survey,
                         const struct driver *driver) {
    buf_text(lua, "\n-- What the driver makes of it, before its hooks:\n");
    for (int i = 0; i < driver->point_count; i++) {
        const struct point *point = &driver->points[i];
        uint16_t address;
        if (!survey->read[i] || point->id >= POINT_TEXT_FIRST ||
            !survey_address(survey, point, &address))
            continue;
        const char *part = point->part == POINT_NONE ? "" : driver->parts[point->part].name;
        buf_format(lua, "-- %s[%u]  %s%s%s = ", register_kind_names()[point->kind], address, part,
                   part[0] ? "." : "", point->name);
        double value = survey->values[i];
        if (value != value)
            buf_text(lua, "unknown\n");
        else if (point->id == POINT_STATE)
            buf_format(lua, "%s\n", device_state_name((enum device_state)value));
        else
            buf_format(lua, "%.9g %s\n", value,
                       point->id == POINT_NONE ? "" : point_word((enum point_id)point->id)->unit);
    }
}

static bool write_recording(const struct survey *survey, const struct driver *driver,
                            const char *url, int unit, const char *path) {
    char at[WALL_TEXT_SIZE];
    struct buf lua;
    buf_init(&lua, RECORDING_MAXIMUM);
    wall_format(clock_wall(), at);
    buf_format(&lua,
               "-- Recorded by derd record. Holds the device's serial number.\n"
               "return {\n  driver = \"%s\",\n  name = \"recorded %.10s\",\n"
               "  recorded = {\n    at = \"%s\",\n    link = ",
               driver->name, at, at);
    write_text(&lua, url);
    buf_format(&lua, ",\n    unit = %d,\n    driverVersion = ", unit);
    write_text(&lua, driver->version);
    buf_text(&lua, ",\n");
    write_identity(&lua, survey, driver);
    buf_text(&lua, "  },\n  registers = {\n");
    registers_write(survey->registers, &lua, 4);
    buf_text(&lua, "  },\n}\n");
    write_values(&lua, survey, driver);
    FILE *file = path ? fopen(path, "we") : stdout;
    bool ok = file && !lua.failed && fputs(buf_string(&lua), file) >= 0;
    if (file && path)
        ok = fclose(file) == 0 && ok;
    if (!ok)
        fprintf(stderr, "derd record: %s cannot be written: %s\n", path ? path : "the recording",
                strerror(errno));
    buf_free(&lua);
    return ok;
}

static int record(const char *url, int unit, const struct driver *driver, const char *out) {
    struct surveyor surveyor;
    struct survey survey = {0};
    int status = 1;
    if (!surveyor_open(&surveyor, url)) {
        fprintf(stderr, "derd record: %s: %s\n", url, surveyor.reason);
    } else if (survey_take(&survey, &surveyor, unit, driver, true) != SURVEY_DONE) {
        fprintf(stderr, "derd record: %s unit %d: %s\n", url, unit, survey.trouble);
    } else if (survey.answered == 0) {
        fprintf(stderr, "derd record: %s unit %d has none of the registers of %s%s%s\n", url, unit,
                driver->name, driver->sunspec ? ": " : "", survey.walk.trouble);
    } else if (write_recording(&survey, driver, url, unit, out)) {
        fprintf(stderr, "%d of %d points recorded\n", survey.answered, survey.asked);
        status = 0;
    }
    survey_free(&survey);
    surveyor_close(&surveyor);
    return status;
}

int cmd_record(int argc, char **argv) {
    static const struct option options[] = {{"unit", required_argument, NULL, 'u'},
                                            {"driver", required_argument, NULL, 'd'},
                                            {"out", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *name = NULL, *out = NULL;
    int unit = 1, option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'u':
            if (!find_unit(optarg, &unit)) {
                fputs("derd record: --unit takes 0 to 255\n", stderr);
                return 2;
            }
            break;
        case 'd':
            name = optarg;
            break;
        case 'o':
            out = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            fputs(help, stderr);
            return 2;
        }
    char why[160];
    if (!name || optind + 1 != argc) {
        fputs(help, stderr);
        return 2;
    }
    if (!link_url_valid(argv[optind], why, sizeof why)) {
        fprintf(stderr, "derd record: %s: %s\n", argv[optind], why);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_LEVEL_ERROR); /* what the link sees is told here, in its place */
    struct generation *generation = find_driver(name, "derd record");
    if (!generation)
        return 1;
    int status = record(argv[optind], unit, generation->driver, out);
    generation_release(generation);
    return status;
}
