/* The link text of a serial line: what is taken, and that all mistakes are told at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link/link.h"
#include "link/rtu_settings.h"

#define COUNT(list) ((int)(sizeof(list) / sizeof(list)[0]))

static struct rtu_settings parsed(const char *url) {
    struct rtu_settings settings;
    char why[300];
    assert_true(rtu_settings_parse(url, &settings, why, sizeof why));
    assert_true(link_url_valid(url, why, sizeof why));
    return settings;
}

static void a_port_alone_is_9600_8n1(void **state) {
    (void)state;
    struct rtu_settings settings = parsed("rtu:///dev/ttyUSB0");
    assert_string_equal(settings.device, "/dev/ttyUSB0");
    assert_int_equal(settings.baud, 9600);
    assert_int_equal(settings.parity, 'N');
    assert_int_equal(settings.stop_bits, 1);
    assert_false(settings.rs485);
}

static void every_option_is_taken_in_any_order(void **state) {
    (void)state;
    struct rtu_settings settings =
        parsed("rtu:///dev/serial/by-id/usb-x?mode=rs485&stop=2&parity=even&baud=115200");
    assert_string_equal(settings.device, "/dev/serial/by-id/usb-x");
    assert_int_equal(settings.baud, 115200);
    assert_int_equal(settings.parity, 'E');
    assert_int_equal(settings.stop_bits, 2);
    assert_true(settings.rs485);
    assert_int_equal(parsed("rtu:///dev/x?parity=odd").parity, 'O');
}

static void wrong_links_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "rtu://",
        "rtu://dev/ttyUSB0",
        "rtu:///dev/ttyUSB0?",
        "rtu:///dev/ttyUSB0?baud",
        "rtu:///dev/ttyUSB0?baud=",
        "rtu:///dev/ttyUSB0?baud=9601",
        "rtu:///dev/ttyUSB0?baud=9600 ",
        "rtu:///dev/ttyUSB0?baud=+9600",
        "rtu:///dev/ttyUSB0?baud=9600&",
        "rtu:///dev/ttyUSB0?baud=9600&baud=9600",
        "rtu:///dev/ttyUSB0?baud=9600?parity=none",
        "rtu:///dev/ttyUSB0?parity=n",
        "rtu:///dev/ttyUSB0?stop=0",
        "rtu:///dev/ttyUSB0?stop=12",
        "rtu:///dev/ttyUSB0?mode=rs422",
        "rtu:///dev/ttyUSB0?Baud=9600",
        "rtu:///dev/ttyUSB0&baud=9600",
        "rtu:///dev/tty USB0",
        "rtu:///dev/ttyUSB0?averyverylongoptionthatnobodyhas=1",
    };
    for (int i = 0; i < COUNT(bad); i++) {
        char why[300] = "";
        assert_false(link_url_valid(bad[i], why, sizeof why));
        assert_int_equal(strncmp(why, "expected rtu:///dev/ttyUSB0", 27), 0);
    }
}

static void a_path_longer_than_there_is_room_for_is_refused(void **state) {
    (void)state;
    char url[200] = "rtu://", why[300];
    memset(url + 6, '/', RTU_DEVICE_SIZE);
    assert_false(link_url_valid(url, why, sizeof why));
    assert_non_null(strstr(why, "longer"));
    url[6 + RTU_DEVICE_SIZE - 1] = '\0';
    assert_true(link_url_valid(url, why, sizeof why));
}

static void all_mistakes_are_told_at_once(void **state) {
    (void)state;
    char why[400];
    assert_false(link_url_valid("rtu://ttyUSB0?baud=1&parity=x&stop=3&mode=y&color=red&stop=1", why,
                                sizeof why));
    static const char *const told[] = {
        "must be a path", "baud must be",     "parity must be",      "stop must be",
        "mode must be",   "\"color=red\" is", "stop is given twice",
    };
    for (int i = 0; i < COUNT(told); i++)
        assert_non_null(strstr(why, told[i]));
}

static void a_text_that_is_too_long_is_cut_to_its_room(void **state) {
    (void)state;
    for (size_t size = 1; size < 100; size++) {
        char why[100];
        memset(why, '#', sizeof why);
        assert_false(link_url_valid("rtu://x?a&b&c&d&e&f&g&h&i&j&k&l&m", why, size));
        assert_true(strlen(why) < size);
        assert_int_equal(why[size], '#');
    }
}

static void what_is_no_serial_line_is_refused_also_when_it_is_short(void **state) {
    (void)state;
    struct rtu_settings settings;
    char why[100];
    static const char *const urls[] = {"", "rtu:/", "tcp://a:502", "RTU:///dev/x"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        char *exact = strdup(urls[i]); /* the sanitizer sees what is read beyond its end */
        why[0] = '\0';
        assert_false(rtu_settings_parse(exact, &settings, why, sizeof why));
        assert_non_null(strstr(why, "expected rtu://"));
        free(exact);
    }
}

static void times_follow_the_speed(void **state) {
    (void)state;
    struct rtu_settings slow = parsed("rtu:///dev/x?baud=9600&parity=even");
    assert_int_equal(rtu_character_us(&slow), 1146); /* 11 bits */
    assert_int_equal(rtu_silence_us(&slow), 4011);
    struct rtu_settings fast = parsed("rtu:///dev/x?baud=115200");
    assert_int_equal(rtu_character_us(&fast), 87);
    assert_int_equal(rtu_silence_us(&fast), 1750); /* fixed above 19200 baud */
}

static void links_of_one_port_in_other_words_clash(void **state) {
    (void)state;
    assert_true(link_url_clash("rtu:///dev/x", "rtu:///dev/x?baud=9600"));
    assert_true(link_url_clash("rtu:///dev/x?baud=19200", "rtu:///dev/x?baud=9600"));
    assert_false(link_url_clash("rtu:///dev/x?baud=9600", "rtu:///dev/x?baud=9600"));
    assert_false(link_url_clash("rtu:///dev/x", "rtu:///dev/xy"));
    assert_false(link_url_clash("tcp://a:502", "tcp://a:503"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_alone_is_9600_8n1),
        cmocka_unit_test(every_option_is_taken_in_any_order),
        cmocka_unit_test(wrong_links_are_refused),
        cmocka_unit_test(a_path_longer_than_there_is_room_for_is_refused),
        cmocka_unit_test(all_mistakes_are_told_at_once),
        cmocka_unit_test(a_text_that_is_too_long_is_cut_to_its_room),
        cmocka_unit_test(what_is_no_serial_line_is_refused_also_when_it_is_short),
        cmocka_unit_test(times_follow_the_speed),
        cmocka_unit_test(links_of_one_port_in_other_words_clash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
