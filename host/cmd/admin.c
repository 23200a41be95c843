/* The administration socket: clients, their lines and their time. What they ask for is in
 * admin_commands.c.
 *
 * A client goes reading -> (a worker answers) -> writing -> closed, once. Its memory lives until
 * both of its handles are closed and no worker has it. */
#include "cmd/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json_read.h"
#include "base/log.h"

struct admin {
    struct admin_host host;
    uv_pipe_t listener;
    bool pending; /* a connection waits to be accepted */
    bool closing, listener_closed;
    size_t client_count;
    struct client *clients;
};

struct client {
    struct admin *admin;
    struct client *next;
    uv_pipe_t pipe;
    uv_timer_t patience;
    int open_handles;
    bool closing, working;
    char chunk[4096];
    struct buf request_line;
    uv_work_t work;
    const struct admin_command *command;
    json_t *request;
    json_t *answer;
    uv_write_t write;
    char *answer_line;
};

static void admin_accept(struct admin *admin);

/* --- the end of a client --------------------------------------------------------------------- */

static void admin_free_when_empty(struct admin *admin) {
    if (admin->closing && admin->listener_closed && admin->client_count == 0)
        free(admin);
}

static void client_free_when_idle(struct client *client) {
    struct admin *admin = client->admin;
    if (client->open_handles > 0 || client->working)
        return;
    struct client **at = &admin->clients;
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    admin->client_count--;
    buf_free(&client->request_line);
    json_decref(client->request);
    json_decref(client->answer);
    free(client->answer_line);
    free(client);
    if (admin->closing)
        admin_free_when_empty(admin);
    else
        admin_accept(admin);
}

static void on_handle_closed(uv_handle_t *handle) {
    struct client *client = handle->data;
    client->open_handles--;
    client_free_when_idle(client);
}

static void client_close(struct client *client) {
    if (client->closing)
        return;
    client->closing = true;
    uv_close((uv_handle_t *)&client->pipe, on_handle_closed);
    uv_close((uv_handle_t *)&client->patience, on_handle_closed);
}

static void on_patience_end(uv_timer_t *timer) {
    client_close(timer->data);
}

/* --- writing --------------------------------------------------------------------------------- */

static void on_written(uv_write_t *write, int status) {
    (void)status;
    client_close(write->data);
}

static void client_write(struct client *client) {
    if (client->closing)
        return;
    size_t length = 0;
    char *line = client->answer ? json_dumps(client->answer, JSON_COMPACT) : NULL;
    if (line)
        length = strlen(line);
    client->answer_line = line ? realloc(line, length + 2) : NULL;
    if (!client->answer_line) {
        free(line);
        log_error("admin", "there is no memory for an answer");
        client_close(client);
        return;
    }
    client->answer_line[length] = '\n';
    client->answer_line[length + 1] = '\0';
    uv_buf_t data = uv_buf_init(client->answer_line, (unsigned)length + 1);
    client->write.data = client;
    uv_timer_start(&client->patience, on_patience_end, ADMIN_PATIENCE_MS, 0);
    if (uv_write(&client->write, (uv_stream_t *)&client->pipe, &data, 1, on_written) != 0)
        client_close(client);
}

/* --- working --------------------------------------------------------------------------------- */

static void work_run(uv_work_t *work) { /* on a worker */
    struct client *client = work->data;
    client->answer = client->command->answer(&client->admin->host, client->request);
}

static void on_work_done(uv_work_t *work, int status) {
    struct client *client = work->data;
    (void)status;
    client->working = false;
    if (client->closing)
        client_free_when_idle(client);
    else
        client_write(client);
}

static void client_work(struct client *client) {
    const struct admin_host *host = &client->admin->host;
    json_error_t error;
    client->request = json_read(client->request_line.data, client->request_line.length,
                                JSON_REJECT_DUPLICATES, &error);
    if (client->request)
        client->command = admin_command_find(client->request, &client->answer);
    else
        client->answer = admin_refusal(ERR_FORMAT, "the line is not JSON: %s", error.text);
    if (client->command && client->command->blocks) {
        client->work.data = client;
        client->working = true;
        if (uv_queue_work(client->pipe.loop, &client->work, work_run, on_work_done) == 0)
            return;
        client->working = false;
        client->answer = admin_refusal(ERR_IO, "there is no worker to do it");
    } else if (client->command) {
        client->answer = client->command->answer(host, client->request);
    }
    client_write(client);
}

/* --- reading --------------------------------------------------------------------------------- */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room) {
    struct client *client = handle->data;
    (void)suggested;
    *room = uv_buf_init(client->chunk, sizeof client->chunk);
}

static void client_read_end(struct client *client) {
    uv_read_stop((uv_stream_t *)&client->pipe);
    uv_timer_stop(&client->patience);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *room) {
    struct client *client = stream->data;
    if (count < 0) {
        client_close(client);
        return;
    }
    const char *end = memchr(room->base, '\n', (size_t)count);
    size_t length = end ? (size_t)(end - room->base) : (size_t)count;
    buf_append(&client->request_line, room->base, length);
    if (client->request_line.failed) {
        client_read_end(client);
        client->answer = admin_refusal(ERR_LIMIT, "a request has at most %d bytes on one line",
                                       ADMIN_REQUEST_MAXIMUM);
        client_write(client);
    } else if (end) {
        client_read_end(client);
        client_work(client);
    }
}

/* --- listening ------------------------------------------------------------------------------- */

/* Takes the waiting connection when there is room; libuv keeps further ones in the backlog until
 * this one is accepted. */
static void admin_accept(struct admin *admin) {
    if (!admin->pending || admin->client_count >= ADMIN_CLIENTS_MAXIMUM)
        return;
    struct client *client = calloc(1, sizeof *client);
    if (!client) {
        log_error("admin", "there is no memory for a client");
        return;
    }
    admin->pending = false;
    client->admin = admin;
    client->next = admin->clients;
    admin->clients = client;
    admin->client_count++;
    buf_init(&client->request_line, ADMIN_REQUEST_MAXIMUM);
    uv_pipe_init(admin->listener.loop, &client->pipe, 0);
    uv_timer_init(admin->listener.loop, &client->patience);
    client->open_handles = 2;
    client->pipe.data = client;
    client->patience.data = client;
    if (uv_accept((uv_stream_t *)&admin->listener, (uv_stream_t *)&client->pipe) != 0 ||
        uv_read_start((uv_stream_t *)&client->pipe, on_room, on_read) != 0) {
        client_close(client);
        return;
    }
    uv_timer_start(&client->patience, on_patience_end, ADMIN_PATIENCE_MS, 0);
}

static void on_connection(uv_stream_t *listener, int status) {
    struct admin *admin = listener->data;
    if (status != 0) {
        log_warning("admin", "a connection failed: %s", uv_strerror(status));
        return;
    }
    admin->pending = true;
    admin_accept(admin);
}

static void on_listener_closed(uv_handle_t *handle) {
    struct admin *admin = handle->data;
    admin->listener_closed = true;
    admin_free_when_empty(admin);
}

/* A socket that was left by a host that is gone. Anything else of that name is not ours to remove.
 */
static enum err stale_remove(const char *path, struct report *report) {
    struct stat status;
    if (lstat(path, &status) != 0)
        return ERR_OK;
    if (!S_ISSOCK(status.st_mode)) {
        report_add(report, path,
                   "the administration socket is to be made here, but there is something else; "
                   "move it away");
        return ERR_CONFLICT;
    }
    if (unlink(path) != 0) {
        report_add(report, path, "the socket of an earlier host could not be removed: %s",
                   strerror(errno));
        return ERR_IO;
    }
    return ERR_OK;
}

static enum err listener_start(struct admin *admin, const char *path, struct report *report) {
    uv_pipe_t *listener = &admin->listener;
    int code = uv_pipe_bind(listener, path);
    /* Nobody can connect before it listens, so no moment is open to others. */
    if (code == 0 && chmod(path, 0600) != 0)
        code = uv_translate_sys_error(errno);
    if (code == 0)
        code = uv_listen((uv_stream_t *)listener, ADMIN_CLIENTS_MAXIMUM, on_connection);
    if (code == 0)
        return ERR_OK;
    report_add(report, path, "the administration socket could not be made: %s", uv_strerror(code));
    return ERR_IO;
}

enum err admin_open(struct admin **out, uv_loop_t *loop, const char *directory, struct store *store,
                    admin_status *status, void *context, struct report *report) {
    enum err result = ERR_MEMORY;
    struct buf path;
    *out = NULL;
    buf_init(&path, sizeof((struct sockaddr_un *)NULL)->sun_path - 1);
    buf_format(&path, "%s/" ADMIN_SOCKET_NAME, directory);
    struct admin *admin = calloc(1, sizeof *admin);
    if (!admin)
        goto out;
    if (path.failed) {
        report_add(report, directory,
                   "the name of the folder is too long for a socket in it (%zu bytes at most with "
                   "/" ADMIN_SOCKET_NAME "); choose a shorter store.directory in the site file",
                   path.maximum);
        result = ERR_LIMIT;
        goto out;
    }
    result = stale_remove(buf_string(&path), report);
    if (result != ERR_OK)
        goto out;
    admin->host = (struct admin_host){store, status, context};
    uv_pipe_init(loop, &admin->listener, 0);
    admin->listener.data = admin;
    result = listener_start(admin, buf_string(&path), report);
    if (result == ERR_OK)
        *out = admin;
    else
        admin_close(admin);
    admin = NULL;
out:
    free(admin);
    buf_free(&path);
    return result;
}

void admin_close(struct admin *admin) {
    if (!admin)
        return;
    admin->closing = true;
    uv_close((uv_handle_t *)&admin->listener, on_listener_closed); /* removes the socket */
    for (struct client *client = admin->clients; client; client = client->next)
        client_close(client);
}
