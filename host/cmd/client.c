#include "cmd/client.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json_read.h"
#include "base/luadata.h"
#include "cmd/admin.h"
#include "store/store.h"

#define PATH_MAXIMUM      4096
#define SITE_MAXIMUM      1048576
#define ANSWER_PATIENCE_S 30 /* for each read: longer than the host's own limits */

/* --- where the store is ---------------------------------------------------------------------- */

static void report_print(const struct report *report) {
    for (size_t i = 0; i < report->count; i++)
        fprintf(stderr, "%s: %s\n", report->items[i].where, report->items[i].text);
}

char *client_site_directory(const char *site) {
    struct report report;
    struct buf path;
    size_t length;
    report_init(&report);
    buf_init(&path, PATH_MAXIMUM);
    json_t *tree = NULL;
    char *text = file_read(site, SITE_MAXIMUM, &length, &report);
    if (text)
        tree = luadata_load(site, text, length, &report);
    const char *directory =
        json_string_value(json_object_get(json_object_get(tree, "store"), "directory"));
    if (tree && !directory)
        report_add(&report, site,
                   "it has no store.directory, as in store = { directory = \"/var/lib/derd\" }; "
                   "add it, or name the folder with --store");
    if (directory && directory[0] != '/') {
        char *copy = strdup(site);
        if (copy)
            buf_format(&path, "%s/", dirname(copy));
        free(copy);
    }
    buf_text(&path, directory ? directory : "");
    report_print(&report);
    report_free(&report);
    json_decref(tree);
    free(text);
    if (directory)
        return buf_take(&path);
    buf_free(&path);
    return NULL;
}

json_t *client_site_clusters(const char *site) {
    struct report report;
    size_t length;
    size_t i;
    json_t *cluster;
    json_t *keys = json_array();
    report_init(&report);
    char *text = file_read(site, SITE_MAXIMUM, &length, &report);
    json_t *tree = text ? luadata_load(site, text, length, &report) : NULL;
    json_array_foreach(json_object_get(tree, "clusters"), i, cluster) {
        json_t *key = json_object_get(cluster, "key");
        if (json_is_string(key))
            json_array_append(keys, key);
    }
    json_decref(tree);
    free(text);
    report_free(&report);
    return keys;
}

/* --- through the host ------------------------------------------------------------------------ */

enum host_reach { HOST_ABSENT, HOST_ANSWERED, HOST_FAILED };

/* A connected socket, or -1 with errno. */
static int host_connect(const char *directory) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = ANSWER_PATIENCE_S};
    int length =
        snprintf(address.sun_path, sizeof address.sun_path, "%s/" ADMIN_SOCKET_NAME, directory);
    if (length < 0 || (size_t)length >= sizeof address.sun_path) {
        errno = ENOENT; /* the host could not listen there either */
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static bool send_all(int fd, const char *data, size_t length) {
    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        data += sent;
        length -= (size_t)sent;
    }
    return true;
}

/* Reads up to the end of the stream. NULL without a whole answer. */
static json_t *answer_receive(int fd) {
    struct buf line;
    buf_init(&line, ADMIN_ANSWER_MAXIMUM);
    ssize_t count;
    do {
        char chunk[4096];
        count = recv(fd, chunk, sizeof chunk, 0);
        if (count > 0)
            buf_append(&line, chunk, (size_t)count);
    } while ((count > 0 && !line.failed) || (count < 0 && errno == EINTR));
    json_t *answer = line.failed ? NULL : json_read_text(buf_string(&line), 0, NULL);
    buf_free(&line);
    return answer;
}

static enum host_reach host_ask(const char *command, const char *directory, const json_t *request,
                                json_t **answer) {
    int fd = host_connect(directory);
    if (fd < 0 && (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR))
        return HOST_ABSENT;
    if (fd < 0) {
        fprintf(stderr,
                "derd %s: the running host could not be reached at %s/" ADMIN_SOCKET_NAME
                ": %s; run this as the user that runs derd\n",
                command, directory, strerror(errno));
        return HOST_FAILED;
    }
    char *line = json_dumps(request, JSON_COMPACT);
    if (line && send_all(fd, line, strlen(line)) && send_all(fd, "\n", 1))
        *answer = answer_receive(fd);
    free(line);
    close(fd);
    if (*answer)
        return HOST_ANSWERED;
    fprintf(stderr,
            "derd %s: the running host gave no answer; `derd %s list` shows whether it was done\n",
            command, command);
    return HOST_FAILED;
}

/* --- on the store itself --------------------------------------------------------------------- */

/* Files that the superuser would make could not be opened by the host. */
static bool become_owner(const char *command, const char *directory) {
    struct stat status;
    if (geteuid() != 0 || stat(directory, &status) != 0 || status.st_uid == 0)
        return true;
    if (setgroups(0, NULL) == 0 && setresgid(status.st_gid, status.st_gid, status.st_gid) == 0 &&
        setresuid(status.st_uid, status.st_uid, status.st_uid) == 0)
        return true;
    fprintf(stderr, "derd %s: could not become the user that %s belongs to: %s\n", command,
            directory, strerror(errno));
    return false;
}

static bool store_exists(const char *directory) {
    struct buf path;
    buf_init(&path, PATH_MAXIMUM);
    buf_format(&path, "%s/derd.db", directory);
    bool exists = !path.failed && access(buf_string(&path), F_OK) == 0;
    buf_free(&path);
    return exists;
}

/* NULL with a text on standard error. */
static json_t *store_ask(const char *command, const char *directory, const json_t *request) {
    struct store *store;
    struct report report;
    json_t *answer = NULL;
    if (!become_owner(command, directory))
        return NULL;
    report_init(&report);
    enum err result = store_open(&store, directory, &report);
    report_print(&report);
    report_free(&report);
    if (result != ERR_OK)
        return NULL;
    const struct admin_host host = {.store = store};
    const struct admin_command *found = admin_command_find(request, &answer);
    if (found)
        answer = found->answer(&host, request);
    store_close(store);
    return answer;
}

json_t *client_ask(const char *command, const char *directory, const json_t *request,
                   bool makes_store) {
    json_t *answer = NULL;
    enum host_reach reach = host_ask(command, directory, request, &answer);
    if (reach == HOST_ABSENT && !makes_store && !store_exists(directory))
        fprintf(stderr, "derd %s: there is no store in %s; `derd token create` makes one\n",
                command, directory);
    else if (reach == HOST_ABSENT)
        answer = store_ask(command, directory, request);
    return answer;
}

json_t *client_ask_host(const char *command, const char *directory, const json_t *request) {
    json_t *answer = NULL;
    if (host_ask(command, directory, request, &answer) == HOST_ABSENT)
        fprintf(stderr, "derd %s: no host runs on %s\n", command, directory);
    return answer;
}

bool client_become_owner(const char *command, const char *directory) {
    return become_owner(command, directory);
}
