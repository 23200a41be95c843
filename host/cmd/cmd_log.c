/* `derd log`: how much the running host says, and in which form. */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/client.h"
#include "cmd/commands.h"

static const char help_text[] =
    "usage: derd log [--level LEVEL] [--format FORMAT] (--site SITE | --store DIR)\n\n"
    "Changes how much the host that runs on this site says in its log, and in which form, until\n"
    "it is started again or its site file says something else; prints both.\n\n"
    "  --level LEVEL     error, warning, info or debug\n"
    "  --format FORMAT   text or json (an object a line)\n"
    "  --site SITE       the site file that names the store\n"
    "  --store DIR       the folder of the store\n";

static const char *text_of(const json_t *answer, const char *key) {
    const char *text = json_string_value(json_object_get(answer, key));
    return text ? text : "";
}

static int ask(const char *directory, const char *level, const char *format) {
    json_t *request =
        json_pack("{s:s, s:s*, s:s*}", "command", "log level", "level", level, "format", format);
    json_t *answer = request ? client_ask_host("log", directory, request) : NULL;
    bool ok = json_is_true(json_object_get(answer, "ok"));
    if (ok)
        printf("level %s, format %s\n", text_of(answer, "level"), text_of(answer, "format"));
    else if (answer)
        fprintf(stderr, "derd log: %s\n", text_of(answer, "error"));
    json_decref(request);
    json_decref(answer);
    return ok ? 0 : 1;
}

int cmd_log(int argc, char **argv) {
    static const struct option known[] = {
        {"site", required_argument, NULL, 'f'},  {"store", required_argument, NULL, 's'},
        {"level", required_argument, NULL, 'l'}, {"format", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},        {0}};
    const char *site = NULL, *store = NULL, *level = NULL, *format = NULL;
    for (int got; (got = getopt_long(argc, argv, "h", known, NULL)) != -1;)
        switch (got) {
        case 'f':
            site = optarg;
            break;
        case 's':
            store = optarg;
            break;
        case 'l':
            level = optarg;
            break;
        case 'o':
            format = optarg;
            break;
        case 'h':
            fputs(help_text, stdout);
            return 0;
        default:
            fputs(help_text, stderr);
            return 2;
        }
    if (optind != argc || (site != NULL) == (store != NULL)) {
        fputs(help_text, stderr);
        return 2;
    }
    char *directory = store ? strdup(store) : client_site_directory(site);
    int status = directory ? ask(directory, level, format) : 1;
    free(directory);
    return status;
}
