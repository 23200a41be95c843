/* The head of a request to the service listener: what is taken, and each thing that is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "service/service_request.h"

static char data[SERVICE_HEAD_MAXIMUM + 1];
static struct service_head head;
static struct request request;
static struct problem problem;

/* 200, or the status of the refusal. */
static int parse(const char *text, size_t length) {
    assert_true(length < sizeof data);
    memset(&problem, 0, sizeof problem);
    memcpy(data, text, length);
    data[length] = '\0';
    if (service_request_parse(data, length, &head, &request, &problem))
        return 200;
    assert_true(problem.detail[0]);
    return problem.status;
}

#define PARSE(text) parse(text, sizeof(text) - 1)

static void a_plain_request_is_taken_apart(void **state) {
    (void)state;
    assert_int_equal(PARSE("GET /he%61lth?a=b HTTP/1.1\r\nHost: a\r\nX-Y:\t z \r\n\r\n"), 200);
    assert_int_equal(request.method, METHOD_GET);
    assert_string_equal(request.segments[0], "health");
    assert_string_equal(request_query(&request, "a"), "b");
    assert_int_equal(head.head.header_count, 2);
    assert_string_equal(head.headers[1].name, "X-Y");
    assert_string_equal(head.headers[1].value, "z");
    assert_int_equal(PARSE("HEAD / HTTP/1.0\r\nhost: a\r\n\r\n"), 200);
    assert_int_equal(request.method, METHOD_HEAD);
}

static void what_is_ambiguous_or_malformed_is_refused(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *text;
    } cases[] = {
        {400, "GET / HTTP/1.1\r\n\r\n"},                                    /* no Host */
        {400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"},                           /* an empty one */
        {400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},              /* two */
        {400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},                       /* none at all */
        {400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"          /* two lengths */
              "Content-Length: 1\r\n\r\n"},                                 /**/
        {400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"          /* length and chunks */
              "Transfer-Encoding: chunked\r\n\r\n"},                        /**/
        {411, "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n"}, /* chunks */
        {400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n"},   /* no number */
        {400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"},    /* a body of GET */
        {413, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n"},
        {400, "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET /%0a HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET /%2e%2e HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET /?a=%00 HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"}, /* absolute form */
        {400, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "GET /\r\nHost: a\r\n\r\n"}, /* HTTP/0.9 */
        {400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
        {505, "GET / HTTP/1.1x\r\nHost: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\nHost: a\r\n\r\n"},                 /* a lone LF */
        {400, "GET / HTTP/1.1\rHost: a\r\n\r\n"},                 /* a lone CR */
        {400, "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"},         /**/
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"}, /* folded */
        {400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},              /* a blank before the colon */
        {400, "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"},        /* no name */
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"},          /* no colon */
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n"},
        {400, "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n"},
        {417, "GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int status = parse(cases[i].text, strlen(cases[i].text));
        if (status != cases[i].status)
            fail_msg("%d, not %d: %s", status, cases[i].status, cases[i].text);
    }
    assert_int_equal(PARSE("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"), 400); /* NUL itself */
    assert_int_equal(PARSE("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"), 400);
}

static void sizes_are_bounded(void **state) {
    (void)state;
    char text[SERVICE_HEAD_MAXIMUM];
    char filler[2100];
    memset(filler, 'a', sizeof filler);
    filler[sizeof filler - 1] = '\0';
    snprintf(text, sizeof text, "GET /%s HTTP/1.1\r\nHost: a\r\n\r\n", filler);
    assert_int_equal(parse(text, strlen(text)), 414);
    size_t length = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < SERVICE_HEADERS; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "X: a\r\n");
    snprintf(text + length, sizeof text - length, "\r\n");
    assert_int_equal(parse(text, strlen(text)), 431);
}

static void the_end_of_a_head_is_found_wherever_it_is_cut(void **state) {
    (void)state;
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nmore";
    size_t whole = strlen(text) - 4;
    for (size_t cut = 1; cut < whole; cut++) {
        size_t scanned = 0;
        assert_int_equal(service_head_end(text, cut, &scanned), 0);
        assert_int_equal(service_head_end(text, whole, &scanned), whole);
    }
    size_t scanned = 0;
    assert_int_equal(service_head_end(text, strlen(text), &scanned), whole);
    for (size_t i = scanned = 0; i <= whole; i++) /* a byte at a time */
        assert_int_equal(service_head_end(text, i, &scanned), i < whole ? 0 : whole);
}

static void only_addresses_and_localhost_are_this_machine(void **state) {
    (void)state;
    static const struct {
        bool local;
        const char *host;
    } cases[] = {{true, "localhost"},         {true, "LOCALHOST:8079"},
                 {true, "127.0.0.1:8079"},    {true, "127.0.0.1"},
                 {false, "evil.example"},     {false, "localhost.evil.example"},
                 {false, "127.0.0.1.nip.io"}, {false, "127.1"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", cases[i].host);
        assert_int_equal(parse(text, strlen(text)), 200);
        if (service_host_is_local(&head) != cases[i].local)
            fail_msg("%s", cases[i].host);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_request_is_taken_apart),
        cmocka_unit_test(what_is_ambiguous_or_malformed_is_refused),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(the_end_of_a_head_is_found_wherever_it_is_cut),
        cmocka_unit_test(only_addresses_and_localhost_are_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
