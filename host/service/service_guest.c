/* One connection of the service listener. Most never need the loop: what a client sends with its
 * connection is read as soon as that is accepted, answered, and closed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "service/service_internal.h"

#define WASTE_SIZE 4096

static void on_event(uv_poll_t *poll, int status, int events);

/* --- life ------------------------------------------------------------------------------------ */

static void guest_free(struct guest *guest) {
    struct service *service = guest->service;
    free(guest);
    service->open_handles--;
    service_free_when_idle(service);
}

static void on_closed(uv_handle_t *handle) {
    guest_free(handle->data);
}

void guest_close(struct guest *guest, enum service_end end) {
    struct service *service = guest->service;
    if (guest->state == GUEST_CLOSED)
        return;
    if (guest->state != GUEST_LINGERS) /* counted when it had its answer */
        figure_add(&service->figures->ends[end], 1);
    if (guest->state == GUEST_WAITS || guest->state == GUEST_WRITES)
        service->readers--;
    guest->state = GUEST_CLOSED;
    *(guest->before ? &guest->before->after : &service->oldest) = guest->after;
    *(guest->after ? &guest->after->before : &service->newest) = guest->before;
    service->guest_count--;
    figure_set(&service->figures->connections, (uint64_t)service->guest_count);
    exchange_free(guest->x);
    buf_free(&guest->answer);
    service_text_release(guest->text);
    if (guest->polled)
        uv_poll_stop(&guest->poll);
    close(guest->fd);
    if (guest->polled)
        uv_close((uv_handle_t *)&guest->poll, on_closed);
    else
        guest_free(guest);
}

/* Goes on when there is something to read, or room to write. */
static void wait_for(struct guest *guest, int events) {
    if (!guest->polled) {
        if (uv_poll_init(guest->service->loop, &guest->poll, guest->fd)) {
            guest_close(guest, SERVICE_GONE);
            return;
        }
        guest->poll.data = guest;
        guest->polled = true;
    }
    if (uv_poll_start(&guest->poll, events, on_event))
        guest_close(guest, SERVICE_GONE);
}

static void set_deadline(struct guest *guest, int64_t span_ms) {
    guest->until_ms = (int64_t)uv_now(guest->service->loop) + span_ms;
}

/* --- the end of an answer -------------------------------------------------------------------- */

/* Closing on unread bytes resets the connection, and the client may lose its answer: what was
 * refused is read on for a while. */
static void take_leave(struct guest *guest, bool refused) {
    figure_add(&guest->service->figures->ends[SERVICE_ANSWERED], 1);
    if (guest->state == GUEST_WAITS || guest->state == GUEST_WRITES)
        guest->service->readers--;
    guest->state = GUEST_LINGERS;
    (void)shutdown(guest->fd, SHUT_WR);
    char next;
    bool more = guest->scanned < guest->length || recv(guest->fd, &next, 1, MSG_DONTWAIT) > 0;
    if (!refused && !more) {
        guest_close(guest, SERVICE_ANSWERED);
        return;
    }
    set_deadline(guest, SERVICE_LINGER_MS);
    wait_for(guest, UV_READABLE);
}

static void linger(struct guest *guest) {
    char waste[WASTE_SIZE];
    ssize_t got = recv(guest->fd, waste, sizeof waste, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        guest_close(guest, SERVICE_ANSWERED);
}

void guest_answer(struct guest *guest, const struct buf *answer, bool refused) {
    ssize_t sent = send(guest->fd, answer->data, answer->length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (answer->failed || sent != (ssize_t)answer->length) /* the kernel has room for the first */
        guest_close(guest, SERVICE_GONE);
    else
        take_leave(guest, refused);
}

/* --- a text ---------------------------------------------------------------------------------- */

/* As much as the kernel takes now. */
static void write_on(struct guest *guest) {
    size_t head = guest->answer.length;
    size_t body = guest->head_only ? 0 : guest->text->body.length;
    while (guest->sent < head + body) {
        size_t at = guest->sent > head ? guest->sent - head : 0;
        struct iovec parts[2] = {{guest->text->body.data + at, body - at}, {NULL, 0}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 1};
        if (guest->sent < head) {
            parts[1] = parts[0];
            parts[0] = (struct iovec){guest->answer.data + guest->sent, head - guest->sent};
            message.msg_iovlen = 2;
        }
        ssize_t sent = sendmsg(guest->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            wait_for(guest, UV_WRITABLE);
            return;
        }
        if (sent <= 0) {
            guest_close(guest, SERVICE_GONE);
            return;
        }
        guest->sent += (size_t)sent;
    }
    take_leave(guest, false);
}

void guest_send_text(struct guest *guest, struct service_text *text) {
    text->references++;
    guest->text = text;
    guest->state = GUEST_WRITES;
    set_deadline(guest, SERVICE_WRITE_MS);
    write_on(guest);
}

/* --- reading --------------------------------------------------------------------------------- */

static void read_on(struct guest *guest) {
    ssize_t got = recv(guest->fd, guest->head + guest->length, sizeof guest->head - guest->length,
                       MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        wait_for(guest, UV_READABLE);
        return;
    }
    if (got <= 0) {
        guest_close(guest, SERVICE_GONE);
        return;
    }
    guest->length += (size_t)got;
    size_t end = service_head_end(guest->head, guest->length, &guest->scanned);
    if (end > 0) {
        guest->scanned = end;
        if (guest->polled)
            uv_poll_stop(&guest->poll);
        service_answer(guest, end);
    } else if (guest->length == sizeof guest->head) {
        service_refuse(guest, 431, "The request's head is too large: 4096 bytes are taken here.");
    } else {
        wait_for(guest, UV_READABLE);
    }
}

static void on_event(uv_poll_t *poll, int status, int events) {
    struct guest *guest = poll->data;
    struct service *service = guest->service;
    (void)events;
    if (guest->state == GUEST_CLOSED || service_over(service))
        return; /* the next turn comes here again */
    int64_t since_us = clock_mono_us();
    if (status < 0)
        guest_close(guest, SERVICE_GONE);
    else if (guest->state == GUEST_READS)
        read_on(guest);
    else if (guest->state == GUEST_WRITES)
        write_on(guest);
    else if (guest->state == GUEST_LINGERS)
        linger(guest);
    service_spent(service, since_us);
}

void guest_late(struct guest *guest) {
    if (guest->state == GUEST_READS && guest->length > 0)
        service_refuse(guest, 408, "The request did not come to its end in time.");
    else
        guest_close(guest, SERVICE_TIMED_OUT);
}

void guest_welcome(struct service *service, int fd) {
    struct guest *guest = calloc(1, sizeof *guest);
    if (!guest) {
        close(fd);
        return;
    }
    guest->service = service;
    guest->fd = fd;
    guest->before = service->newest;
    *(guest->before ? &guest->before->after : &service->oldest) = guest;
    service->newest = guest;
    service->guest_count++;
    service->open_handles++; /* its memory is one */
    figure_set(&service->figures->connections, (uint64_t)service->guest_count);
    set_deadline(guest, SERVICE_HEAD_MS);
    read_on(guest);
}
