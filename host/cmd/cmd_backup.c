/* `derd backup` and `derd restore`: the host's memory as one file, and back. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/backup.h"
#include "base/luadata.h"
#include "cmd/client.h"
#include "cmd/commands.h"

#define EXIT_WRONG         1
#define EXIT_USAGE         2
#define PASSPHRASE_MAXIMUM 1024
#define PASSPHRASE_LEAST   12

static const char backup_help[] =
    "usage: derd backup FILE (--site SITE | --store DIR) [--passphrase-file P]\n\n"
    "Writes all that the host remembers to FILE: constraints, accounts, tokens and passwords (as\n"
    "hashes), clusters, devices and scripts of the API, webhooks, history. The host may run: each\n"
    "database is copied as it is at one moment (of history the last 5 seconds may be missing). "
    "FILE must\n"
    "not be there yet; it can be read by its owner alone, and looked into with tar.\n\n"
    "In clear no secret of the host's own is in it: webhooks come back disabled, and say that "
    "they\n"
    "need a new secret (their URLs are in it whole). Sealed with a passphrase they go on as they\n"
    "were. The site file, and the files that it names (passwords of devices), are not part of a\n"
    "backup.\n\n"
    "  --site SITE            the site file that names the store\n"
    "  --store DIR            the folder of the store\n"
    "  --passphrase-file P    seal it with the first line of P (at least 12 characters)\n";

static const char restore_help[] =
    "usage: derd restore FILE (--site SITE | --store DIR) [--passphrase-file P]\n\n"
    "Puts what `derd backup` wrote into the store, in place of what is there; that is kept beside\n"
    "it as before-restore-TIME. The host must not run. FILE is checked whole before anything is\n"
    "changed; one of a newer derd is refused, one of an older is brought up to date at the next\n"
    "start. A token or password that was taken back since is good again: take it back once more.\n"
    "Run it as the user that runs derd, or as root.\n\n"
    "  --site SITE            the site file that names the store\n"
    "  --store DIR            the folder of the store\n"
    "  --passphrase-file P    of a sealed backup\n";

struct options {
    const char *file, *site, *store, *passphrase_file;
    bool help;
};

static bool options_read(struct options *options, const char *command, int argc, char **argv) {
    static const struct option known[] = {{"site", required_argument, NULL, 'f'},
                                          {"store", required_argument, NULL, 's'},
                                          {"passphrase-file", required_argument, NULL, 'p'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    *options = (struct options){0};
    optind = 0; /* glibc: begin anew, words and options in any order */
    for (int got; (got = getopt_long(argc, argv, "h", known, NULL)) != -1;)
        switch (got) {
        case 'f':
            options->site = optarg;
            break;
        case 's':
            options->store = optarg;
            break;
        case 'p':
            options->passphrase_file = optarg;
            break;
        case 'h':
            options->help = true;
            return true;
        default:
            return false;
        }
    options->file = optind < argc ? argv[optind] : NULL;
    if (optind + 1 == argc && (options->site != NULL) != (options->store != NULL))
        return true;
    fprintf(stderr,
            "derd %s: expected one FILE, and one of --site SITE and --store DIR; `derd %s --help` "
            "says more\n",
            command, command);
    return false;
}

static void mistakes_print(const char *command, const struct report *report) {
    for (size_t i = 0; i < report->count; i++)
        fprintf(stderr, "derd %s: %s: %s\n", command, report->items[i].where,
                report->items[i].text);
}

/* The first line of the file, on the heap; NULL with a mistake. */
static char *passphrase_read(const char *path, struct report *report) {
    size_t length;
    char *text = file_read(path, PASSPHRASE_MAXIMUM, &length, report);
    if (!text)
        return NULL;
    text[strcspn(text, "\r\n")] = '\0';
    if (strlen(text) >= PASSPHRASE_LEAST)
        return text;
    report_add(report, path, "its first line must have at least %d characters", PASSPHRASE_LEAST);
    free(text);
    return NULL;
}

static const char *plural(int count) {
    return count == 1 ? "" : "s";
}

static enum err backup_act(const struct options *options, const char *directory,
                           const char *passphrase, struct report *report) {
    struct backup_facts facts;
    enum err result = backup_make(directory, options->file, passphrase, &facts, report);
    if (result != ERR_OK)
        return result;
    fprintf(stderr, "%s: %d file%s, %lld bytes%s\n", options->file, facts.files,
            plural(facts.files), (long long)facts.bytes, facts.sealed ? ", sealed" : "");
    if (facts.webhooks > 0)
        fprintf(stderr,
                "the secret%s of %d webhook%s left out: restored they are disabled until they get "
                "new ones; a backup with --passphrase-file has all\n",
                plural(facts.webhooks), facts.webhooks, facts.webhooks == 1 ? " is" : "s are");
    return result;
}

static enum err restore_act(const struct options *options, const char *directory,
                            const char *passphrase, struct report *report) {
    struct backup_facts facts;
    char kept[BACKUP_KEPT_SIZE];
    int fd = open(options->file, O_RDONLY | O_CLOEXEC); /* maybe only root can */
    if (fd < 0) {
        report_add(report, options->file, "it cannot be opened: %s", strerror(errno));
        return ERR_IO;
    }
    enum err result = client_become_owner("restore", directory) ? ERR_OK : ERR_REFUSED;
    if (result == ERR_OK)
        result = backup_restore(directory, fd, options->file, passphrase, &facts, kept, report);
    close(fd);
    if (result != ERR_OK)
        return result;
    fprintf(stderr, "%s is restored from %s: %d file%s, %lld bytes\n", directory, options->file,
            facts.files, plural(facts.files), (long long)facts.bytes);
    if (kept[0])
        fprintf(stderr, "what was there is kept in %s/%s\n", directory, kept);
    if (facts.webhooks > 0)
        fprintf(stderr, "%d webhook%s disabled: " BACKUP_REASON "\n", facts.webhooks,
                facts.webhooks == 1 ? " is" : "s are");
    return result;
}

typedef enum err act(const struct options *options, const char *directory, const char *passphrase,
                     struct report *report);

static int run(const char *command, const char *help, act *act_on, int argc, char **argv) {
    struct options options;
    struct report report;
    if (!options_read(&options, command, argc, argv))
        return EXIT_USAGE;
    if (options.help) {
        fputs(help, stdout);
        return 0;
    }
    report_init(&report);
    char *passphrase =
        options.passphrase_file ? passphrase_read(options.passphrase_file, &report) : NULL;
    char *directory = options.store ? strdup(options.store) : client_site_directory(options.site);
    enum err result = directory && report_empty(&report)
                          ? act_on(&options, directory, passphrase, &report)
                          : ERR_FORMAT;
    mistakes_print(command, &report);
    report_free(&report);
    free(directory);
    free(passphrase);
    return result == ERR_OK ? 0 : EXIT_WRONG;
}

int cmd_backup(int argc, char **argv) {
    return run("backup", backup_help, backup_act, argc, argv);
}

int cmd_restore(int argc, char **argv) {
    return run("restore", restore_help, restore_act, argc, argv);
}
