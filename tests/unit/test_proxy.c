/* The proxy's configuration lets every path of the route table through, and little else. */
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/route.h"
#include "base/luadata.h"

#define LOCATION "location ~ "

static regex_t passes;

static int load(void **state) {
    struct report report;
    size_t length;
    (void)state;
    report_init(&report);
    char *text =
        file_read(DERD_SOURCE_DIR "/host/package/proxy/derd.conf", 65536, &length, &report);
    report_free(&report);
    char *pattern = text ? strstr(text, LOCATION) : NULL;
    char *end = pattern ? strstr(pattern, " {") : NULL;
    if (!end)
        return 1;
    *end = '\0';
    int failed = regcomp(&passes, pattern + strlen(LOCATION), REG_EXTENDED | REG_NOSUB);
    free(text);
    return failed;
}

static int unload(void **state) {
    (void)state;
    regfree(&passes);
    return 0;
}

static bool let_through(const char *path) {
    return regexec(&passes, path, 0, NULL, 0) == 0;
}

static void every_path_of_the_host_passes(void **state) {
    size_t count;
    const struct route *routes = route_table(&count);
    (void)state;
    for (size_t i = 0; i < count; i++)
        if (!let_through(routes[i].path))
            fail_msg("host/package/proxy/derd.conf does not let %s through", routes[i].path);
}

static void what_the_host_does_not_have_ends_at_the_proxy(void **state) {
    static const char *const paths[] = {"/v1",           "/v2/x",     "/.git/config", "/x/app.js",
                                        "/app.jsx",      "/app.js/x", "/index.html",  "/docs/",
                                        "/wp-login.php", "//v1/x",    "x/v1/",        "/healthz"};
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (let_through(paths[i]))
            fail_msg("%s passes", paths[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path_of_the_host_passes),
        cmocka_unit_test(what_the_host_does_not_have_ends_at_the_proxy),
    };
    return cmocka_run_group_tests_name("proxy", tests, load, unload);
}
