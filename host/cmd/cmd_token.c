#include "cmd/cmd_token.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/admin.h"
#include "cmd/client.h"
#include "cmd/token_print.h"
#include "cmd/token_rights.h"
#include "store/store.h"

#define EXIT_WRONG 1
#define EXIT_USAGE 2

static const char help_text[] =
    "Tokens open the API. Each has a name, scopes, a highest priority, and may have an end.\n"
    "\n"
    "  derd token create [--name NAME] [OPTIONS] WHERE\n"
    "  derd token list WHERE\n"
    "  derd token revoke ID WHERE\n"
    "\n"
    "WHERE is one of\n"
    "  --store DIR    the folder of the store\n"
    "  --site FILE    the site file that names it (store.directory)\n"
    "\n"
    "  --name NAME           who or what will use it; default: its id\n"
    "  --account ACCOUNT     on whose behalf, made below owner if need be; default: owner\n"
    "  --scopes SCOPES       what it may do, parted by commas, or all; default: read,control\n"
    "  --max-priority N      the highest priority it may give, 0 to 2147483647; default 1999\n"
    "  --expires END         30d, 12h, or a moment like 2030-01-31T18:00:00Z; default: never\n"
    "  --clusters CLUSTERS   keys or ids, parted by commas: for these and the clusters below them\n"
    "                        only; default: all of the account\n"
    "\n"
    "Scopes; none implies another:\n"
    "  read        see what there is, and previews\n"
    "  control     set and withdraw constraints, up to the highest priority\n"
    "  configure   make, change and delete clusters, devices and webhooks\n"
    "  scripts     upload and delete drivers and policies\n"
    "  admin       accounts and tokens; a token makes none that may do more than itself\n"
    "\n"
    "Priorities go by bands; a higher one wins:\n"
    "     0 to  999   policies\n"
    "  1000 to 1999   people at the site\n"
    "  2000 to 2999   programs\n"
    "  3000 to 3999   grid operator\n"
    "\n"
    "Examples:\n"
    "  derd token create --site site.lua --name owner --scopes all\n"
    "  derd token create --site site.lua --name phone\n"
    "  derd token create --site site.lua --name display --scopes read --clusters home\n"
    "  derd token create --site site.lua --name operator --max-priority 3999 --expires 365d\n"
    "\n"
    "create prints the token alone on standard output. It is shown this once: only a hash of it\n"
    "is kept. A host that runs takes changes at once. Exit status: 0 done, 1 something is wrong,\n"
    "2 used wrongly.\n";

/* --- the command line ------------------------------------------------------------------------ */

struct options {
    const char *action; /* "" when there is none */
    const char *id;     /* of revoke */
    const char *name, *account;
    struct token_rights rights; /* of create */
    const char *store, *site;
    bool help;
};

static bool usage_wrong(const char *text, const char *what) {
    fprintf(stderr, "derd token: %s%s; `derd token --help` says how\n", text, what);
    return false;
}

static bool options_fit(const struct options *options, int word_count) {
    const char *action = options->action;
    bool create = strcmp(action, "create") == 0;
    bool revoke = strcmp(action, "revoke") == 0;
    if (!create && !revoke && strcmp(action, "list") != 0)
        return usage_wrong("expected create, list or revoke, not ", action[0] ? action : "nothing");
    if (!create && (options->name || options->account || token_rights_given(&options->rights)))
        return usage_wrong("--name, --account, --scopes, --max-priority, --expires and --clusters "
                           "belong to create, not to ",
                           action);
    if (revoke && !options->id)
        return usage_wrong("expected the id of the token to revoke", "");
    if (word_count > (revoke ? 2 : 1))
        return usage_wrong("too many words after ", action);
    if ((options->store != NULL) == (options->site != NULL))
        return usage_wrong("expected one of --store DIR and --site FILE", "");
    return true;
}

static bool options_read(struct options *options, int argc, char **argv) {
    static const struct option known[] = {
        {"name", required_argument, NULL, 'n'},     {"account", required_argument, NULL, 'a'},
        {"store", required_argument, NULL, 's'},    {"max-priority", required_argument, NULL, 'p'},
        {"scopes", required_argument, NULL, 'c'},   {"expires", required_argument, NULL, 'e'},
        {"clusters", required_argument, NULL, 'l'}, {"site", required_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    int option;
    *options = (struct options){0};
    optind = 0; /* glibc: begin anew, words and options in any order */
    while ((option = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        switch (option) {
        case 'n':
            options->name = optarg;
            break;
        case 'a':
            options->account = optarg;
            break;
        case 'p':
            options->rights.priority = optarg;
            break;
        case 'c':
            options->rights.scopes = optarg;
            break;
        case 'e':
            options->rights.expires = optarg;
            break;
        case 'l':
            options->rights.clusters = optarg;
            break;
        case 's':
            options->store = optarg;
            break;
        case 'f':
            options->site = optarg;
            break;
        case 'h':
            options->help = true;
            return true;
        default: /* getopt has said it */
            return false;
        }
    }
    options->action = optind < argc ? argv[optind] : "";
    options->id = optind + 1 < argc ? argv[optind + 1] : NULL;
    return options_fit(options, argc - optind);
}

/* NULL with a text on standard error. */
static json_t *request_make(const struct options *options) {
    char command[32];
    char wrong[200];
    bool create = strcmp(options->action, "create") == 0;
    snprintf(command, sizeof command, "token %s", options->action);
    json_t *request;
    if (create)
        request = json_pack("{s:s, s:s*, s:s*}", "command", command, "name", options->name,
                            "account", options->account);
    else
        request = json_pack("{s:s, s:s*}", "command", command, "id", options->id);
    if (!request) {
        usage_wrong("a name, an account or an id is no UTF-8 text", "");
    } else if (create && !token_rights_add(&options->rights, request, wrong, sizeof wrong)) {
        usage_wrong(wrong, "");
        json_decref(request);
        request = NULL;
    }
    return request;
}

/* --- what is shown --------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int answer_print(const char *action, const json_t *answer) {
    if (!json_is_true(json_object_get(answer, "ok"))) {
        fprintf(stderr, "derd token: %s\n", text_of(answer, "error"));
        return EXIT_WRONG;
    }
    if (strcmp(action, "list") == 0) {
        token_list_print(json_object_get(answer, "tokens"));
    } else if (strcmp(action, "revoke") == 0) {
        fprintf(stderr, "the token %s is revoked\n", text_of(answer, "id"));
    } else {
        token_made_print(answer);
    }
    if (fflush(stdout) != 0) {
        fprintf(stderr, "derd token: standard output could not be written: %s\n", strerror(errno));
        return EXIT_WRONG;
    }
    return 0;
}

static int token_act(const char *action, const char *directory, const json_t *request) {
    json_t *answer = client_ask("token", directory, request, strcmp(action, "create") == 0);
    int status = answer ? answer_print(action, answer) : EXIT_WRONG;
    json_decref(answer);
    return status;
}

int cmd_token(int argc, char **argv) {
    struct options options;
    if (!options_read(&options, argc, argv))
        return EXIT_USAGE;
    if (options.help) {
        fputs(help_text, stdout);
        return 0;
    }
    json_t *request = request_make(&options);
    if (!request)
        return EXIT_USAGE;
    char *directory = NULL;
    if (options.store)
        directory = strdup(options.store);
    else if (options.site)
        directory = client_site_directory(options.site);
    /* Clusters of the site file have ids also before the first start. */
    if (options.site && json_object_get(request, "clusters"))
        json_object_set_new(request, "siteClusters", client_site_clusters(options.site));
    int status = directory ? token_act(options.action, directory, request) : EXIT_WRONG;
    free(directory);
    json_decref(request);
    return status;
}
