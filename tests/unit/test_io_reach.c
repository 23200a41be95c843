/* Addresses in URLs, and who may be reached: what other parsers would read otherwise is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "io/reach.h"
#include "io/url.h"

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static void urls_are_taken_apart(void **state) {
    (void)state;
    static const struct {
        const char *text, *scheme, *user, *host, *rest;
        enum url_host kind;
        unsigned port;
    } cases[] = {
        {"http://192.168.1.5", "http", "", "192.168.1.5", "", URL_IPV4, 80},
        {"HTTPS://Meter.Local/a?b=c@d#e", "https", "", "meter.local", "/a?b=c@d#e", URL_NAME, 443},
        {"https://meter.local.:8443?x", "https", "", "meter.local", "?x", URL_NAME, 8443},
        {"http://[FD00::0:1]:8080/", "http", "", "fd00::1", "/", URL_IPV6, 8080},
        {"http://[::ffff:10.0.0.1]/", "http", "", "10.0.0.1", "/", URL_IPV4, 80},
        {"http://[::FFFF:a00:1]/", "http", "", "10.0.0.1", "/", URL_IPV4, 80},
        {"udp://10.0.0.7:7090", "udp", "", "10.0.0.7", "", URL_IPV4, 7090},
        {"tcp://x", "tcp", "", "x", "", URL_NAME, 0},
        {"mqtt://der@broker", "mqtt", "der", "broker", "", URL_NAME, 1883},
        {"mqtts://a.b-c@broker:1", "mqtts", "a.b-c", "broker", "", URL_NAME, 1},
        {"http://a_b-1.example", "http", "", "a_b-1.example", "", URL_NAME, 80},
        {"http://1.2.3.4.example", "http", "", "1.2.3.4.example", "", URL_NAME, 80},
        {"http://0xfg", "http", "", "0xfg", "", URL_NAME, 80},
        {"http://h:65535", "http", "", "h", "", URL_NAME, 65535},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct url url;
        const char *mistake = url_parse(cases[i].text, &url);
        if (mistake)
            fail_msg("%s: %s", cases[i].text, mistake);
        assert_string_equal(url.scheme, cases[i].scheme);
        assert_string_equal(url.user, cases[i].user);
        assert_string_equal(url.host, cases[i].host);
        assert_string_equal(url.rest, cases[i].rest);
        assert_int_equal(url.kind, cases[i].kind);
        assert_int_equal(url.port, cases[i].port);
    }
}

static const char *const refused[] = {
    "",
    "http",
    "http:",
    "http:/192.168.1.5",
    "http:///path",
    "http://",
    "//192.168.1.5/",
    "192.168.1.5",
    "ht tp://h",
    "h2c-x://h",
    "verylongscheme://h",
    /* userinfo */
    "http://192.168.1.5@evil.example/",
    "http://192.168.1.5:80@evil.example/",
    "http://@evil.example/",
    "mqtt://@broker",
    "mqtt://u:p@broker",
    "mqtt://a@b@broker",
    "mqtt://a%40b@broker",
    /* what some read as a slash, or as the end of the host */
    "http://192.168.1.5\\@evil.example/",
    "http://evil.example\\.192.168.1.5/",
    "http://192.168.1.5\t.evil.example/",
    "http://192.168.1.5\n/",
    "http://192.168.1.5\r\nHost: evil/",
    "http://192.168.1.5 /",
    " http://192.168.1.5/",
    "http://192.168.1.5/a b",
    "http://192.168.1.5/\x01",
    "http://192.168.1.5/\x7f",
    "http://192.168.1.5;evil/",
    "http://192.168.1.5,evil/",
    /* percent-encoding */
    "http://%31%39%32.168.1.5/",
    "http://192.168.1.5%2f.evil.example/",
    "http://192.168.1.5%00.evil.example/",
    "http://192.168.1.5%2580/",
    "http://h:%38%30/",
    /* numbers that inet_aton() takes */
    "http://0x7f.1/",
    "http://0x7f.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7F000001/",
    "http://0x/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://127.0.0.01/",
    "http://127.0.0.0x1/",
    "http://127.0.0.256/",
    "http://127.0.0.1.1/",
    "http://1.2.3/",
    "http://127.0.0.1./",
    "http://2130706433./",
    "http://x.0x7f/",
    "http://x.12/",
    /* names */
    "http://.example/",
    "http://a..b/",
    "http://example../",
    "http://./",
    "http://ex!ample/",
    "http://m\xc3\xbcller.example/",
    "http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/", /* full-width digits */
    "http://127\xe3\x80\x82"
    "0.0.1/", /* ideographic full stop */
    /* IPv6 */
    "http://[fd00::1/",
    "http://[fd00::1]x/",
    "http://[fd00::1]x:80/",
    "http://[fd00::1%25eth0]/",
    "http://[fd00::1%eth0]/",
    "http://[192.168.1.5]/",
    "http://[]/",
    "http://[::ffff:0x7f.1]/",
    "http://[::ffff:127.1]/",
    "http://[1::2::3]/",
    "http://fd00::1/",
    "http://[[::1]]/",
    /* ports */
    "http://h:/",
    "http://h:0/",
    "http://h:080/",
    "http://h:65536/",
    "http://h:99999999999/",
    "http://h:-1/",
    "http://h:+80/",
    "http://h:8x/",
    "http://h:80:80/",
    "http://h:0x50/",
};

static void what_can_be_read_in_two_ways_is_refused_and_never_reachable(void **state) {
    (void)state;
    static const char *const all[] = {"0.0.0.0/0", "::/0", "evil.example", "h", "example"};
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct url url;
        char why[200] = "";
        if (!url_parse(refused[i], &url))
            fail_msg("taken: %s", refused[i]);
        assert_false(
            reach_allows(refused[i], "http://192.168.1.5", all, COUNT(all), why, sizeof why));
        assert_true(strlen(why) > 20);
    }
}

static void a_long_host_and_a_long_url_are_refused(void **state) {
    (void)state;
    char text[4000];
    struct url url;
    memset(text, 'a', sizeof text);
    memcpy(text, "http://", 7);
    text[7 + 64] = '\0'; /* a label of 64 */
    assert_non_null(url_parse(text, &url));
    text[7 + 63] = '\0';
    assert_null(url_parse(text, &url));
    for (int at = 7 + 60; at < 7 + 300; at += 60)
        text[at] = '.';
    text[7 + 63] = text[7 + 64] = 'a';
    text[7 + 254] = '\0';
    assert_non_null(url_parse(text, &url));
    text[7 + 253] = '\0';
    assert_null(url_parse(text, &url));
    assert_int_equal(strlen(url.host), 253);
    memset(text, 'a', sizeof text);
    memcpy(text, "http://h/", 9);
    text[URL_MAXIMUM + 1] = '\0';
    assert_non_null(url_parse(text, &url));
    text[URL_MAXIMUM] = '\0';
    assert_null(url_parse(text, &url));
}

static bool allows(const char *url, const char *own, const char *entry) {
    char why[200] = "";
    bool yes = reach_allows(url, own, &entry, entry ? 1 : 0, why, sizeof why);
    assert_int_equal(yes, why[0] == '\0');
    return yes;
}

static void a_device_reaches_itself_at_its_own_port_only(void **state) {
    (void)state;
    static const char *const own = "http://192.168.1.5:8080/base";
    assert_true(allows("http://192.168.1.5:8080", own, NULL));
    assert_true(allows("https://192.168.1.5:8080/other?x#y", own, NULL));
    assert_true(allows("udp://[::ffff:192.168.1.5]:8080", own, NULL));
    assert_false(allows("http://192.168.1.5", own, NULL));
    assert_false(allows("http://192.168.1.5:8081", own, NULL));
    assert_false(allows("http://192.168.1.50:8080", own, NULL));
    assert_false(allows("http://meter:8080", own, NULL));
    assert_true(allows("http://METER.local.:80", "http://meter.Local", NULL));
    assert_false(allows("https://meter.local", "http://meter.local", NULL));
    assert_false(allows("http://meter.local.evil", "http://meter.local", NULL));
    assert_false(allows("http://xmeter.local", "http://meter.local", NULL));
    assert_true(allows("http://[fd00:0::1]", "http://[FD00::1]:80", NULL));
    assert_false(allows("http://h:80", NULL, NULL));
    assert_false(allows("http://h:80", "rtu:///dev/ttyUSB0", NULL));
    assert_false(allows("tcp://h", "tcp://h", NULL)); /* without a port there is no address */
}

static void a_url_is_shown_without_what_may_be_a_password(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"http://192.168.1.5/x", "http://192.168.1.5/x"},
        {"http://me:secret@10.0.0.1", "http://...@10.0.0.1"},
        {"mqtt://me:se/cret@10.0.0.1", "mqtt://...@10.0.0.1"},
        {"me:secret@10.0.0.1", "...@10.0.0.1"},
        {"secret://a@b", "secret://...@b"},
        {"secret@x://y", "...@x://y"},
        {"averyverylongsecret://a@b", "averyverylon...@b"},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char shown[URL_SHOWN_SIZE];
        assert_string_equal(url_shown(cases[i][0], shown), cases[i][1]);
    }
    char text[300], shown[URL_SHOWN_SIZE];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(strlen(url_shown(text, shown)), URL_SHOWN_SIZE - 1);
}

static void entries_allow_hosts_ports_and_ranges(void **state) {
    (void)state;
    static const struct {
        const char *entry, *url;
        bool yes;
    } cases[] = {
        {"api.example", "https://API.example:4443/x", true},
        {"api.example.", "https://api.example", true},
        {"api.example", "https://api.example.", true},
        {"api.example", "https://www.api.example", false},
        {"api.example:443", "https://api.example", true},
        {"api.example:443", "http://api.example", false},
        {"192.168.1.7", "http://192.168.1.7:81", true},
        {"192.168.1.7", "http://192.168.1.70", false},
        {"192.168.1.7:81", "http://192.168.1.7:81", true},
        {"192.168.1.7:81", "http://192.168.1.7:811", false},
        {"::ffff:192.168.1.7", "http://192.168.1.7", true},
        {"fd00::7", "http://[fd00:0:0::7]:9", true},
        {"[fd00::7]", "http://[fd00::7]:9", true},
        {"[fd00::7]:9", "http://[fd00::7]:9", true},
        {"[fd00::7]:9", "http://[fd00::7]:8", false},
        {"192.168.1.0/24", "http://192.168.1.255", true},
        {"192.168.1.0/24", "http://192.168.2.0", false},
        {"192.168.1.77/24", "http://192.168.1.1", true},
        {"192.168.1.128/25", "http://192.168.1.127", false},
        {"192.168.1.128/25", "http://192.168.1.128", true},
        {"10.0.0.0/8", "http://10.255.255.255", true},
        {"10.0.0.0/8", "http://[::ffff:10.1.1.1]", true},
        {"10.0.0.0/8", "http://10.example", false}, /* a name is never within a range */
        {"10.0.0.1/32", "http://10.0.0.1", true},
        {"10.0.0.1/32", "http://10.0.0.0", false},
        {"0.0.0.0/0", "http://8.8.8.8", true},
        {"0.0.0.0/0", "http://[fd00::1]", false},
        {"::/0", "http://[fd00::1]", true},
        {"::/0", "http://8.8.8.8", false},
        {"fd00::/8", "http://[fdff::1]", true},
        {"fd00::/8", "http://[fe00::1]", false},
        {"fe80::/10", "http://[febf::1]", true},
        {"fe80::/10", "http://[fec0::1]", false},
        /* entries that are none allow nothing */
        {"", "http://h", false},
        {"*", "http://h", false},
        {"*.example", "http://a.example", false},
        {"http://h", "http://h", false},
        {"127.1", "http://127.0.0.1", false},
        {"10.0.0.0/33", "http://10.0.0.0", false},
        {"10.0.0.0/", "http://10.0.0.0", false},
        {"10.0.0.0/8x", "http://10.0.0.0", false},
        {"10.0.0.0/-8", "http://10.0.0.0", false},
        {"10.0.0.0:80/8", "http://10.0.0.0", false},
        {"10/8", "http://10.0.0.0", false},
        {"h/8", "http://h", false},
        {"[fd00::]/8", "http://[fd00::1]", false},
        {"::ffff:0.0.0.0/96", "http://10.0.0.1", false},
        {"h:0", "http://h", false},
        {"u@h", "http://h", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char why[300];
        if (allows(cases[i].url, "http://own", cases[i].entry) != cases[i].yes)
            fail_msg("%s with %s", cases[i].url, cases[i].entry);
        if (cases[i].yes)
            assert_true(reach_entry_valid(cases[i].entry, why, sizeof why));
    }
    static const char *const wrong[] = {
        "",    "*",   "http://h", "127.1",      "10/8",       "h/8",       "10.0.0.0/33",
        "h:0", "u@h", "a b",      "fd00::/129", "[fd00::]/8", "h:80:80:x", "%31.2.3.4"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        char why[300] = "";
        assert_false(reach_entry_valid(wrong[i], why, sizeof why));
        assert_non_null(strstr(why, "expected"));
    }
}

static void the_reason_names_host_and_device_but_no_path(void **state) {
    (void)state;
    char why[300];
    assert_false(reach_allows("http://evil.example/?password=secret", "http://192.168.1.5", NULL, 0,
                              why, sizeof why));
    assert_non_null(strstr(why, "evil.example port 80"));
    assert_non_null(strstr(why, "192.168.1.5"));
    assert_null(strstr(why, "secret"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(what_can_be_read_in_two_ways_is_refused_and_never_reachable),
        cmocka_unit_test(a_long_host_and_a_long_url_are_refused),
        cmocka_unit_test(a_device_reaches_itself_at_its_own_port_only),
        cmocka_unit_test(a_url_is_shown_without_what_may_be_a_password),
        cmocka_unit_test(entries_allow_hosts_ports_and_ranges),
        cmocka_unit_test(the_reason_names_host_and_device_but_no_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
