/* Inside of the service listener only. service_listener.c: accepts, deadlines, who makes way;
 * service_guest.c: one connection, read and written; service_answer.c: what it is answered. */
#ifndef DERD_SERVICE_INTERNAL_H
#define DERD_SERVICE_INTERNAL_H

#include "api/exchange.h"
#include "service/service.h"
#include "service/service_request.h"

struct service_text { /* of /metrics, shared by those who are sent it. Engine thread */
    unsigned references;
    struct buf body;
};

enum guest_state {
    GUEST_READS,   /* its request */
    GUEST_WAITS,   /* for the text of /metrics */
    GUEST_WRITES,  /* that text */
    GUEST_LINGERS, /* it has its answer, and may still send: reading that spares it a reset */
    GUEST_CLOSED
};

struct guest { /* one connection; in a list, the oldest first */
    struct guest *before, *after;
    struct service *service;
    uv_poll_t poll;
    bool polled;
    int fd;
    enum guest_state state;
    int64_t until_ms; /* of the loop's clock */
    bool head_only;   /* of a text */
    size_t scanned, length;
    char head[SERVICE_HEAD_MAXIMUM];
    struct exchange *x; /* of one that waits */
    struct buf answer;  /* the head before the text */
    struct service_text *text;
    size_t sent; /* of both */
};

struct service {
    uv_loop_t *loop;
    struct api_settings settings;
    struct service_figures *figures;
    int fd, port;
    bool local; /* on loopback */
    bool closing;
    int open_handles;
    uv_poll_t listener;
    uv_prepare_t turn;
    uv_timer_t sweep;
    bool deaf;       /* the system gave no descriptor: the sweep listens again */
    int64_t turn_us; /* used of this turn */
    struct guest *oldest, *newest;
    int guest_count, most_guests;
    int readers; /* guests that wait for, or are sent, a text */
    uint32_t mark;
    uint64_t requests;

    uv_work_t work; /* a text is made */
    bool making;
    struct buf made;           /* the worker's until it is done */
    struct service_text *text; /* the newest; NULL: none */
    int64_t text_ms;
};

/* service_listener.c */
void service_listen_again(struct service *service);
/* True when the listener had its share of this turn; else counts from here until service_spent().
 */
bool service_over(const struct service *service);
void service_spent(struct service *service, int64_t since_us);
void service_free_when_idle(struct service *service);

/* service_guest.c */
/* Takes over `fd`, reads what is there and answers it if that is a request. */
void guest_welcome(struct service *service, int fd);
void guest_close(struct guest *guest, enum service_end end);
void guest_late(struct guest *guest); /* its deadline has passed */
/* Sends a whole answer of some hundred bytes; the connection ends with it. */
void guest_answer(struct guest *guest, const struct buf *answer, bool refused);
void guest_send_text(struct guest *guest, struct service_text *text);

/* service_answer.c */
/* Answers the request of `length` bytes in guest->head; or begins to. */
void service_answer(struct guest *guest, size_t length);
/* Refuses before there is one. */
void service_refuse(struct guest *guest, int status, const char *detail);
void service_text_release(struct service_text *text); /* NULL is fine */

#endif
