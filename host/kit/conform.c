#include "kit/conform.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "machine.h"

#define PROBLEMS_SHOWN 12
#define POLLS          1000

/* --- one check -----------------------------------------------------------------------------------
 */

void conform_begin(struct conform *conform, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(conform->check, sizeof conform->check, format, arguments);
    va_end(arguments);
    buf_clear(&conform->problems);
    conform->problem_count = 0;
    pthread_mutex_lock(&conform->lock);
    conform->raised[0] = conform->last_warning[0] = '\0';
    pthread_mutex_unlock(&conform->lock);
}

void conform_problem(struct conform *conform, const char *format, ...) {
    va_list arguments;
    if (conform->problem_count++ >= PROBLEMS_SHOWN)
        return;
    buf_text(&conform->problems, "        ");
    va_start(arguments, format);
    buf_vformat(&conform->problems, format, arguments);
    va_end(arguments);
    buf_char(&conform->problems, '\n');
}

void conform_end(struct conform *conform) {
    pthread_mutex_lock(&conform->lock);
    char raised[sizeof conform->raised];
    memcpy(raised, conform->raised, sizeof raised);
    pthread_mutex_unlock(&conform->lock);
    if (raised[0])
        conform_problem(conform, "a hook failed: %s", raised);
    if (!conform->problem_count) {
        conform->passed++;
        if (!conform->quiet)
            fprintf(conform->out, "ok    %s\n", conform->check);
    } else {
        conform->failed++;
        fprintf(conform->out, "FAIL  %s\n%s", conform->check, buf_string(&conform->problems));
        if (conform->problem_count > PROBLEMS_SHOWN)
            fprintf(conform->out, "        and %u more\n", conform->problem_count - PROBLEMS_SHOWN);
    }
    fflush(conform->out);
}

/* The host's log goes here: what a hook raised stands nowhere else. */
static void take_log(void *context, enum log_level level, const char *line) {
    struct conform *conform = context;
    const char *hook = strstr(line, "hooks.");
    if (level > LOG_LEVEL_WARNING)
        return;
    pthread_mutex_lock(&conform->lock);
    snprintf(conform->last_warning, sizeof conform->last_warning, "%s", line);
    if (hook && !conform->raised[0])
        snprintf(conform->raised, sizeof conform->raised, "%s", hook);
    pthread_mutex_unlock(&conform->lock);
}

/* --- what the parts share ------------------------------------------------------------------------
 */

/* Parameters that the site would have to set: a middle value of each. */
json_t *conform_parameters(const struct conform *conform) {
    const struct driver *driver = conform->driver;
    if (conform->parameters)
        return json_deep_copy(conform->parameters);
    json_t *parameters = json_object();
    for (int i = 0; i < driver->parameter_count; i++) {
        const struct driver_parameter *parameter = &driver->parameters[i];
        if (parameter->has_default)
            continue;
        double value = parameter->id == POINT_PHASES ? 3 : 5000;
        if (!(value >= parameter->minimum))
            value = parameter->minimum;
        if (!(value <= parameter->maximum))
            value = parameter->maximum;
        json_object_set_new(parameters, parameter->name, json_real(value));
    }
    return parameters;
}

struct registers *conform_image(const struct conform *conform, struct mirror_chain *chain) {
    struct registers *registers = registers_new();
    if (!registers)
        return NULL;
    mirror_chain_make(conform->driver, NULL, 0, chain);
    mirror_chain_put(chain, true, registers);
    mirror_fill(conform->driver, chain, MIRROR_PLAUSIBLE, 0, registers);
    return registers;
}

static bool online(struct bench *bench, void *context) {
    (void)context;
    return bench_online(bench);
}

bool conform_bench(struct conform *conform, struct bench *bench, const json_t *parameters,
                   const struct registers *registers) {
    struct report report;
    report_init(&report);
    bool ok = (registers || conform->answers) &&
              bench_open(bench, conform->path, conform->driver, parameters, registers,
                         conform->answers, &report);
    for (size_t i = 0; i < report.count; i++)
        conform_problem(conform, "%s: %s", report.items[i].where, report.items[i].text);
    report_free(&report);
    if (!ok) {
        if (!conform->problem_count)
            conform_problem(conform, "there is not enough memory");
        return false;
    }
    if (bench_until(bench, online, NULL, BENCH_PATIENCE_MS))
        return true;
    conform_problem(conform, "the device never came online: %s",
                    text_of(bench_machine(bench)->why));
    return false;
}

void conform_look(struct conform *conform, struct bench *bench) {
    for (struct device *device = bench->engine->devices; device; device = device->next) {
        struct flexibility seen;
        live_read(device->card->live, &seen);
        for (int i = 0; i < POINT_NUMBER_COUNT; i++) {
            const struct point_word *word = point_word((enum point_id)i);
            double value = seen.values[i];
            if (!isnan(value) && !(value >= word->minimum && value <= word->maximum))
                conform_problem(conform, "%s: %s is published as %g, possible is %g..%g %s",
                                device->site->key, word->name, value, word->minimum, word->maximum,
                                word->unit);
        }
    }
}

/* --- all of it -----------------------------------------------------------------------------------
 */

static void print_report(FILE *out, const char *path, const struct report *report) {
    for (size_t i = 0; i < report->count; i++)
        fprintf(out, "        %s: %s%s%s\n", path, report->items[i].where,
                report->items[i].where[0] ? ": " : "", report->items[i].text);
}

static bool load_spec(struct conform *conform, struct spec *spec, const char *path,
                      const char *what) {
    struct report report;
    report_init(&report);
    bool ok = spec_load(spec, path, &report);
    const char *driver = ok ? json_string_value(json_object_get(spec->tree, "driver")) : NULL;
    if (ok && strcmp(driver, conform->driver->name) != 0) {
        report_add(&report, "driver", "it is made for %s, not for %s", driver,
                   conform->driver->name);
        spec_free(spec);
        ok = false;
    }
    conform_begin(conform, "%s %s is right", what, path);
    for (size_t i = 0; i < report.count; i++)
        conform_problem(conform, "%s: %s", report.items[i].where, report.items[i].text);
    conform_end(conform);
    report_free(&report);
    return ok;
}

/* What the simulated device says while it is tried in other ways: the author's first fixture. */
static void take_answers(struct conform *conform) {
    const json_t *fixture = json_array_get(conform->spec.fixtures, 0);
    if (spec_kind(conform->driver) == LINK_TCP)
        return;
    conform->answers = spec_answers(fixture, spec_kind(conform->driver));
    conform->parameters = json_incref(json_object_get(fixture, "parameters"));
}

static void run_specs(struct conform *conform, const struct conform_settings *settings) {
    struct spec recording;
    if (!settings->spec_path) {
        conform_begin(conform, "the driver has a spec");
        conform_problem(conform,
                        "there is no spec/%s.lua beside it. It says what stands in registers and "
                        "what that means, with literals from the manual; copy a neighbour's",
                        conform->driver->name);
        conform_end(conform);
    } else if (load_spec(conform, &conform->spec, settings->spec_path, "spec")) {
        take_answers(conform);
        conform_spec(conform, &conform->spec);
        conform_coverage(conform);
    }
    if (settings->fixture_path &&
        load_spec(conform, &recording, settings->fixture_path, "fixture")) {
        conform_spec(conform, &recording);
        spec_free(&recording);
    }
}

int conform_run(const struct conform_settings *settings) {
    struct conform conform = {.path = settings->driver_path,
                              .out = settings->out,
                              .quiet = settings->quiet,
                              .polls = settings->polls ? settings->polls : POLLS,
                              .lock = PTHREAD_MUTEX_INITIALIZER};
    struct report report;
    report_init(&report);
    signal(SIGPIPE, SIG_IGN);
    conform.generation = generation_load(SCRIPT_DRIVER, settings->driver_path, 1, &report);
    if (!conform.generation) {
        fprintf(settings->out, "FAIL  the file is a driver\n");
        print_report(settings->out, settings->driver_path, &report);
        report_free(&report);
        return 1;
    }
    report_free(&report);
    conform.driver = conform.generation->driver;
    conform.covered = calloc((size_t)conform.driver->point_count + 1, sizeof *conform.covered);
    buf_init(&conform.problems, 16384);
    log_set_sink(take_log, &conform);
    run_specs(&conform, settings);
    if (spec_kind(conform.driver) == LINK_TCP) {
        conform_images(&conform);
        conform_controls(&conform);
        conform_faults(&conform);
    } else if (conform.answers) { /* without a spec nobody knows what it would say */
        conform_talk(&conform);
    }
    if (spec_kind(conform.driver) == LINK_TCP || conform.answers) {
        conform_reload(&conform);
        conform_memory(&conform);
    }
    log_set_sink(NULL, NULL);
    fprintf(settings->out, "%s%u passed, %u failed: %s\n", conform.quiet ? "" : "\n",
            conform.passed, conform.failed, conform.driver->name);
    spec_free(&conform.spec);
    json_decref(conform.answers);
    json_decref(conform.parameters);
    buf_free(&conform.problems);
    free(conform.covered);
    generation_release(conform.generation);
    return conform.failed ? 1 : 0;
}
