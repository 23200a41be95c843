#include "cmd/cmd_password.h"

#include <getopt.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/client.h"
#include "cmd/secret_read.h"
#include "cmd/token_rights.h"
#include "store/password.h"
#include "store/store.h"

#define EXIT_WRONG 1
#define EXIT_USAGE 2

static const char help_text[] =
    "People log in on the page with the name of an account and its password.\n"
    "\n"
    "  derd password set [--account ACCOUNT] [--scopes SCOPES] [--max-priority N] WHERE\n"
    "  derd password remove [--account ACCOUNT] WHERE\n"
    "  derd password list WHERE\n"
    "\n"
    "WHERE is one of\n"
    "  --store DIR    the folder of the store\n"
    "  --site FILE    the site file that names it (store.directory)\n"
    "\n"
    "  --account ACCOUNT     whose; default: owner\n"
    "  --scopes SCOPES       what who logs in may do, as `derd token --help` has it; default:\n"
    "                        read,control\n"
    "  --max-priority N      the highest priority it may give, 0 to 2147483647; default 1999,\n"
    "                        people at the site\n"
    "\n"
    "set asks for the password, at least 10 characters, twice, and does not show it; where "
    "standard\n"
    "input is no terminal it is the one line there. It never stands on the command line. Setting "
    "one\n"
    "anew, or removing it, ends the logins that were made with it. Only a hash is kept "
    "(argon2id).\n"
    "\n"
    "Examples:\n"
    "  derd password set --site site.lua\n"
    "  derd password set --site site.lua --scopes all < /run/secrets/derd\n"
    "\n"
    "A host that runs takes changes at once. Exit status: 0 done, 1 something is wrong, 2 used\n"
    "wrongly.\n";

struct options {
    const char *action; /* "" when there is none */
    const char *account;
    struct token_rights rights; /* of set; expires and clusters are not given */
    const char *store, *site;
    bool help;
};

static bool usage_wrong(const char *text, const char *what) {
    fprintf(stderr, "derd password: %s%s; `derd password --help` says how\n", text, what);
    return false;
}

static bool options_fit(const struct options *options, int word_count) {
    const char *action = options->action;
    bool set = strcmp(action, "set") == 0;
    bool list = strcmp(action, "list") == 0;
    if (!set && !list && strcmp(action, "remove") != 0)
        return usage_wrong("expected set, remove or list, not ", action[0] ? action : "nothing");
    if (!set && token_rights_given(&options->rights))
        return usage_wrong("--scopes and --max-priority belong to set, not to ", action);
    if (list && options->account)
        return usage_wrong("list shows all accounts that have a password", "");
    if (word_count > 1)
        return usage_wrong("too many words; a password never stands on the command line", "");
    if ((options->store != NULL) == (options->site != NULL))
        return usage_wrong("expected one of --store DIR and --site FILE", "");
    return true;
}

static bool options_read(struct options *options, int argc, char **argv) {
    static const struct option known[] = {
        {"account", required_argument, NULL, 'a'},
        {"max-priority", required_argument, NULL, 'p'},
        {"scopes", required_argument, NULL, 'c'},
        {"store", required_argument, NULL, 's'},
        {"site", required_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    *options = (struct options){0};
    optind = 0; /* glibc: begin anew, words and options in any order */
    while ((option = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        switch (option) {
        case 'a':
            options->account = optarg;
            break;
        case 'p':
            options->rights.priority = optarg;
            break;
        case 'c':
            options->rights.scopes = optarg;
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
    return options_fit(options, argc - optind);
}

/* --- asking for it ---------------------------------------------------------------------------- */

static const char *trouble_of(enum err err) {
    switch (err) {
    case ERR_CONFLICT:
        return "the two are not alike; nothing was changed";
    case ERR_FORMAT:
        return "expected the password alone, on one line of standard input";
    case ERR_LIMIT:
        return "a password has at most 256 bytes";
    default:
        return "no password came on standard input";
    }
}

/* Into the request; false with a text on standard error. The host looks once more. */
static bool password_add(json_t *request, const char *account) {
    char text[PASSWORD_MAXIMUM + 2];
    char prompt[ACCOUNT_KEY_SIZE + 40];
    char why[240];
    snprintf(prompt, sizeof prompt, "Password for %.64s: ", account);
    enum err err = secret_read(prompt, text, sizeof text);
    if (err != ERR_OK)
        snprintf(why, sizeof why, "%s", trouble_of(err));
    bool fine = err == ERR_OK && password_fits(text, account, why, sizeof why);
    if (fine && json_object_set_new(request, "password", json_string(text)) != 0) {
        snprintf(why, sizeof why, "a password is UTF-8 text");
        fine = false;
    }
    if (!fine)
        fprintf(stderr, "derd password: %s\n", why);
    sodium_memzero(text, sizeof text);
    return fine;
}

/* NULL with a text on standard error; *status is then that of the program. */
static json_t *request_make(const struct options *options, int *status) {
    char command[32];
    char wrong[200];
    const char *account = options->account ? options->account : ACCOUNT_ROOT;
    snprintf(command, sizeof command, "password %s", options->action);
    json_t *request = json_pack("{s:s}", "command", command);
    bool list = strcmp(options->action, "list") == 0;
    *status = EXIT_USAGE;
    if (!list && json_object_set_new(request, "account", json_string(account)) != 0) {
        usage_wrong("the name of an account is UTF-8 text", "");
    } else if (strcmp(options->action, "set") != 0) {
        return request;
    } else if (!token_rights_add(&options->rights, request, wrong, sizeof wrong)) {
        usage_wrong(wrong, "");
    } else {
        *status = EXIT_WRONG;
        if (password_add(request, account))
            return request;
    }
    json_decref(request);
    return NULL;
}

/* --- what is shown ---------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* "read, control" */
static void scopes_print(FILE *to, const json_t *scopes) {
    size_t i;
    const json_t *scope;
    json_array_foreach(scopes, i, scope)
        fprintf(to, "%s%s", i ? "," : "", json_string_value(scope));
}

static void list_print(const json_t *passwords) {
    size_t i;
    const json_t *password;
    if (json_array_size(passwords) == 0)
        fputs("no account has a password; `derd password set` sets one\n", stderr);
    else
        printf("%-24s  %12s  %-24s  %s\n", "ACCOUNT", "MAX PRIORITY", "SET", "SCOPES");
    json_array_foreach(passwords, i, password) {
        printf("%-24s  %12" JSON_INTEGER_FORMAT "  %-24s  ", text_of(password, "account"),
               json_integer_value(json_object_get(password, "maxPriority")),
               text_of(password, "setAt"));
        scopes_print(stdout, json_object_get(password, "scopes"));
        putchar('\n');
    }
}

static int answer_print(const char *action, const json_t *answer) {
    if (!json_is_true(json_object_get(answer, "ok"))) {
        fprintf(stderr, "derd password: %s\n", text_of(answer, "error"));
        return EXIT_WRONG;
    }
    if (strcmp(action, "list") == 0) {
        list_print(json_object_get(answer, "passwords"));
        return fflush(stdout) == 0 ? 0 : EXIT_WRONG;
    }
    if (strcmp(action, "remove") == 0) {
        fprintf(stderr, "the account %s has no password any more\n", text_of(answer, "account"));
        return 0;
    }
    fprintf(stderr, "The password of the account %s is set, for ", text_of(answer, "account"));
    scopes_print(stderr, json_object_get(answer, "scopes"));
    fprintf(stderr, " and priorities up to %" JSON_INTEGER_FORMAT ".\n",
            json_integer_value(json_object_get(answer, "maxPriority")));
    return 0;
}

int cmd_password(int argc, char **argv) {
    struct options options;
    int status = EXIT_WRONG;
    if (!options_read(&options, argc, argv))
        return EXIT_USAGE;
    if (options.help) {
        fputs(help_text, stdout);
        return 0;
    }
    json_t *request = request_make(&options, &status);
    if (!request)
        return status;
    char *directory = options.store ? strdup(options.store) : client_site_directory(options.site);
    json_t *answer =
        directory ? client_ask("password", directory, request, strcmp(options.action, "set") == 0)
                  : NULL;
    status = answer ? answer_print(options.action, answer) : EXIT_WRONG;
    json_decref(answer);
    free(directory);
    json_decref(request);
    return status;
}
