/* A broker that does things wrong, on the loop of the test. It takes packets apart as far as is
 * needed to answer; tests set what it does not do. Include <cmocka.h> and io_world.h first. */
#ifndef DERD_TESTS_MQTT_FAKE_H
#define DERD_TESTS_MQTT_FAKE_H

struct fake {
    uv_tcp_t listener;
    int port, accepted, open, published, subscribed;
    bool mute;        /* answers no CONNECT */
    bool no_puback;   /* acknowledges nothing */
    int connack;      /* its code */
    int suback;       /* its code */
    const char *says; /* instead of a CONNACK: these bytes */
    size_t says_length;
    bool cuts; /* ends the connection after what it says */
    struct fake_session *newest;
};

struct fake_session {
    uv_tcp_t handle;
    struct fake *fake;
    size_t filled;
    uint8_t input[4096];
};

static inline void on_fake_closed(uv_handle_t *handle) {
    struct fake_session *session = handle->data;
    session->fake->open--;
    if (session->fake->newest == session)
        session->fake->newest = NULL;
    free(session);
}

static inline void fake_end(struct fake_session *session) {
    if (session && !uv_is_closing((uv_handle_t *)&session->handle))
        uv_close((uv_handle_t *)&session->handle, on_fake_closed);
}

static inline void fake_say(struct fake_session *session, const void *data, size_t length) {
    uv_buf_t bytes = uv_buf_init((char *)(uintptr_t)data, (unsigned)length);
    assert_int_equal(uv_try_write((uv_stream_t *)&session->handle, &bytes, 1), (int)length);
}

/* A PUBLISH of QoS 0; topic and payload together less than 120 bytes. */
static inline void fake_publish(struct fake_session *session, const char *topic,
                                const char *payload) {
    uint8_t packet[128];
    size_t topic_length = strlen(topic), length = strlen(payload);
    packet[0] = 0x30;
    packet[1] = (uint8_t)(2 + topic_length + length);
    packet[2] = 0;
    packet[3] = (uint8_t)topic_length;
    memcpy(packet + 4, topic, topic_length);
    memcpy(packet + 4 + topic_length, payload, length);
    fake_say(session, packet, 4 + topic_length + length);
}

static inline void fake_packet(struct fake_session *session, const uint8_t *packet) {
    struct fake *fake = session->fake;
    switch (packet[0] >> 4) {
    case 1: /* CONNECT */
        if (fake->says)
            fake_say(session, fake->says, fake->says_length);
        else if (!fake->mute)
            fake_say(session, (const uint8_t[]){0x20, 2, 0, (uint8_t)fake->connack}, 4);
        if (fake->cuts)
            fake_end(session);
        break;
    case 3: /* PUBLISH */
        fake->published++;
        if ((packet[0] & 6) && !fake->no_puback) {
            const uint8_t *id = packet + 4 + packet[3];
            fake_say(session, (const uint8_t[]){0x40, 2, id[0], id[1]}, 4);
        }
        break;
    case 8: /* SUBSCRIBE */
        fake->subscribed++;
        fake_say(session, (const uint8_t[]){0x90, 3, packet[2], packet[3], (uint8_t)fake->suback},
                 5);
        break;
    case 12: /* PINGREQ */
        fake_say(session, (const uint8_t[]){0xD0, 0}, 2);
        break;
    default:
        break;
    }
    uv_stop(session->handle.loop);
}

static inline void on_fake_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room) {
    (void)suggested;
    struct fake_session *session = handle->data;
    *room = uv_buf_init((char *)session->input + session->filled,
                        (unsigned)(sizeof session->input - session->filled));
}

static inline void on_fake_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *room) {
    (void)room;
    struct fake_session *session = stream->data;
    if (length < 0) {
        fake_end(session);
        return;
    }
    session->filled += (size_t)length;
    while (session->filled >= 2 && session->filled >= 2u + session->input[1] &&
           !uv_is_closing((uv_handle_t *)stream)) {
        size_t whole = 2u + session->input[1];
        assert_true(session->input[1] < 128);
        fake_packet(session, session->input);
        session->filled -= whole;
        memmove(session->input, session->input + whole, session->filled);
    }
}

static inline void on_fake_accept(uv_stream_t *listener, int status) {
    assert_int_equal(status, 0);
    struct fake_session *session = calloc(1, sizeof *session);
    assert_non_null(session);
    session->fake = listener->data;
    uv_tcp_init(listener->loop, &session->handle);
    session->handle.data = session;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&session->handle), 0);
    uv_read_start((uv_stream_t *)&session->handle, on_fake_room, on_fake_read);
    session->fake->newest = session;
    session->fake->accepted++;
    session->fake->open++;
    uv_stop(listener->loop);
}

static inline void fake_open(struct world *world, struct fake *fake) {
    struct sockaddr_in address;
    int length = sizeof address;
    uv_tcp_init(&world->loop, &fake->listener);
    fake->listener.data = fake;
    uv_ip4_addr("127.0.0.1", 0, &address);
    assert_int_equal(uv_tcp_bind(&fake->listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&fake->listener, 16, on_fake_accept), 0);
    uv_tcp_getsockname(&fake->listener, (struct sockaddr *)&address, &length);
    fake->port = ntohs(address.sin_port);
}

static inline void fake_close(struct fake *fake) {
    uv_close((uv_handle_t *)&fake->listener, NULL);
    fake_end(fake->newest);
}

#endif
