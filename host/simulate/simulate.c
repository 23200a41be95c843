#include "simulate/simulate.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/luadata.h"
#include "simulate/config.h"
#include "simulate/control.h"
#include "simulate/home.h"
#include "simulate/server.h"

#define FILE_MAXIMUM   (1u << 20)
#define ANSWER_MAXIMUM (4u << 20)
#define CATCH_UP_STEPS 10 /* after a pause of the machine; more is forgotten */

struct simulation {
    struct sim_home home;
    struct sim_server servers[SIM_MAX_LISTENERS];
    size_t server_count;
    int stop;    /* eventfd: readable when the servers shall end */
    int signals; /* signalfd */
    int control;
    int output;
    char line[SIM_CONTROL_LINE];
    size_t line_length;
    bool line_too_long;
};

static void write_all(int descriptor, const char *text, size_t length) {
    while (length > 0) {
        ssize_t written = write(descriptor, text, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; /* nobody reads any more: the simulation goes on */
        text += written;
        length -= (size_t)written;
    }
}

static void say(const struct simulation *simulation, struct buf *text) {
    write_all(simulation->output, buf_string(text), text->length);
    buf_free(text);
}

static bool simulation_load(struct simulation *simulation, const char *path,
                            struct report *report) {
    size_t length;
    char *text = file_read(path, FILE_MAXIMUM, &length, report);
    if (!text)
        return false;
    bool loaded = sim_config_load(&simulation->home, path, text, length, report);
    free(text);
    return loaded;
}

static bool simulation_open(struct simulation *simulation, struct report *report) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    simulation->stop = eventfd(0, EFD_CLOEXEC);
    simulation->signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (simulation->stop < 0 || simulation->signals < 0) {
        report_add(report, "", "the system gives no more descriptors: %s", strerror(errno));
        return false;
    }
    sim_home_step(&simulation->home); /* before the first question there is an answer */
    for (size_t i = 0; i < simulation->home.listener_count; i++) {
        if (!sim_server_start(&simulation->servers[i], &simulation->home, (int)i, simulation->stop,
                              report))
            return false;
        simulation->server_count++;
    }
    return true;
}

static void simulation_close(struct simulation *simulation) {
    if (simulation->stop >= 0 && eventfd_write(simulation->stop, 1))
        log_error("simulate", "cannot tell the servers to end: %s", strerror(errno));
    for (size_t i = 0; i < simulation->server_count; i++)
        sim_server_finish(&simulation->servers[i]);
    if (simulation->stop >= 0)
        close(simulation->stop);
    if (simulation->signals >= 0)
        close(simulation->signals);
    sim_home_free(&simulation->home);
}

static void simulation_announce(const struct simulation *simulation,
                                const struct simulate_options *options) {
    struct buf text;
    buf_init(&text, ANSWER_MAXIMUM);
    for (size_t i = 0; i < simulation->server_count; i++) {
        const char *name = simulation->home.listeners[i].name;
        uint16_t port = simulation->servers[i].port;
        if (options->ready)
            options->ready(options->context, name, port);
        buf_format(&text, "listening 127.0.0.1:%d %s\n", port, name);
    }
    buf_text(&text, "ready\n");
    say(simulation, &text);
}

static void simulation_obey(struct simulation *simulation) {
    struct buf answer;
    buf_init(&answer, ANSWER_MAXIMUM);
    simulation->line[simulation->line_length] = '\0';
    if (simulation->line_too_long) {
        buf_text(&answer, "error: that line is too long\n");
    } else {
        pthread_mutex_lock(&simulation->home.lock);
        sim_control_line(&simulation->home, simulation->line, &answer);
        pthread_mutex_unlock(&simulation->home.lock);
    }
    simulation->line_length = 0;
    simulation->line_too_long = false;
    say(simulation, &answer);
}

static void simulation_listen(struct simulation *simulation) {
    char text[512];
    ssize_t length = read(simulation->control, text, sizeof text);
    if (length < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (length <= 0)
        simulation->control = -1;
    for (ssize_t i = 0; i < length; i++) {
        if (text[i] == '\n')
            simulation_obey(simulation);
        else if (simulation->line_length < sizeof simulation->line - 1)
            simulation->line[simulation->line_length++] = text[i];
        else
            simulation->line_too_long = true;
    }
}

/* Until a signal. Steps fall on absolute moments, so that they do not drift. */
static void simulation_run(struct simulation *simulation) {
    struct sim_home *home = &simulation->home;
    double begun_ms = (double)clock_mono().ms;
    uint64_t done = 0;
    for (;;) {
        double ahead_ms =
            (double)(done + 1) * home->step_s * 1000 + begun_ms - (double)clock_mono().ms;
        if (ahead_ms < -CATCH_UP_STEPS * home->step_s * 1000) {
            begun_ms -= ahead_ms;
            ahead_ms = 0;
        }
        struct pollfd waits[2] = {{.fd = simulation->signals, .events = POLLIN},
                                  {.fd = simulation->control, .events = POLLIN}};
        int count = poll(waits, 2, ahead_ms > 0 ? (int)ahead_ms + 1 : 0);
        if (count > 0 && waits[0].revents)
            return;
        if (count > 0 && waits[1].revents)
            simulation_listen(simulation);
        if ((double)clock_mono().ms < (double)(done + 1) * home->step_s * 1000 + begun_ms)
            continue;
        pthread_mutex_lock(&home->lock);
        sim_home_step(home);
        pthread_mutex_unlock(&home->lock);
        done++;
    }
}

/* Mistakes of Lua itself begin with the file's name already. */
static void print_mistakes(const char *path, const struct report *report) {
    for (size_t i = 0; i < report->count; i++) {
        const char *where = report->items[i].where;
        bool named = strncmp(where, path, strlen(path)) == 0;
        fprintf(stderr, "%s%s%s%s%s\n", named ? "" : path, named ? "" : ": ", where,
                where[0] ? ": " : "", report->items[i].text);
    }
}

int simulate_run(const struct simulate_options *options) {
    struct report report;
    report_init(&report);
    struct simulation *simulation = calloc(1, sizeof *simulation);
    if (!simulation || sim_home_init(&simulation->home)) {
        free(simulation);
        fputs("derd simulate: there is not enough memory\n", stderr);
        return 1;
    }
    simulation->stop = simulation->signals = -1;
    simulation->control = options->control;
    simulation->output = options->output;
    int status = 1;
    if (simulation_load(simulation, options->path, &report) &&
        simulation_open(simulation, &report)) {
        simulation_announce(simulation, options);
        simulation_run(simulation);
        status = 0;
    }
    print_mistakes(options->path, &report);
    simulation_close(simulation);
    free(simulation);
    report_free(&report);
    return status;
}
