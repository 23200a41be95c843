/* /metrics: the host itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "script/script_figures.h"
#include "service/metrics.h"
#include "service/metrics_text.h"

static void flag(struct buf *out, const char *name, const char *help, bool value) {
    metrics_family(out, name, METRIC_GAUGE, help);
    metrics_count(out, name, "", value);
}

static void total(struct buf *out, const char *name, const char *help, uint64_t value) {
    metrics_family(out, name, METRIC_COUNTER, help);
    metrics_count(out, name, "", value);
}

static double seconds_of(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* The names that Prometheus' own client libraries use. */
static void put_process(struct buf *out) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        metrics_family(out, "process_cpu_seconds_total", METRIC_COUNTER,
                       "CPU time of all threads, in the system too.");
        metrics_sample(out, "process_cpu_seconds_total", "",
                       seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
    }
    char line[128] = ""; /* pages in all, pages in memory, ... */
    FILE *file = fopen("/proc/self/statm", "re");
    const char *resident = file && fgets(line, sizeof line, file) ? strchr(line, ' ') : NULL;
    if (resident) {
        metrics_family(out, "process_resident_memory_bytes", METRIC_GAUGE, "Memory in use.");
        metrics_count(out, "process_resident_memory_bytes", "",
                      strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE));
    }
    if (file)
        fclose(file);
}

static void put_alarms(const struct metrics_sources *sources, struct buf *out) {
    const struct directory *directory = sources->directory;
    const char *problems = directory ? directory->site_problems : NULL;
    char why[2];
    bool failing = store_failing(sources->store, why, sizeof why);
    flag(out, "derd_ready", "1: the site file is read and the store can write.",
         directory && !failing);
    flag(out, "derd_clock_trusted", "0: the clock is behind the last time known to be true.",
         sources->now.trusted);
    flag(out, "derd_store_failing", "1: the store cannot write; bounds are applied all the same.",
         failing);
    flag(out, "derd_store_damaged", "1: its file was damaged at start; what could be read holds.",
         store_damaged(sources->store));
    if (!directory)
        return;
    flag(out, "derd_site_fine", "1: the site file has no mistakes.",
         !problems || strcmp(problems, "[]") == 0);
    flag(out, "derd_scripts_off", "1: no hook and no policy is called; limits are enforced.",
         directory->scripts_off && directory->scripts_off[0]);
}

static void put_store(struct store *store, struct buf *out) {
    const struct store_figures *figures = store_figures(store);
    total(out, "derd_store_commits_total", "Transactions that are on disk.",
          figure_get(&figures->commits));
    total(out, "derd_store_failures_total",
          "Transactions that could not be written; what was in them is tried again row by row.",
          figure_get(&figures->failures));
    metrics_family(out, "derd_store_waiting", METRIC_GAUGE,
                   "Operations that waited when the queue was taken last.");
    metrics_count(out, "derd_store_waiting", "", figure_get(&figures->waiting));
    metrics_family(out, "derd_store_commit_seconds", METRIC_HISTOGRAM,
                   "How long a commit took: the disk.");
    metrics_histogram(out, "derd_store_commit_seconds", "", &figures->commit);
}

static void put_history(struct telemetry *telemetry, struct buf *out) {
    struct telemetry_status status;
    telemetry_status(telemetry, &status);
    flag(out, "derd_history_failing", "1: history is not kept now; control goes on.",
         !status.ready || status.failing);
    metrics_family(out, "derd_history_dropped_samples_total", METRIC_COUNTER,
                   "Samples that were not kept: no room, or no clock that can be trusted.");
    metrics_count(out, "derd_history_dropped_samples_total", "why=\"room\"", status.dropped);
    metrics_count(out, "derd_history_dropped_samples_total", "why=\"clock\"",
                  status.dropped_untimed);
    total(out, "derd_history_files_set_aside_total", "Files that could not be used.",
          status.set_aside);
}

/* --- the engine ------------------------------------------------------------------------------ */

static void put_links(const struct engine_figures *figures, struct buf *out) {
    static const struct {
        const char *name, *help;
        enum metric_type type;
        size_t at;
        bool modbus; /* only these links count it */
    } families[] = {
        {"derd_links", "Links in use.", METRIC_GAUGE, offsetof(struct link_totals, links), false},
        {"derd_links_up", "Links that are connected.", METRIC_GAUGE,
         offsetof(struct link_totals, up), true},
        {"derd_link_connects_total", "Connections that were made.", METRIC_COUNTER,
         offsetof(struct link_totals, connects), true},
        {"derd_link_transactions_total", "Requests that were sent.", METRIC_COUNTER,
         offsetof(struct link_totals, transactions), true},
        {"derd_link_timeouts_total", "Requests without an answer in time.", METRIC_COUNTER,
         offsetof(struct link_totals, timeouts), true},
        {"derd_link_malformed_total", "Answers that could not be read.", METRIC_COUNTER,
         offsetof(struct link_totals, malformed), true},
    };
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        metrics_family(out, families[i].name, families[i].type, families[i].help);
        for (int kind = 0; kind < LINK_KIND_COUNT; kind++) {
            const struct link_totals *totals = &figures->links[kind];
            char labels[METRICS_LABELS_SIZE] = "";
            if (figure_get(&totals->links) == 0 && figure_get(&totals->connects) == 0)
                continue; /* there are none of this kind */
            if (families[i].modbus && kind != LINK_TCP && kind != LINK_SERIAL)
                continue;
            metrics_label(labels, "kind", link_kind_names()[kind]);
            metrics_count(out, families[i].name, labels,
                          figure_get((const figure_t *)((const char *)totals + families[i].at)));
        }
    }
}

static void put_engine(const struct engine_figures *figures, struct buf *out) {
    metrics_family(out, "derd_engine_delay_seconds", METRIC_HISTOGRAM,
                   "How late the engine came to the timer of every second.");
    metrics_histogram(out, "derd_engine_delay_seconds", "", &figures->delay);
    total(out, "derd_polls_skipped_total",
          "Polls that were left out, since the one before was still under way.",
          figure_get(&figures->polls_late));
    put_links(figures, out);
}

/* --- scripts --------------------------------------------------------------------------------- */

static void script_labels(const struct script_card *card, char labels[METRICS_LABELS_SIZE]) {
    labels[0] = '\0';
    metrics_label(labels, "kind", card->kind == SCRIPT_DRIVER ? "driver" : "policy");
    metrics_label(labels, "script", card->name);
}

enum script_metric { CALLS, CPU, CPU_MOST, MEMORY, REBUILDS, QUARANTINED };

static double script_value(const struct script_card *card, enum script_metric which) {
    const struct script_figures *figures = card->figures;
    switch (which) {
    case CALLS:
        return (double)figure_get(&figures->calls);
    case CPU:
        return (double)figure_get(&figures->cpu_us) / 1e6;
    case CPU_MOST:
        return (double)figure_get(&figures->cpu_most_us) / 1e6;
    case MEMORY:
        return (double)figure_get(&figures->memory_bytes);
    case REBUILDS:
        return (double)figure_get(&figures->rebuilds);
    case QUARANTINED:
        break;
    }
    return card->quarantined;
}

static bool script_is_called(const struct script_card *card) {
    return card->figures && (card->has_script || figure_get(&card->figures->calls) > 0);
}

static void put_script_failures(const struct directory *directory, struct buf *out) {
    metrics_family(out, "derd_script_failures_total", METRIC_COUNTER,
                   "Calls that failed: an error, over the CPU budget, over the memory cap.");
    for (size_t i = 0; i < directory->script_count; i++) {
        const struct script_card *card = &directory->scripts[i];
        for (int outcome = SCRIPT_RAISED; script_is_called(card) && outcome <= SCRIPT_MEMORY;
             outcome++) {
            char labels[METRICS_LABELS_SIZE];
            script_labels(card, labels);
            metrics_label(labels, "outcome", script_outcome_name((enum script_outcome)outcome));
            metrics_count(out, "derd_script_failures_total", labels,
                          figure_get(&card->figures->failures[outcome]));
        }
    }
}

static void put_scripts(const struct directory *directory, struct buf *out) {
    static const struct {
        const char *name, *help;
        enum metric_type type;
        enum script_metric which;
    } families[] = {
        {"derd_script_calls_total", "Calls that have ended.", METRIC_COUNTER, CALLS},
        {"derd_script_cpu_seconds_total",
         "CPU time of its calls; of those below a millisecond, their time by the clock.",
         METRIC_COUNTER, CPU},
        {"derd_script_call_cpu_most_seconds", "CPU time of the longest call, between two waits.",
         METRIC_GAUGE, CPU_MOST},
        {"derd_script_memory_bytes", "Memory of its state after the last call.", METRIC_GAUGE,
         MEMORY},
        {"derd_script_rebuilds_total", "How often its state was built anew after failures.",
         METRIC_COUNTER, REBUILDS},
        {"derd_script_quarantined", "1: not called any more until its file changes.", METRIC_GAUGE,
         QUARANTINED},
    };
    const struct script_limits limits = script_limits_default();
    metrics_family(out, "derd_script_call_cpu_limit_seconds", METRIC_GAUGE,
                   "CPU budget of a call.");
    metrics_sample(out, "derd_script_call_cpu_limit_seconds", "", (double)limits.call_cpu_us / 1e6);
    metrics_family(out, "derd_script_memory_limit_bytes", METRIC_GAUGE, "Memory cap of a script.");
    metrics_count(out, "derd_script_memory_limit_bytes", "", limits.memory_bytes);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        metrics_family(out, families[i].name, families[i].type, families[i].help);
        for (size_t j = 0; j < directory->script_count; j++) {
            const struct script_card *card = &directory->scripts[j];
            char labels[METRICS_LABELS_SIZE];
            if (!script_is_called(card) ||
                (families[i].which == MEMORY && figure_get(&card->figures->memory_bytes) == 0))
                continue; /* of what was never called it is not known */
            script_labels(card, labels);
            metrics_sample(out, families[i].name, labels, script_value(card, families[i].which));
        }
    }
    put_script_failures(directory, out);
}

/* --- who asks -------------------------------------------------------------------------------- */

static void route_labels(const struct route *route, char labels[METRICS_LABELS_SIZE]) {
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"};
    labels[0] = '\0';
    metrics_label(labels, "method", route ? methods[route->method] : "other");
    metrics_label(labels, "route", route ? route->path : "other");
}

static void put_api(const struct api_figures *figures, struct buf *out) {
    size_t count;
    const struct route *table = route_table(&count);
    char labels[METRICS_LABELS_SIZE];
    metrics_family(out, "derd_api_requests_total", METRIC_COUNTER,
                   "Answers by route; HEAD counts as GET, what had no route as other.");
    for (size_t i = 0; i < figures->count; i++)
        for (int class = 0; class < STATUS_CLASSES; class ++) {
            uint64_t answers = figure_get(&figures->routes[i].answers[class]);
            char status[8];
            if (answers == 0)
                continue;
            snprintf(status, sizeof status, "%dxx", class + 1);
            route_labels(i < count ? &table[i] : NULL, labels);
            metrics_label(labels, "status", status);
            metrics_count(out, "derd_api_requests_total", labels, answers);
        }
    metrics_family(out, "derd_api_request_seconds", METRIC_HISTOGRAM,
                   "From the whole request to the head of the answer.");
    for (size_t i = 0; i < figures->count; i++) {
        route_labels(i < count ? &table[i] : NULL, labels);
        metrics_histogram(out, "derd_api_request_seconds", labels, &figures->routes[i].took);
    }
    metrics_family(out, "derd_api_connections", METRIC_GAUGE, "Connections that have a thread.");
    metrics_count(out, "derd_api_connections", "", (uint64_t)atomic_load(&figures->connections));
    metrics_family(out, "derd_api_threads", METRIC_GAUGE, "Threads that serve connections.");
    metrics_count(out, "derd_api_threads", "", (uint64_t)atomic_load(&figures->threads));
    total(out, "derd_api_hurried_total",
          "Idle or slow connections that were ended since threads had run out.",
          figure_get(&figures->hurried));
}

static void put_service(const struct service_figures *figures, struct buf *out) {
    metrics_family(out, "derd_service_connections", METRIC_GAUGE,
                   "Connections of the service listener.");
    metrics_count(out, "derd_service_connections", "", figure_get(&figures->connections));
    metrics_family(out, "derd_service_connections_total", METRIC_COUNTER, "How they ended.");
    for (int end = 0; end < SERVICE_END_COUNT; end++) {
        char labels[METRICS_LABELS_SIZE] = "";
        metrics_label(labels, "end", service_end_name((enum service_end)end));
        metrics_count(out, "derd_service_connections_total", labels,
                      figure_get(&figures->ends[end]));
    }
}

void metrics_write_host(const struct metrics_sources *sources, struct buf *out) {
    put_process(out);
    put_alarms(sources, out);
    put_store(sources->store, out);
    if (sources->telemetry)
        put_history(sources->telemetry, out);
    if (sources->engine)
        put_engine(sources->engine, out);
    if (sources->directory)
        put_scripts(sources->directory, out);
    if (sources->api)
        put_api(sources->api, out);
    if (sources->service)
        put_service(sources->service, out);
}
