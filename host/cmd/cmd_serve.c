/* `derd serve`: the host. The parent supervises; the child is the engine's loop and the API. */
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "api/api.h"
#include "api/api_figures.h"
#include "base/log.h"
#include "cmd/admin.h"
#include "cmd/commands.h"
#include "cmd/notify.h"
#include "cmd/opening.h"
#include "cmd/paths.h"
#include "cmd/supervise.h"
#include "engine.h"
#include "service/service.h"
#include "site_log.h"
#include "webhooks/webhooks.h"

static const char help[] =
    "usage: derd serve --site FILE [OPTIONS]\n\n"
    "Runs the host: polls the site's devices, decides, and serves the API and the page.\n\n"
    "  --site FILE            the site file\n"
    "  --log-level LEVEL      error, warning, info (default) or debug\n"
    "  --log-format FORMAT    text (default), or json: an object a line\n"
    "  --foreground           without the supervising parent (for debuggers)\n"
    "  --clock-shift SECONDS  add this to the wall clock, to rehearse a wrong clock; @FILE: what\n"
    "                         stands in it, read every second\n"
    "  --rehearse-stall NAME:SECONDS\n"
    "                         let each call of the driver or policy NAME (\"*\": of any) block\n"
    "                         the host that long, to rehearse what the watchdog does\n"
    "  --help\n\n"
    "SIGTERM ends it; devices keep what they were told last.\n";

struct serve {
    struct engine_settings engine;
    char shared_folder[512];
    char stalled[DRIVER_NAME_SIZE]; /* the script of a rehearsal */
};

static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* An answer about all devices is as large as they are many. Left to itself, malloc() learns from
 * the first one to take such memory from the heap of its thread, where it stays: a few MiB for each
 * of the API's threads. */
#define GIVEN_BACK_AT_ONCE (256 << 10)

struct running { /* what a signal ends: the API first, while the engine still answers it */
    struct engine *engine;
    struct api *api;
    struct webhooks *webhooks;
    struct notify *notify;
    struct opening opening;
    uv_work_t stop;
    bool stopping;
};

static void stop_api(uv_work_t *work) {
    struct running *running = work->data;
    api_stop(running->api);
    webhooks_close(running->webhooks);
}

static void stop_engine(uv_work_t *work, int status) {
    struct running *running = work->data;
    (void)status;
    engine_stop(running->engine);
}

static void begin_stop(void *context) {
    struct running *running = context;
    running->stop.data = running;
    if (uv_queue_work(&running->engine->loop, &running->stop, stop_api, stop_engine))
        engine_stop(running->engine);
}

static void signal_stop(uv_signal_t *handle, int number) {
    struct running *running = handle->data;
    if (running->stopping)
        return;
    log_info("host", "signal %d: stopping", number);
    running->stopping = true;
    notify_stopping(running->notify);
    opening_end(&running->opening, begin_stop, running);
}

static void print_mistakes(const struct report *report) {
    for (size_t i = 0; i < report->count; i++)
        log_error("host", "%s%s%s", report->items[i].where, report->items[i].where[0] ? ": " : "",
                  report->items[i].text);
}

/* NULL: the host goes on without, and says so. */
static struct webhooks *open_webhooks(struct engine *engine) {
    const struct site *site = engine->site;
    struct webhooks *webhooks;
    const struct webhooks_settings settings = {
        .store = engine->store,
        .events = engine->events,
        .directory = &engine->directory,
        .clock = &engine->clock,
        .reachable = {site->webhooks.allow, site->webhooks.allow_count},
        .retry_first_ms = site->webhooks.retry_ms,
        .give_up_ms = site->webhooks.give_up_ms};
    return webhooks_open(&webhooks, &settings) == ERR_OK ? webhooks : NULL;
}

/* NULL: the host goes on without, and says so. */
static struct service *open_service(struct engine *engine, const struct api_settings *settings,
                                    struct service_figures *figures) {
    struct service *service = NULL;
    char why[200];
    const char *listen = engine->site->service;
    if (!listen[0])
        return NULL;
    if (service_open(&service, &engine->loop, listen, settings, figures, why, sizeof why) != ERR_OK)
        log_warning("service", "%s: there is no service listener; http.service names another port",
                    why);
    else
        log_info("service", "/health, /ready and /metrics: http://%.*s:%d",
                 (int)(strrchr(listen, ':') - listen), listen, service_port(service));
    return service;
}

static int run_host(void *context, int ready_fd) {
    const struct serve *serve = context;
    struct report report;
    report_init(&report);
    signal(SIGPIPE, SIG_IGN);
    (void)mallopt(M_MMAP_THRESHOLD, GIVEN_BACK_AT_ONCE);
    raise_descriptor_limit();
    struct engine *engine = engine_open(&serve->engine, &report);
    print_mistakes(&report);
    report_free(&report);
    if (!engine)
        return 1;

    char web_root[600];
    snprintf(web_root, sizeof web_root, "%s/web", serve->shared_folder);
    struct api_settings settings = {.listen = engine->site->listen,
                                    .web_root = web_root,
                                    .proxies = engine->site->proxies,
                                    .threads = engine->site->threads,
                                    .engine = engine,
                                    .directory = &engine->directory,
                                    .store = engine->store,
                                    .telemetry = engine->telemetry,
                                    .clock = &engine->clock,
                                    .events = engine->events,
                                    .streams = engine->site->streams,
                                    .rate = engine->site->rate,
                                    .burst = engine->site->burst,
                                    .guesses = engine->site->guesses};
    struct api_figures figures;
    struct service_figures service_figures = {0};
    if (api_figures_open(&figures) == ERR_OK)
        settings.figures = &figures;
    settings.engine_figures = &engine->figures;
    settings.service_figures = &service_figures;
    struct running running = {.engine = engine, .webhooks = open_webhooks(engine)};
    settings.webhooks = running.webhooks;
    char why[200];
    uv_signal_t signals[2];
    static const int numbers[] = {SIGTERM, SIGINT};
    struct admin *admin = NULL;
    if (api_new(&running.api, &settings, why, sizeof why) != ERR_OK) {
        log_error("api", "%s", why);
        webhooks_close(running.webhooks);
        engine_close(engine);
        api_figures_close(&figures);
        return 1;
    }
    struct service *service = open_service(engine, &settings, &service_figures);
    report_init(&report);
    if (admin_open(&admin, &engine->loop, engine->site->store_directory, engine->store, NULL, NULL,
                   &report) != ERR_OK)
        log_warning("host", "the administration socket cannot be opened; `derd token` has to wait "
                            "until the host is stopped");
    print_mistakes(&report);
    report_free(&report);
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&engine->loop, &signals[i]);
        signals[i].data = &running;
        uv_signal_start(&signals[i], signal_stop, numbers[i]);
    }
    bool opened = opening_begin(&running.opening, &engine->loop, running.api, engine->store,
                                engine->site->listen, serve->engine.site_path);
    if (opened) {
        if (ready_fd >= 0 && write(ready_fd, "1", 1) == 1)
            close(ready_fd);
        running.notify = notify_ready(&engine->loop);
        engine_run(engine);
        notify_close(running.notify);
    } else {
        stop_api(&(uv_work_t){.data = &running});
    }
    admin_close(admin);
    service_close(service);
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&signals[i], NULL);
    engine_close(engine);
    api_figures_close(&figures);
    log_settle(true);
    return opened ? 0 : 1;
}

static bool parse_rehearsal(const char *text, struct serve *serve) {
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || (size_t)(colon - text) >= sizeof serve->stalled)
        return false;
    snprintf(serve->stalled, sizeof serve->stalled, "%.*s", (int)(colon - text), text);
    serve->engine.rehearsal =
        (struct rehearsal){.name = serve->stalled, .ms = strtoll(colon + 1, NULL, 10) * 1000};
    return serve->engine.rehearsal.ms > 0;
}

int cmd_serve(int argc, char **argv) {
    static const struct option options[] = {
        {"site", required_argument, NULL, 's'},
        {"log-level", required_argument, NULL, 'l'},
        {"log-format", required_argument, NULL, 'o'},
        {"foreground", no_argument, NULL, 'f'},
        {"clock-shift", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {"rehearse-stall", required_argument, NULL, 'r'},
        {0},
    };
    struct serve serve = {0};
    bool foreground = false;
    enum log_level level = LOG_LEVEL_INFO;
    enum log_format format = LOG_FORMAT_TEXT;
    enum log_format format_of_text;
    bool has_level = false, has_format = false;
    for (int got; (got = getopt_long(argc, argv, "h", options, NULL)) != -1;)
        switch (got) {
        case 's':
            serve.engine.site_path = optarg;
            break;
        case 'l':
            if (!log_level_parse(optarg, &level)) {
                fprintf(stderr, "derd serve: --log-level must be error, warning, info or debug\n");
                return 2;
            }
            has_level = true;
            break;
        case 'o':
            if (!log_format_parse(optarg, &format)) {
                fprintf(stderr, "derd serve: --log-format must be text or json\n");
                return 2;
            }
            has_format = true;
            break;
        case 'f':
            foreground = true;
            break;
        case 'c':
            if (optarg[0] == '@')
                serve.engine.clock_shift_file = optarg + 1;
            else
                serve.engine.clock_shift_ms = strtoll(optarg, NULL, 10) * 1000;
            break;
        case 'r':
            if (!parse_rehearsal(optarg, &serve)) {
                fprintf(stderr, "derd serve: --rehearse-stall must be NAME:SECONDS\n");
                return 2;
            }
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            fputs(help, stderr);
            return 2;
        }
    if (!serve.engine.site_path || optind != argc) {
        fputs(help, stderr);
        return 2;
    }
    if (log_format_parse("text", &format_of_text))
        log_set_format(format_of_text);
    site_log_peek(serve.engine.site_path);
    if (has_level)
        log_set_level(level);
    if (has_format)
        log_set_format(format);
    if (paths_shared(serve.shared_folder, sizeof serve.shared_folder) != ERR_OK) {
        fputs("derd serve: the shipped drivers/ folder is not where this program stands; set "
              "DERD_SHARE to the folder that holds it\n",
              stderr);
        return 1;
    }
    serve.engine.shared_folder = serve.shared_folder;
    return foreground ? run_host(&serve, -1) : supervise(run_host, &serve);
}
