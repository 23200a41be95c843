/* Where a request comes from: what a trusted proxy says, and nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/remote.h"

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static struct proxies trusted;

static int trust(void **state) {
    (void)state;
    memset(&trusted, 0, sizeof trusted);
    assert_null(proxies_add(&trusted, "127.0.0.1"));
    assert_null(proxies_add(&trusted, "10.1.0.0/16"));
    assert_null(proxies_add(&trusted, "fd00:1::/32"));
    return 0;
}

/* `lines`: "Name: value\n...", as in a head. */
static struct remote find(const char *peer, const char *lines) {
    static char text[9000];
    static struct request_header headers[REQUEST_HEADER_COUNT];
    struct request_head head = {.headers = headers};
    struct remote remote;
    snprintf(text, sizeof text, "%s", lines);
    for (char *line = text; *line;) {
        char *end = strchr(line, '\n'), *colon = strchr(line, ':');
        *colon = *end = '\0';
        headers[head.header_count++] =
            (struct request_header){line, colon + 1 + strspn(colon + 1, " ")};
        line = end + 1;
    }
    remote_find(&remote, peer, &trusted, &head);
    return remote;
}

static void expect(const char *peer, const char *lines, const char *address) {
    struct remote remote = find(peer, lines);
    if (strcmp(remote.address, address) != 0)
        fail_msg("%s, %s: %s, not %s", peer, lines, remote.address, address);
}

static void without_a_proxy_it_is_the_peer_whatever_the_headers_say(void **state) {
    (void)state;
    static const char forged[] = "X-Forwarded-For: 203.0.113.7\nX-Forwarded-Proto: https\n";
    expect("192.0.2.1", forged, "192.0.2.1");
    expect("127.0.0.2", forged, "127.0.0.2");
    expect("10.2.0.1", forged, "10.2.0.1");
    expect("fd00:2::1", forged, "fd00:2::1");
    assert_false(find("192.0.2.1", forged).secure);
    assert_false(find("192.0.2.1", forged).proxied);
    memset(&trusted, 0, sizeof trusted); /* the default: nobody is */
    expect("127.0.0.1", forged, "127.0.0.1");
    assert_false(find("127.0.0.1", forged).secure);
}

static void behind_a_proxy_it_is_the_rightmost_address_that_is_no_proxys(void **state) {
    (void)state;
    static const struct {
        const char *peer, *lines, *address;
    } cases[] = {
        {"127.0.0.1", "X-Forwarded-For: 192.0.2.1\n", "192.0.2.1"},
        {"10.1.255.255", "x-forwarded-for: 192.0.2.1\n", "192.0.2.1"},
        {"::ffff:127.0.0.1", "X-Forwarded-For: 192.0.2.1\n", "192.0.2.1"},
        {"127.0.0.1", "X-Forwarded-For: 198.51.100.9, 192.0.2.1\n", "192.0.2.1"},
        {"127.0.0.1", "X-Forwarded-For: 198.51.100.9, 192.0.2.1, 10.1.0.7\n", "192.0.2.1"},
        {"127.0.0.1", "X-Forwarded-For: 192.0.2.1,10.1.0.7 ,\t127.0.0.1 \n", "192.0.2.1"},
        {"127.0.0.1", "X-Forwarded-For: 198.51.100.9\nX-Forwarded-For: 192.0.2.1\n", "192.0.2.1"},
        {"127.0.0.1", "X-Forwarded-For: 192.0.2.1\nX-Forwarded-For: 10.1.0.7\n", "192.0.2.1"},
        {"127.0.0.1", "X-Forwarded-For: 192.0.2.1, , ,\n", "192.0.2.1"},
        {"127.0.0.1", "X-Forwarded-For: 192.0.2.1:50123\n", "192.0.2.1"},
        {"127.0.0.1", "X-Forwarded-For: 2001:DB8:0::7\n", "2001:db8::7"},
        {"127.0.0.1", "X-Forwarded-For: [2001:db8::7]:443\n", "2001:db8::7"},
        {"127.0.0.1", "X-Forwarded-For: ::ffff:192.0.2.1\n", "192.0.2.1"},
        {"fd00:1:2::3", "X-Forwarded-For: 192.0.2.1, fd00:1::9\n", "192.0.2.1"},
        /* all of them proxies: the first one sent it */
        {"127.0.0.1", "X-Forwarded-For: 10.1.0.9, 10.1.0.8\n", "10.1.0.9"},
        {"127.0.0.1", "", "127.0.0.1"},
        {"127.0.0.1", "X-Forwarded-For: \n", "127.0.0.1"},
        {"127.0.0.1", "X-Forwarded-For: ,,\n", "127.0.0.1"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        expect(cases[i].peer, cases[i].lines, cases[i].address);
    assert_true(find("127.0.0.1", "X-Forwarded-For: 192.0.2.1\n").proxied);
}

static void what_a_proxy_wrote_and_is_no_address_ends_the_way_at_that_proxy(void **state) {
    (void)state;
    static const struct {
        const char *lines, *address;
    } cases[] = {
        {"X-Forwarded-For: unknown\n", "127.0.0.1"},
        {"X-Forwarded-For: 192.0.2.1, unknown\n", "127.0.0.1"},
        {"X-Forwarded-For: 192.0.2.1, unknown, 10.1.0.7\n", "10.1.0.7"},
        {"X-Forwarded-For: meter.local\n", "127.0.0.1"},
        {"X-Forwarded-For: 192.0.2.1 198.51.100.9\n", "127.0.0.1"},
        {"X-Forwarded-For: 192.0.2.256\n", "127.0.0.1"},
        {"X-Forwarded-For: 0x7f.1\n", "127.0.0.1"},
        {"X-Forwarded-For: 192.0.2.1:0\n", "127.0.0.1"},
        {"X-Forwarded-For: fe80::1%eth0\n", "127.0.0.1"},
        {"X-Forwarded-For: 192.0.2.1/24\n", "127.0.0.1"},
        {"X-Forwarded-For: \"192.0.2.1\"\n", "127.0.0.1"},
        {"X-Forwarded-For: 192.0.2.1\nX-Forwarded-For: -\n", "127.0.0.1"},
        {"X-Forwarded-For: '; DROP TABLE audit; --\n", "127.0.0.1"},
        /* what the client wrote does not matter to what the proxy added */
        {"X-Forwarded-For: <script>, 192.0.2.1\n", "192.0.2.1"},
        {"X-Forwarded-For: unknown, 192.0.2.1, 10.1.0.7\n", "192.0.2.1"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        expect("127.0.0.1", cases[i].lines, cases[i].address);
}

static void a_list_without_end_is_not_walked_to_its_end(void **state) {
    (void)state;
    char lines[8200] = "X-Forwarded-For: 192.0.2.1";
    while (strlen(lines) < sizeof lines - 20)
        strcat(lines, ",10.1.0.7");
    strcat(lines, "\n");
    expect("127.0.0.1", lines, "10.1.0.7");
    char commas[8200] = "X-Forwarded-For: 192.0.2.1";
    memset(commas + strlen(commas), ',', 8000);
    strcat(commas, "\n");
    expect("127.0.0.1", commas, "192.0.2.1");
}

static void a_peer_that_is_not_known_is_nobody(void **state) {
    (void)state;
    expect(NULL, "X-Forwarded-For: 192.0.2.1\n", "");
    expect("", "X-Forwarded-For: 192.0.2.1\n", "");
    expect("somewhere", "X-Forwarded-For: 192.0.2.1\n", "");
}

static void the_trusted_proxy_says_whether_the_client_speaks_tls(void **state) {
    (void)state;
    assert_true(find("127.0.0.1", "X-Forwarded-Proto: https\n").secure);
    assert_true(find("127.0.0.1", "x-forwarded-proto: HTTPS \n").secure);
    assert_true(find("127.0.0.1", "X-Forwarded-Proto: http\nX-Forwarded-Proto: https\n").secure);
    assert_true(find("127.0.0.1", "X-Forwarded-Proto: http, https\n").secure);
    assert_false(find("127.0.0.1", "X-Forwarded-Proto: https, http\n").secure);
    assert_false(find("127.0.0.1", "X-Forwarded-Proto: http\n").secure);
    assert_false(find("127.0.0.1", "X-Forwarded-Proto: httpsx\n").secure);
    assert_false(find("127.0.0.1", "X-Forwarded-Proto: \n").secure);
    assert_false(find("127.0.0.1", "").secure);
    assert_false(find("192.0.2.1", "X-Forwarded-Proto: https\n").secure);
}

static void a_proxy_is_an_address_or_a_narrow_range(void **state) {
    (void)state;
    static const char *const wrong[] = {"",
                                        "proxy.local",
                                        "127.0.0.1:80",
                                        "[::1]",
                                        "10.0.0.0/33",
                                        "10.0.0.0/x",
                                        "0.0.0.0/0",
                                        "128.0.0.0/7",
                                        "::/0",
                                        "fd00::/15",
                                        "10/8",
                                        "127.0.0.1/",
                                        "10.0.0.0/8/8",
                                        "http://127.0.0.1"};
    static const char *const right[] = {"127.0.0.1", "::1", "10.0.0.0/8", "fd00::/16",
                                        "192.168.1.7/32"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct proxies proxies = {0};
        if (!proxies_add(&proxies, wrong[i]))
            fail_msg("\"%s\" was taken", wrong[i]);
        assert_int_equal(proxies.count, 0);
    }
    for (size_t i = 0; i < COUNT(right); i++) {
        struct proxies proxies = {0};
        const char *mistake = proxies_add(&proxies, right[i]);
        if (mistake)
            fail_msg("\"%s\": %s", right[i], mistake);
    }
    struct proxies full = {0};
    for (int i = 0; i < PROXIES_MAXIMUM; i++)
        assert_null(proxies_add(&full, "127.0.0.1"));
    assert_non_null(proxies_add(&full, "127.0.0.1"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_a_proxy_it_is_the_peer_whatever_the_headers_say, trust),
        cmocka_unit_test_setup(behind_a_proxy_it_is_the_rightmost_address_that_is_no_proxys, trust),
        cmocka_unit_test_setup(what_a_proxy_wrote_and_is_no_address_ends_the_way_at_that_proxy,
                               trust),
        cmocka_unit_test_setup(a_list_without_end_is_not_walked_to_its_end, trust),
        cmocka_unit_test_setup(a_peer_that_is_not_known_is_nobody, trust),
        cmocka_unit_test_setup(the_trusted_proxy_says_whether_the_client_speaks_tls, trust),
        cmocka_unit_test(a_proxy_is_an_address_or_a_narrow_range),
    };
    return cmocka_run_group_tests_name("remote", tests, NULL, NULL);
}
