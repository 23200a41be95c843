/* The MQTT client against a real broker (mosquitto) and against one that does things wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>

#include "base/log.h"
#include "io/mqtt.h"
#include "io_world.h"
#include "mqtt_fake.h"

static struct {
    struct peer process, certificates;
    int plain, closed, tls, other;
    char key[256], ca[256], other_key[256], other_ca[256], pin[TLS_PIN_SIZE];
    char config[64], passwords[64];
} broker;

static void broker_stop(void) {
    peer_stop(&broker.process, 0);
}

/* False when it does not start: a port was taken meanwhile. */
static bool broker_start(void) {
    /* a shell around it, so that it ends with this program, however that ends */
    char *arguments[] = {"/bin/sh", "-c",
                         "/usr/sbin/mosquitto -c \"$0\" & cat >/dev/null; kill -9 $!; wait",
                         broker.config, NULL};
    char line[300];
    peer_start(&broker.process, arguments, 2);
    while (peer_try_line(&broker.process, line, sizeof line))
        if (strstr(line, "running"))
            return true;
    broker_stop();
    return false;
}

static void broker_configure(void) {
    FILE *file = fopen(broker.config, "w");
    assert_non_null(file);
    broker.plain = dead_port();
    broker.closed = dead_port();
    broker.tls = dead_port();
    broker.other = dead_port();
    fprintf(file,
            "per_listener_settings true\nuser root\nlog_dest stderr\nlog_type information\n"
            "connection_messages false\npersistence false\n"
            "listener %d 127.0.0.1\nallow_anonymous true\nmax_keepalive 600\n"
            "listener %d 127.0.0.1\nallow_anonymous false\npassword_file %s\n"
            "listener %d 127.0.0.1\nallow_anonymous true\ncertfile %s\nkeyfile %s\n"
            "listener %d 127.0.0.1\nallow_anonymous true\ncertfile %s\nkeyfile %s\n",
            broker.plain, broker.closed, broker.passwords, broker.tls, broker.ca, broker.key,
            broker.other, broker.other_ca, broker.other_key);
    fclose(file);
}

static int start_brokers(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    setenv("RES_OPTIONS", "timeout:1 attempts:1", 1);
    log_set_level(LOG_LEVEL_ERROR);
    char *arguments[] = {"/usr/bin/python3", DERD_SOURCE_DIR "/tests/peer/http_peer.py", NULL};
    peer_start(&broker.certificates, arguments, 1);
    for (char line[300]; strcmp(line, "ready") != 0;) {
        peer_line(&broker.certificates, line, sizeof line);
        sscanf(line, "key %255s", broker.key);
        sscanf(line, "ca %255s", broker.ca);
        sscanf(line, "other_key %255s", broker.other_key);
        sscanf(line, "other_ca %255s", broker.other_ca);
        sscanf(line, "pin %52s", broker.pin);
    }
    snprintf(broker.config, sizeof broker.config, "/tmp/test_io_mqtt-XXXXXX");
    snprintf(broker.passwords, sizeof broker.passwords, "/tmp/test_io_mqtt-XXXXXX");
    close(mkstemp(broker.config));
    close(mkstemp(broker.passwords));
    char *hash[] = {"/usr/bin/mosquitto_passwd", "-b", broker.passwords, "der", "se:cret", NULL};
    struct peer passwd;
    peer_start(&passwd, hash, 1);
    peer_stop(&passwd, 0);
    for (int attempt = 0; attempt < 10; attempt++) {
        broker_configure();
        if (broker_start())
            return 0;
    }
    return -1;
}

static int stop_brokers(void **state) {
    (void)state;
    broker_stop();
    peer_stop(&broker.certificates, 0);
    unlink(broker.config);
    unlink(broker.passwords);
    return 0;
}

/* ---- */

struct call {
    struct mqtt_publication publication;
    struct world *world;
    struct mqtt_client *client;
    int finished;
    enum err result;
    char why[IO_WHY_SIZE];
    void (*then)(struct call *call);
};

static void on_done(struct mqtt_publication *publication, enum err result, const char *why) {
    struct call *call = publication->owner;
    assert_false(call->world->inside);
    assert_int_equal(call->finished, 0);
    assert_true((why[0] == '\0') == (result == ERR_OK));
    call->finished = 1;
    call->result = result;
    snprintf(call->why, sizeof call->why, "%s", why);
    uv_stop(&call->world->loop);
    if (call->then)
        call->then(call);
}

static struct mqtt_client *client_open(struct world *world, const char *scheme, const char *host,
                                       int port, const struct mqtt_settings *settings) {
    char url[128], why[IO_WHY_SIZE] = "";
    struct mqtt_settings own = settings ? *settings : (struct mqtt_settings){0};
    if (!own.connect_timeout_ms)
        own.connect_timeout_ms = PATIENT_MS;
    if (!own.backoff_min_ms)
        own.backoff_min_ms = own.backoff_max_ms = 5;
    snprintf(url, sizeof url, "%s://%s:%d", scheme, host, port);
    struct mqtt_client *client = mqtt_open(world->io, url, &own, why, sizeof why);
    if (!client)
        fail_msg("%s", why);
    return client;
}

static struct mqtt_client *client_up(struct world *world, const char *host, int port) {
    struct mqtt_client *client = client_open(world, "mqtt", host, port, NULL);
    DRIVE_UNTIL(world, mqtt_is_up(client));
    return client;
}

static struct call call_to(struct world *world, struct mqtt_client *client, const char *topic,
                           const char *payload, int qos) {
    return (struct call){.publication = {.topic = topic,
                                         .payload = payload,
                                         .length = payload ? strlen(payload) : 0,
                                         .qos = qos,
                                         .timeout_ms = PATIENT_MS,
                                         .done = on_done},
                         .client = client,
                         .world = world};
}

static enum err try_submit(struct call *call) {
    call->publication.owner = call;
    call->finished = 0;
    call->world->inside = true;
    enum err err = mqtt_submit(call->client, &call->publication);
    call->world->inside = false;
    return err;
}

static void submit(struct call *call) {
    if (try_submit(call) != ERR_OK)
        fail_msg("%s", mqtt_why(call->client));
}

static void finish(struct call *call, enum err expected) {
    DRIVE_UNTIL(call->world, call->finished);
    if (call->result != expected)
        fail_msg("%s instead of %s: %s", err_name(call->result), err_name(expected), call->why);
}

static void cancel(struct call *call) {
    call->world->inside = true;
    mqtt_cancel(&call->publication);
    call->world->inside = false;
}

static void publish(struct world *world, struct mqtt_client *client, const char *topic,
                    const char *payload, bool retain) {
    struct call call = call_to(world, client, topic, payload, 1);
    call.publication.retain = retain;
    submit(&call);
    finish(&call, ERR_OK);
}

struct ear {
    struct world *world;
    int heard;
    char topic[MQTT_TOPIC_MAXIMUM + 1], payload[256];
    bool retained;
    void (*then)(struct ear *ear, struct mqtt_subscription *subscription);
    struct mqtt_client *client;
};

static void on_heard(struct mqtt_subscription *subscription, const struct mqtt_message *message,
                     void *owner) {
    struct ear *ear = owner;
    assert_false(ear->world->inside);
    assert_int_equal(message->payload[message->length], '\0');
    ear->heard++;
    ear->retained = message->retained;
    snprintf(ear->topic, sizeof ear->topic, "%s", message->topic);
    snprintf(ear->payload, sizeof ear->payload, "%s", (const char *)message->payload);
    uv_stop(&ear->world->loop);
    if (ear->then)
        ear->then(ear, subscription);
    assert_string_equal(message->topic, ear->topic); /* still there, whatever was closed */
}

static struct mqtt_subscription *subscribe(struct world *world, struct mqtt_client *client,
                                           const char *filter, struct ear *ear) {
    if (ear)
        ear->world = world;
    struct mqtt_subscription *subscription =
        mqtt_subscribe(client, filter, 1, ear ? on_heard : NULL, ear);
    assert_non_null(subscription);
    DRIVE_UNTIL(world, mqtt_standing(subscription) == MQTT_GRANTED);
    return subscription;
}

static const char *last(const struct mqtt_subscription *subscription, const char *topic) {
    const struct mqtt_message *message = mqtt_last(subscription, topic);
    return message ? (const char *)message->payload : NULL;
}

/* ---- */

static void messages_are_published_heard_and_kept(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct mqtt_client *client = client_up(&world, "127.0.0.1", broker.plain);
    struct ear ear = {0};
    struct mqtt_subscription *plus = subscribe(&world, client, "t1/+/power", &ear);
    struct mqtt_subscription *hash = subscribe(&world, client, "t1/#", NULL);
    assert_null(mqtt_last(plus, NULL));
    char payload[8] = "1";
    struct call call = call_to(&world, client, "t1/a/power", payload, 0);
    submit(&call);
    payload[0] = '9'; /* it was copied */
    finish(&call, ERR_OK);
    DRIVE_UNTIL(&world, ear.heard == 1);
    assert_string_equal(ear.payload, "1");
    publish(&world, client, "t1/b/power", "2", false);
    publish(&world, client, "t1/b/energy", "", false);
    publish(&world, client, "t1/a/power", "3", false);
    DRIVE_UNTIL(&world, ear.heard == 3 && mqtt_each(hash, 2));
    assert_string_equal(last(plus, "t1/a/power"), "3");
    assert_string_equal(last(plus, "t1/b/power"), "2");
    assert_string_equal(last(plus, NULL), "3");
    assert_null(mqtt_last(plus, "t1/b/energy"));
    assert_null(mqtt_each(plus, 2));
    assert_string_equal(mqtt_each(hash, 0)->topic, "t1/a/power");
    assert_string_equal(mqtt_each(hash, 2)->topic, "t1/b/energy");
    assert_int_equal(mqtt_each(hash, 2)->length, 0);
    assert_false(mqtt_last(hash, NULL)->retained);
    assert_true(mqtt_last(hash, NULL)->at.ms >= mqtt_figures(client)->up_since.ms);
    mqtt_unsubscribe(plus);
    publish(&world, client, "t1/a/power", "4", false);
    DRIVE_UNTIL(&world, strcmp(last(hash, "t1/a/power"), "4") == 0);
    assert_int_equal(ear.heard, 3);
    mqtt_close(client);
    world_close(&world);
}

static void one_connection_serves_all_who_open_its_url(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct mqtt_client *a = client_open(&world, "mqtt", "127.0.0.1", broker.plain, NULL);
    struct mqtt_client *b = client_open(&world, "MQTT", "127.0.0.1", broker.plain, NULL);
    DRIVE_UNTIL(&world, mqtt_is_up(a));
    assert_true(mqtt_is_up(b));
    assert_int_equal(mqtt_figures(b)->connects, 1);
    assert_ptr_equal(mqtt_figures(a), mqtt_figures(b));
    char why[IO_WHY_SIZE] = "";
    struct mqtt_settings settings = {.client_id = "another"};
    assert_null(mqtt_open(world.io, mqtt_url(a), &settings, why, sizeof why));
    assert_non_null(strstr(why, "another password, client id"));
    struct ear ears[2] = {{0}, {0}};
    struct mqtt_subscription *same[2];
    same[0] = subscribe(&world, a, "t2/x", &ears[0]);
    same[1] = subscribe(&world, b, "t2/x", &ears[1]);
    publish(&world, b, "t2/x", "1", false);
    DRIVE_UNTIL(&world, ears[0].heard && ears[1].heard);
    mqtt_unsubscribe(same[1]); /* the other hears on */
    publish(&world, b, "t2/x", "2", false);
    DRIVE_UNTIL(&world, strcmp(ears[0].payload, "2") == 0);
    struct call call = call_to(&world, b, "t2/y", "z", 1);
    submit(&call);
    mqtt_close(b);
    publish(&world, a, "t2/x", "3", false);
    DRIVE_UNTIL(&world, strcmp(ears[0].payload, "3") == 0);
    assert_false(call.finished);
    assert_int_equal(mqtt_figures(a)->connects, 1);
    mqtt_close(a);
    world_close(&world);
    assert_int_equal(ears[1].heard, 1);
}

static void a_retained_message_is_never_fresher_than_it_is(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct mqtt_client *client = client_up(&world, "127.0.0.1", broker.plain);
    publish(&world, client, "t3/power", "old", true);
    struct ear ear = {0}, other = {0};
    struct mqtt_subscription *first = subscribe(&world, client, "t3/power", &ear);
    DRIVE_UNTIL(&world, ear.heard == 1);
    assert_true(ear.retained && mqtt_last(first, NULL)->retained);
    /* the same once more, for another's sake: it stays as old as it was */
    struct mono at = mqtt_last(first, NULL)->at;
    while (clock_mono().ms == at.ms)
        uv_run(&world.loop, UV_RUN_NOWAIT);
    struct mqtt_subscription *second = subscribe(&world, client, "t3/#", &other);
    DRIVE_UNTIL(&world, other.heard == 1);
    assert_int_equal(ear.heard, 1);
    assert_int_equal(mqtt_last(first, NULL)->at.ms, at.ms);
    /* live ones are live; a retained one then changes nothing */
    publish(&world, client, "t3/power", "live", false);
    DRIVE_UNTIL(&world, ear.heard == 2 && other.heard == 2);
    assert_false(mqtt_last(first, NULL)->retained);
    struct ear third = {0};
    subscribe(&world, client, "t3/+", &third);
    DRIVE_UNTIL(&world, third.heard == 1);
    assert_string_equal(third.payload, "old");
    assert_true(third.retained);
    assert_string_equal(last(first, NULL), "live");
    assert_string_equal(last(second, NULL), "live");
    assert_int_equal(ear.heard, 2);
    publish(&world, client, "t3/power", "", true); /* forgotten by the broker */
    mqtt_close(client);
    world_close(&world);
}

static void a_broker_that_comes_back_is_subscribed_again_and_values_keep_their_time(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct mqtt_client *client = client_up(&world, "127.0.0.1", broker.plain);
    struct ear ear = {0};
    struct mqtt_subscription *subscription = subscribe(&world, client, "t4/#", &ear);
    publish(&world, client, "t4/a", "before", false);
    DRIVE_UNTIL(&world, ear.heard == 1);
    struct mono at = mqtt_last(subscription, NULL)->at;
    broker_stop();
    DRIVE_UNTIL(&world, !mqtt_is_up(client));
    struct call call = call_to(&world, client, "t4/a", "lost", 1);
    assert_int_equal(try_submit(&call), ERR_CLOSED);
    assert_non_null(strstr(mqtt_why(client), "not connected"));
    assert_true(strlen(mqtt_figures(client)->last_error) > 10);
    assert_int_equal(mqtt_standing(subscription), MQTT_ASKED);
    assert_true(broker_start());
    DRIVE_UNTIL(&world, mqtt_is_up(client) && mqtt_standing(subscription) == MQTT_GRANTED);
    assert_string_equal(last(subscription, "t4/a"), "before");
    assert_int_equal(mqtt_last(subscription, "t4/a")->at.ms, at.ms);
    publish(&world, client, "t4/a", "after", false);
    DRIVE_UNTIL(&world, ear.heard == 2);
    assert_string_equal(last(subscription, "t4/a"), "after");
    assert_true(mqtt_last(subscription, "t4/a")->at.ms > at.ms);
    assert_int_equal(mqtt_figures(client)->connects, 2);
    mqtt_close(client);
    world_close(&world);
}

static void what_is_kept_and_what_flies_has_a_maximum(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct mqtt_client *client = client_up(&world, "127.0.0.1", broker.plain);
    struct ear ear = {0}, large = {0};
    struct mqtt_subscription *many = subscribe(&world, client, "t5/n/#", &ear);
    struct mqtt_subscription *big = subscribe(&world, client, "t5/b/#", &large);
    char topic[64];
    for (int i = 0; i < MQTT_TOPICS_MAXIMUM + 5; i++) {
        snprintf(topic, sizeof topic, "t5/n/%d", i);
        publish(&world, client, topic, "x", false);
    }
    publish(&world, client, "t5/n/0", "newer", false); /* a known topic is never too many */
    DRIVE_UNTIL(&world, strcmp(ear.payload, "newer") == 0);
    assert_int_equal(ear.heard, MQTT_TOPICS_MAXIMUM + 1);
    assert_non_null(mqtt_each(many, MQTT_TOPICS_MAXIMUM - 1));
    assert_null(mqtt_each(many, MQTT_TOPICS_MAXIMUM));
    assert_int_equal(mqtt_figures(client)->dropped, 5);
    /* bytes: four times 60 KiB fit, a fifth does not */
    static char payload[MQTT_PAYLOAD_MAXIMUM + 2];
    memset(payload, 'p', sizeof payload - 1);
    payload[60 * 1024] = '\0';
    for (int i = 0; i < 5; i++) {
        snprintf(topic, sizeof topic, "t5/b/%d", i);
        publish(&world, client, topic, payload, false);
    }
    publish(&world, client, "t5/b/0", "smaller", false);
    DRIVE_UNTIL(&world, strcmp(large.payload, "smaller") == 0);
    assert_null(mqtt_last(big, "t5/b/4"));
    publish(&world, client, "t5/b/4", payload, false); /* now there is room */
    DRIVE_UNTIL(&world, mqtt_last(big, "t5/b/4"));
    assert_int_equal(mqtt_last(big, "t5/b/4")->length, 60 * 1024);
    /* a payload that is too large */
    payload[60 * 1024] = 'p';
    struct call call = call_to(&world, client, "t5/b/5", payload, 0);
    assert_int_equal(try_submit(&call), ERR_RANGE);
    /* flying */
    static struct call calls[MQTT_FLIGHT_MAXIMUM + 1];
    for (int i = 0; i <= MQTT_FLIGHT_MAXIMUM; i++) {
        calls[i] = call_to(&world, client, "t5/f", "x", 1);
        assert_int_equal(try_submit(&calls[i]), i < MQTT_FLIGHT_MAXIMUM ? ERR_OK : ERR_FULL);
    }
    for (int i = 0; i < MQTT_FLIGHT_MAXIMUM; i++)
        finish(&calls[i], ERR_OK);
    mqtt_close(client);
    world_close(&world);
}

static void what_is_no_publication_or_setting_is_refused(void **state) {
    (void)state;
    struct world world;
    char why[IO_WHY_SIZE] = "";
    world_open(&world);
    struct mqtt_client *client = client_up(&world, "127.0.0.1", broker.plain);
    char longer[MQTT_TOPIC_MAXIMUM + 2];
    memset(longer, 'a', sizeof longer);
    longer[MQTT_TOPIC_MAXIMUM + 1] = '\0';
    const char *const topics[] = {"", "a/+", "#", "a\xff", longer, NULL};
    for (int i = 0; i < COUNT(topics); i++) {
        struct call call = call_to(&world, client, topics[i], "x", 0);
        assert_int_equal(try_submit(&call), ERR_FORMAT);
    }
    struct call call = call_to(&world, client, "a", "x", 2);
    assert_int_equal(try_submit(&call), ERR_RANGE);
    call.publication.qos = 1;
    submit(&call);
    assert_int_equal(try_submit(&call), ERR_CONFLICT);
    finish(&call, ERR_OK);
    const char *const filters[] = {"", "a/#/b", "a+", "\xff", longer};
    for (int i = 0; i < COUNT(filters); i++)
        assert_null(mqtt_subscribe(client, filters[i], 0, NULL, NULL));
    assert_null(mqtt_subscribe(client, "a", 2, NULL, NULL));
    assert_non_null(strstr(mqtt_why(client), "expected a filter"));
    const char *const urls[] = {"mqtt://h/x", "http://h", "mqtt://u:p@h", "mqtt://h:0", "h"};
    for (int i = 0; i < COUNT(urls); i++) {
        assert_null(mqtt_open(world.io, urls[i], NULL, why, sizeof why));
        assert_non_null(strstr(why, "expected mqtt://"));
    }
    const struct mqtt_settings wrong[] = {{.password = "without user"},
                                          {.client_id = ""},
                                          {.keepalive_s = 4},
                                          {.keepalive_s = 601},
                                          {.client_id = longer},
                                          {.tls = {.pin = "x"}},
                                          {.tls = {.ca_file = "/nonexistent"}}};
    for (int i = 0; i < COUNT(wrong); i++)
        assert_null(mqtt_open(world.io, "mqtts://h", &wrong[i], why, sizeof why));
    mqtt_close(client);
    world_close(&world);
}

static void user_and_password_let_in_and_a_wrong_one_is_told(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct mqtt_settings settings = {.password = "se:cret"};
    struct mqtt_client *client =
        client_open(&world, "mqtt", "der@127.0.0.1", broker.closed, &settings);
    DRIVE_UNTIL(&world, mqtt_is_up(client));
    publish(&world, client, "t6", "x", false);
    settings.password = "se:cret-not"; /* the same connection with another one */
    char why[IO_WHY_SIZE];
    assert_null(mqtt_open(world.io, mqtt_url(client), &settings, why, sizeof why));
    assert_null(strstr(why, "se:cret"));
    mqtt_close(client);
    client = client_open(&world, "mqtt", "der@127.0.0.1", broker.closed, &settings);
    DRIVE_UNTIL(&world, strstr(mqtt_figures(client)->last_error, "not"));
    assert_non_null(strstr(mqtt_figures(client)->last_error, "let this user in"));
    assert_null(strstr(mqtt_figures(client)->last_error, "se:cret"));
    mqtt_close(client);
    client = client_open(&world, "mqtt", "127.0.0.1", broker.closed, NULL);
    DRIVE_UNTIL(&world, mqtt_figures(client)->last_error[0]);
    assert_false(mqtt_is_up(client));
    mqtt_close(client);
    world_close(&world);
}

static void tls_trusts_authority_or_pin_and_else_refuses(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    const struct {
        const char *host;
        int port;
        struct tls_settings tls;
        const char *error; /* NULL: comes up */
    } cases[] = {
        {"127.0.0.1", broker.tls, {.ca_file = broker.ca}, NULL},
        {"localhost", broker.tls, {.ca_file = broker.ca}, NULL},
        {"127.0.0.1", broker.tls, {.pin = broker.pin}, NULL},
        {"127.0.0.1", broker.tls, {0}, broker.pin},
        {"127.0.0.1", broker.other, {.ca_file = broker.other_ca}, "not trusted"},
        {"127.0.0.1", broker.other, {.pin = broker.pin}, "another key"},
        {"127.0.0.1", broker.plain, {.pin = broker.pin}, "TLS"},
    };
    for (int i = 0; i < COUNT(cases); i++) {
        struct mqtt_settings settings = {.tls = cases[i].tls};
        struct mqtt_client *client =
            client_open(&world, "mqtts", cases[i].host, cases[i].port, &settings);
        const struct mqtt_figures *figures = mqtt_figures(client);
        DRIVE_UNTIL(&world, figures->up || figures->last_error[0]);
        if (!cases[i].error && !figures->up)
            fail_msg("%d: %s", i, figures->last_error);
        if (cases[i].error && (figures->up || !strstr(figures->last_error, cases[i].error)))
            fail_msg("%d: %s", i, figures->last_error);
        if (figures->up) {
            struct ear ear = {0};
            subscribe(&world, client, "t7", &ear);
            publish(&world, client, "t7", "x", false);
            DRIVE_UNTIL(&world, ear.heard);
        }
        mqtt_close(client);
    }
    world_close(&world);
}

/* ---- brokers that do things wrong ---- */

static void who_is_not_there_or_does_not_speak_mqtt_is_told(void **state) {
    (void)state;
    struct world world;
    struct black_hole hole;
    world_open(&world);
    black_hole_open(&hole);
    static char garbage[200] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    static const char longest[] = "\x20\xff\xff\xff\xff\xff";
    struct fake refuses = {.connack = 5}, mute = {.mute = true},
                cuts = {.mute = true, .cuts = true};
    struct fake babbles = {.says = garbage, .says_length = sizeof garbage - 1};
    struct fake endless = {.says = longest, .says_length = sizeof longest - 1};
    struct fake *fakes[] = {&refuses, &mute, &cuts, &babbles, &endless};
    for (int i = 0; i < COUNT(fakes); i++)
        fake_open(&world, fakes[i]);
    const struct {
        const char *host;
        int port;
        const char *error;
        int64_t timeout_ms;
    } cases[] = {
        {"127.0.0.1", refuses.port, "does not let this user in", PATIENT_MS},
        {"127.0.0.1", mute.port, "in time", BRIEF_MS},
        {"127.0.0.1", cuts.port, "ended the connection", PATIENT_MS},
        {"127.0.0.1", babbles.port, "127.0.0.1", PATIENT_MS},
        {"127.0.0.1", endless.port, "127.0.0.1", PATIENT_MS},
        {"127.0.0.1", dead_port(), "connection refused", PATIENT_MS},
        {"127.0.0.1", hole.port, "in time", BRIEF_MS},
        {"nobody.invalid", 1883, "not known", PATIENT_MS},
    };
    for (int i = 0; i < 2 * COUNT(cases); i++) {
        bool tls = i >= COUNT(cases);
        int n = i % COUNT(cases);
        if (tls && n < COUNT(fakes))
            continue; /* they would take a ClientHello for packets */
        struct mqtt_settings settings = {.connect_timeout_ms = cases[n].timeout_ms};
        struct mqtt_client *client =
            client_open(&world, tls ? "mqtts" : "mqtt", cases[n].host, cases[n].port, &settings);
        const struct mqtt_figures *figures = mqtt_figures(client);
        DRIVE_UNTIL(&world, figures->last_error[0]);
        if (!strstr(figures->last_error, cases[n].error))
            fail_msg("%d: %s", i, figures->last_error);
        assert_false(figures->up);
        mqtt_close(client);
    }
    for (int i = 0; i < COUNT(fakes); i++)
        fake_close(fakes[i]);
    black_hole_close(&hole);
    world_close(&world);
}

static void what_is_not_acknowledged_is_told_and_never_sent_again(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct fake fake = {.no_puback = true};
    fake_open(&world, &fake);
    struct mqtt_client *client = client_up(&world, "127.0.0.1", fake.port);
    struct call call = call_to(&world, client, "a", "x", 1),
                other = call_to(&world, client, "b", "y", 1);
    call.publication.timeout_ms = BRIEF_MS;
    submit(&call);
    submit(&other);
    finish(&call, ERR_TIMEOUT);
    finish(&other, ERR_CLOSED); /* its connection was given up */
    DRIVE_UNTIL(&world, fake.accepted == 2 && mqtt_is_up(client));
    assert_int_equal(fake.published, 2);
    /* the connection goes in between */
    submit(&call);
    DRIVE_UNTIL(&world, fake.published == 3);
    fake_end(fake.newest);
    finish(&call, ERR_CLOSED);
    DRIVE_UNTIL(&world, fake.accepted == 3 && mqtt_is_up(client));
    fake.no_puback = false;
    publish(&world, client, "c", "z", false);
    assert_int_equal(fake.published, 4);
    mqtt_close(client);
    fake_close(&fake);
    world_close(&world);
}

static void a_refused_subscription_is_told(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct fake fake = {.suback = 0x80};
    fake_open(&world, &fake);
    struct mqtt_client *client = client_up(&world, "127.0.0.1", fake.port);
    struct mqtt_subscription *subscription = mqtt_subscribe(client, "a/#", 0, NULL, NULL);
    DRIVE_UNTIL(&world, mqtt_standing(subscription) == MQTT_REFUSED);
    fake_publish(fake.newest, "a/b", "anyway");
    fake_publish(fake.newest, "c", "not asked for");
    DRIVE_UNTIL(&world, mqtt_figures(client)->received == 2);
    assert_string_equal(last(subscription, "a/b"), "anyway");
    assert_null(mqtt_each(subscription, 1));
    /* a packet that ends in the middle */
    fake_say(fake.newest,
             "\x30\x20\x00\x03"
             "a/b"
             "half",
             11);
    fake_end(fake.newest);
    DRIVE_UNTIL(&world, fake.accepted == 2 && mqtt_is_up(client));
    assert_string_equal(last(subscription, "a/b"), "anyway");
    mqtt_close(client);
    fake_close(&fake);
    world_close(&world);
}

static void whatever_a_broker_sends_the_client_goes_on(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    char bytes[4 + 64] = {0x20, 2, 0, 0}; /* a CONNACK, then anything */
    struct fake fake = {.says = bytes, .says_length = sizeof bytes, .cuts = true};
    fake_open(&world, &fake);
    struct mqtt_settings settings = {.backoff_min_ms = 1, .backoff_max_ms = 1};
    struct mqtt_client *client = client_open(&world, "mqtt", "127.0.0.1", fake.port, &settings);
    struct ear ear = {.world = &world};
    assert_non_null(mqtt_subscribe(client, "#", 1, on_heard, &ear));
    uint32_t random = 1; /* the same in each run */
    for (int round = 1; round <= 400; round++) {
        static const uint8_t heads[] = {0x20, 0x30, 0x32, 0x34, 0x40, 0x50, 0x62, 0x70,
                                        0x90, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0, 0x00, 0x31};
        for (size_t i = 4; i < sizeof bytes; i++) {
            random = random * 1664525 + 1013904223;
            bytes[i] = (char)(random >> 24);
        }
        bytes[4] = (char)heads[round % COUNT(heads)];
        if (round % 4)
            bytes[5] = (char)(round % 62); /* a length that fits; else any */
        bytes[6] = 0;
        bytes[7] = (char)(round % 5);
        DRIVE_UNTIL(&world, fake.accepted >= round && !fake.open);
    }
    mqtt_close(client);
    fake_close(&fake);
    world_close(&world);
}

/* ---- cancel and close ---- */

static void unsubscribe_self(struct ear *ear, struct mqtt_subscription *subscription) {
    (void)ear;
    mqtt_unsubscribe(subscription);
}

static void close_all(struct ear *ear, struct mqtt_subscription *subscription) {
    (void)subscription;
    mqtt_close(ear->client);
}

static void close_client(struct call *call) {
    mqtt_close(call->client);
}

static struct call again;

static void answer(struct ear *ear, struct mqtt_subscription *subscription) {
    (void)subscription;
    ear->then = NULL;
    again = call_to(ear->world, ear->client, "t8/answer", "yes", 1);
    submit(&again);
    assert_non_null(mqtt_subscribe(ear->client, "t8/more", 0, NULL, NULL));
}

static void callbacks_may_publish_unsubscribe_and_close(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct mqtt_client *client = client_up(&world, "127.0.0.1", broker.plain);
    struct ear ear = {.client = client, .then = answer}, self = {.then = unsubscribe_self};
    subscribe(&world, client, "t8/#", &ear);
    subscribe(&world, client, "t8/+", &self);
    publish(&world, client, "t8/question", "?", false);
    DRIVE_UNTIL(&world, again.finished && ear.heard >= 2);
    assert_int_equal(again.result, ERR_OK);
    assert_string_equal(ear.payload, "yes");
    assert_int_equal(self.heard, 1);
    ear.then = close_all;
    struct call call = call_to(&world, client, "t8/end", "x", 1);
    submit(&call);
    int heard = ear.heard;
    DRIVE_UNTIL(&world, ear.heard > heard);
    while (!io_idle(world.io))
        uv_run(&world.loop, UV_RUN_NOWAIT);
    client = client_up(&world, "127.0.0.1", broker.plain);
    struct call calls[3];
    for (int i = 0; i < 3; i++) {
        calls[i] = call_to(&world, client, "t8/x", "x", 1);
        submit(&calls[i]);
    }
    calls[0].then = close_client;
    finish(&calls[0], ERR_OK);
    world_close(&world);
    assert_false(calls[1].finished || calls[2].finished);
}

static void cancel_and_close_work_in_each_phase(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct mqtt_client *client = client_up(&world, "127.0.0.1", broker.plain);
    struct call call = call_to(&world, client, "t9", "x", 1);
    cancel(&call);
    submit(&call);
    cancel(&call);
    cancel(&call);
    submit(&call);
    uv_run(&world.loop, UV_RUN_NOWAIT);
    cancel(&call);
    publish(&world, client, "t9", "y", false);
    assert_false(call.finished);
    mqtt_close(client);
    world_close(&world);
    for (int turns = 0; turns < 12; turns++) {
        struct black_hole hole;
        struct mqtt_settings pinned = {.tls = {.pin = broker.pin}};
        world_open(&world);
        black_hole_open(&hole);
        struct mqtt_client *clients[] = {
            client_open(&world, "mqtt", "127.0.0.1", broker.plain, NULL),
            client_open(&world, "mqtt", "localhost", broker.plain, NULL),
            client_open(&world, "mqtts", "127.0.0.1", broker.tls, &pinned),
            client_open(&world, "mqtt", "127.0.0.1", hole.port, NULL),
            client_open(&world, "mqtt", "127.0.0.1", dead_port(), NULL),
            client_open(&world, "mqtts", "127.0.0.1", dead_port(), NULL),
            client_open(&world, "mqtt", "nobody.invalid", 1, NULL),
        };
        for (int i = 0; i < COUNT(clients); i++)
            assert_non_null(mqtt_subscribe(clients[i], "#", 0, NULL, NULL));
        world_turn(&world, turns * turns);
        for (int i = 0; i < COUNT(clients); i++)
            mqtt_close(clients[i]);
        black_hole_close(&hole);
        world_close(&world);
    }
}

static void a_thousand_in_a_row_grow_nothing(void **state) {
    (void)state;
    struct world world;
    world_open(&world);
    struct mqtt_client *client = client_up(&world, "127.0.0.1", broker.plain);
    struct ear ear = {0};
    subscribe(&world, client, "t10/#", &ear);
    int handles = 0, descriptors = 0;
    size_t memory = 0;
    for (int i = 0; i < 1000; i++) {
        char payload[16];
        snprintf(payload, sizeof payload, "%d", i);
        struct call call = call_to(&world, client, i % 2 ? "t10/a" : "t10/b", payload, i % 2);
        submit(&call);
        finish(&call, ERR_OK);
        DRIVE_UNTIL(&world, ear.heard > i);
        assert_string_equal(ear.payload, payload);
        if (i == 99) {
            handles = count_handles(&world);
            descriptors = count_descriptors();
            memory = mallinfo2().uordblks;
        }
    }
    assert_int_equal(count_handles(&world), handles);
    assert_int_equal(count_descriptors(), descriptors);
    assert_true(mallinfo2().uordblks <= memory + 16 * 1024);
    mqtt_close(client);
    /* and connections */
    struct fake fake = {0};
    fake_open(&world, &fake);
    client = client_up(&world, "127.0.0.1", fake.port);
    for (int i = 2; i <= 100; i++) {
        fake_end(fake.newest);
        DRIVE_UNTIL(&world, fake.accepted == i && mqtt_is_up(client) && fake.open == 1);
        if (i == 20) {
            handles = count_handles(&world);
            descriptors = count_descriptors();
        }
    }
    assert_true(count_handles(&world) <= handles + 2); /* some may be on their way out */
    assert_true(count_descriptors() <= descriptors + 2);
    mqtt_close(client);
    fake_close(&fake);
    world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_published_heard_and_kept),
        cmocka_unit_test(one_connection_serves_all_who_open_its_url),
        cmocka_unit_test(a_retained_message_is_never_fresher_than_it_is),
        cmocka_unit_test(a_broker_that_comes_back_is_subscribed_again_and_values_keep_their_time),
        cmocka_unit_test(what_is_kept_and_what_flies_has_a_maximum),
        cmocka_unit_test(what_is_no_publication_or_setting_is_refused),
        cmocka_unit_test(user_and_password_let_in_and_a_wrong_one_is_told),
        cmocka_unit_test(tls_trusts_authority_or_pin_and_else_refuses),
        cmocka_unit_test(who_is_not_there_or_does_not_speak_mqtt_is_told),
        cmocka_unit_test(what_is_not_acknowledged_is_told_and_never_sent_again),
        cmocka_unit_test(a_refused_subscription_is_told),
        cmocka_unit_test(whatever_a_broker_sends_the_client_goes_on),
        cmocka_unit_test(callbacks_may_publish_unsubscribe_and_close),
        cmocka_unit_test(cancel_and_close_work_in_each_phase),
        cmocka_unit_test(a_thousand_in_a_row_grow_nothing),
    };
    return cmocka_run_group_tests(tests, start_brokers, stop_brokers);
}
