/* Answers that are sent while they are made: chunks, their end, and clients that leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/stream.h"
#include "base/buf.h"

struct wire { /* a client that takes `room` bytes */
    struct buf got;
    size_t room;
    int sends;
    bool gone;
};

static bool wire_send(void *connection, const void *data, size_t length) {
    struct wire *wire = connection;
    wire->sends++;
    if (length > wire->room)
        return false;
    wire->room -= length;
    buf_append(&wire->got, data, length);
    return true;
}

static bool wire_gone(void *connection) {
    return ((struct wire *)connection)->gone;
}

static struct stream stream_to(struct wire *wire, size_t room, bool chunks) {
    *wire = (struct wire){.room = room};
    buf_init(&wire->got, (size_t)1 << 20);
    return (struct stream){
        .send = wire_send, .gone = wire_gone, .connection = wire, .chunks = chunks};
}

static void pieces_become_chunks_and_the_end_is_marked(void **state) {
    struct wire wire;
    struct stream stream = stream_to(&wire, 1000, true);
    (void)state;
    assert_true(stream_write(&stream, "hello, ", 7));
    assert_true(stream_write(&stream, "twenty-six characters more", 26));
    assert_true(stream_write(&stream, "", 0)); /* an empty chunk would be the end */
    assert_true(stream_end(&stream));
    assert_string_equal(buf_string(&wire.got),
                        "7\r\nhello, \r\n1a\r\ntwenty-six characters more\r\n0\r\n\r\n");
    assert_int_equal(wire.sends, 3);
    buf_free(&wire.got);
}

static void old_clients_get_plain_bytes(void **state) {
    struct wire wire;
    struct stream stream = stream_to(&wire, 1000, false);
    (void)state;
    assert_true(stream_write(&stream, "plain", 5));
    assert_true(stream_end(&stream));
    assert_string_equal(buf_string(&wire.got), "plain");
    buf_free(&wire.got);
}

static void a_client_that_does_not_take_it_is_given_up_for_good(void **state) {
    struct wire wire;
    struct stream stream = stream_to(&wire, 12, true);
    (void)state;
    assert_true(stream_write(&stream, "five!", 5));
    assert_false(stream_write(&stream, "five!", 5));
    wire.room = 1000;
    assert_false(stream_write(&stream, "five!", 5));
    assert_false(stream_alive(&stream));
    assert_false(stream_end(&stream));
    assert_int_equal(wire.sends, 2);
    buf_free(&wire.got);
}

static void a_client_that_left_is_noticed_without_writing(void **state) {
    struct wire wire;
    struct stream stream = stream_to(&wire, 1000, true);
    (void)state;
    assert_true(stream_alive(&stream));
    wire.gone = true;
    assert_false(stream_alive(&stream));
    assert_false(stream_write(&stream, "x", 1));
    assert_int_equal(wire.sends, 0);
    buf_free(&wire.got);
}

static void a_piece_that_is_too_large_breaks_it_off(void **state) {
    static char large[STREAM_PIECE_MAXIMUM + 1];
    struct wire wire;
    struct stream stream = stream_to(&wire, (size_t)1 << 20, true);
    (void)state;
    memset(large, 'x', sizeof large);
    assert_true(stream_write(&stream, large, STREAM_PIECE_MAXIMUM));
    assert_false(stream_write(&stream, large, sizeof large));
    assert_false(stream_end(&stream));
    buf_free(&wire.got);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_become_chunks_and_the_end_is_marked),
        cmocka_unit_test(old_clients_get_plain_bytes),
        cmocka_unit_test(a_client_that_does_not_take_it_is_given_up_for_good),
        cmocka_unit_test(a_client_that_left_is_noticed_without_writing),
        cmocka_unit_test(a_piece_that_is_too_large_breaks_it_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
