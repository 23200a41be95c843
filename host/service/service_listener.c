#include <errno.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "base/log.h"
#include "service/service_internal.h"

#define BACKLOG        4096 /* what the system allows of it: a flood waits there, not in memory */
#define SWEEP_MS       200
#define ACCEPT_AT_ONCE 64

/* --- its share of a turn --------------------------------------------------------------------- */

bool service_over(const struct service *service) {
    return service->turn_us >= SERVICE_TURN_US;
}

void service_spent(struct service *service, int64_t since_us) {
    service->turn_us += clock_mono_us() - since_us;
}

static void turn_begins(uv_prepare_t *prepare) {
    struct service *service = prepare->data;
    service->turn_us = 0;
}

/* --- accepting ------------------------------------------------------------------------------- */

/* The oldest one that has not sent its request, or has its answer. There always is one: few may
 * wait for a text. */
static void make_room(struct service *service) {
    for (struct guest *guest = service->oldest; guest; guest = guest->after)
        if (guest->state == GUEST_READS || guest->state == GUEST_LINGERS) {
            guest_close(guest, SERVICE_PUSHED_OUT);
            return;
        }
}

static void on_connections(uv_poll_t *poll, int status, int events) {
    struct service *service = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPT_AT_ONCE && !service_over(service); i++) {
        int64_t since_us = clock_mono_us();
        int fd = accept4(service->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            /* What waits would wake the loop again and again. */
            log_debug("service", "no connection can be accepted: %s", strerror(errno));
            uv_poll_stop(&service->listener);
            service->deaf = true;
            return;
        }
        if (fd < 0 && errno == EAGAIN)
            return;
        if (fd >= 0) {
            if (service->guest_count >= service->most_guests)
                make_room(service);
            guest_welcome(service, fd);
        }
        service_spent(service, since_us);
    }
}

void service_listen_again(struct service *service) {
    service->deaf = false;
    if (uv_poll_start(&service->listener, UV_READABLE, on_connections))
        log_error("service", "the listener has stopped");
}

static void sweep_due(uv_timer_t *timer) {
    struct service *service = timer->data;
    int64_t now_ms = (int64_t)uv_now(service->loop);
    if (service->deaf)
        service_listen_again(service);
    for (struct guest *guest = service->oldest, *next; guest; guest = next) {
        next = guest->after;
        if (guest->until_ms <= now_ms)
            guest_late(guest);
    }
}

/* --- life ------------------------------------------------------------------------------------ */

/* The kernel hands a connection over when something has come on it, or after a second: those that
 * say nothing take no place from those that do. */
static void defer_silent_ones(int fd) {
    const int seconds = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds) != 0)
        log_debug("service", "silent connections are accepted at once");
}

/* Descriptors are for devices first. */
static int guests_of_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur / 8 > SERVICE_GUESTS)
        return SERVICE_GUESTS;
    return limit.rlim_cur / 8 > SERVICE_READERS ? (int)(limit.rlim_cur / 8) : SERVICE_READERS + 1;
}

static bool open_socket(struct service *service, struct sockaddr_in *address) {
    const int yes = 1;
    socklen_t length = sizeof *address;
    service->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return service->fd >= 0 &&
           setsockopt(service->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
           bind(service->fd, (struct sockaddr *)address, sizeof *address) == 0 &&
           listen(service->fd, BACKLOG) == 0 &&
           getsockname(service->fd, (struct sockaddr *)address, &length) == 0;
}

void service_free_when_idle(struct service *service) {
    if (!service->closing || service->open_handles > 0)
        return;
    service_text_release(service->text);
    free(service);
}

static void on_handle_closed(uv_handle_t *handle) {
    struct service *service = handle->data;
    service->open_handles--;
    service_free_when_idle(service);
}

static void open_handles(struct service *service) {
    uv_timer_init(service->loop, &service->sweep);
    uv_prepare_init(service->loop, &service->turn);
    service->listener.data = service->sweep.data = service->turn.data = service;
    service->open_handles = 3;
    uv_prepare_start(&service->turn, turn_begins);
    uv_timer_start(&service->sweep, sweep_due, SWEEP_MS, SWEEP_MS);
    service_listen_again(service);
}

enum err service_open(struct service **out, uv_loop_t *loop, const char *listen,
                      const struct api_settings *settings, struct service_figures *figures,
                      char *why, size_t why_size) {
    struct sockaddr_in address;
    *out = NULL;
    if (!address_parse(listen, &address)) {
        snprintf(why, why_size,
                 "http.service must be an IPv4 address and a port like "
                 "\"127.0.0.1:8079\", or \"off\", got \"%s\"",
                 listen);
        return ERR_FORMAT;
    }
    struct service *service = calloc(1, sizeof *service);
    if (!service) {
        snprintf(why, why_size, "no memory");
        return ERR_MEMORY;
    }
    service->loop = loop;
    service->settings = *settings;
    service->settings.listen = service->settings.web_root = NULL;
    service->figures = figures;
    service->local = address_is_loopback(&address);
    service->mark = randombytes_random();
    if (!open_socket(service, &address) ||
        uv_poll_init(loop, &service->listener, service->fd) != 0) {
        snprintf(why, why_size, "cannot listen on %s: %s", listen, strerror(errno));
        if (service->fd >= 0)
            close(service->fd);
        free(service);
        return ERR_IO;
    }
    service->port = ntohs(address.sin_port);
    service->most_guests = guests_of_limit();
    defer_silent_ones(service->fd);
    open_handles(service);
    *out = service;
    return ERR_OK;
}

int service_port(const struct service *service) {
    return service->port;
}

void service_close(struct service *service) {
    if (!service || service->closing)
        return;
    service->closing = true;
    while (service->oldest)
        guest_close(service->oldest, SERVICE_GONE);
    uv_poll_stop(&service->listener);
    close(service->fd);
    uv_close((uv_handle_t *)&service->listener, on_handle_closed);
    uv_close((uv_handle_t *)&service->turn, on_handle_closed);
    uv_close((uv_handle_t *)&service->sweep, on_handle_closed);
}
