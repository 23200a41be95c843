/* Which descriptor a connection has, by its ends. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/socket_find.h"

struct pair { /* a connection to 127.0.0.1 */
    int client, server, client_port;
};

static int listener, port;

static int port_of(int fd) {
    struct sockaddr_in end = {0};
    socklen_t length = sizeof end;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&end, &length), 0);
    return ntohs(end.sin_port);
}

static int set_up(void **state) {
    (void)state;
    struct sockaddr_in end = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&end, sizeof end) != 0 || listen(listener, 8) != 0)
        return -1;
    port = port_of(listener);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return close(listener);
}

static struct pair connected(void) {
    struct pair pair = {.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in end = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(pair.client, (struct sockaddr *)&end, sizeof end), 0);
    pair.server = accept(listener, NULL, NULL);
    assert_true(pair.server >= 0);
    pair.client_port = port_of(pair.client);
    return pair;
}

static void a_connection_is_found_by_its_ends(void **state) {
    (void)state;
    struct pair one = connected(), other = connected();
    for (int times = 0; times < 2; times++) {
        assert_int_equal(socket_find(port, "127.0.0.1", one.client_port), one.server);
        assert_int_equal(socket_find(port, "127.0.0.1", other.client_port), other.server);
        /* The other way round it is the client's. */
        assert_int_equal(socket_find(one.client_port, "127.0.0.1", port), one.client);
    }
    close(other.client);
    close(other.server);
    close(one.client);
    close(one.server);
}

static void none_is_found_of_other_ends(void **state) {
    (void)state;
    struct pair pair = connected();
    assert_int_equal(socket_find(port, "127.0.0.2", pair.client_port), -1);
    assert_int_equal(socket_find(port ^ 1, "127.0.0.1", pair.client_port), -1);
    assert_int_equal(socket_find(port, "::1", pair.client_port), -1);
    assert_int_equal(socket_find(port, "127.0.0.1", pair.client_port), pair.server);
    close(pair.server);
    close(pair.client);
    assert_int_equal(socket_find(port, "127.0.0.1", pair.client_port), -1);
}

/* The descriptor that was found last may be another's by now. */
static void one_that_was_taken_over_is_not_taken_for_it(void **state) {
    (void)state;
    struct pair first = connected();
    assert_int_equal(socket_find(port, "127.0.0.1", first.client_port), first.server);
    struct pair second = connected();
    assert_int_equal(dup2(second.server, first.server), first.server);
    assert_int_equal(socket_find(port, "127.0.0.1", first.client_port), -1);
    close(second.server);
    assert_int_equal(socket_find(port, "127.0.0.1", second.client_port), first.server);
    close(first.server);
    close(first.client);
    close(second.client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_connection_is_found_by_its_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(none_is_found_of_other_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_was_taken_over_is_not_taken_for_it, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
