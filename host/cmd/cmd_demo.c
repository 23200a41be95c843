/* `derd demo`: a simulated home and the host on it, in a folder of its own that goes when it ends.
 * Two children of this program: `derd simulate` on the shipped home, `derd serve` on the shipped
 * site with the ports that are free here. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/luadata.h"
#include "cmd/commands.h"
#include "cmd/paths.h"
#include "store/store.h"
#include "store/store_audit.h"

#define FIRST_HTTP_PORT   8080
#define HTTP_PORTS        100
#define SITE_HTTP_PORT    "8080" /* as the shipped site file says it */
#define LISTENERS         3
#define TOKEN_NAME        "demo"
#define DEMO_MAX_PRIORITY 3999

static const char help[] =
    "usage: derd demo [--port PORT] [--keep FOLDER] [--verbose]\n\n"
    "Starts a simulated home (grid meter, PV, battery, charging station with a car) and the host "
    "on\n"
    "it, prints the page's URL and a token. Ctrl-C stops all.\n\n"
    "  --port PORT    of the page and API, default the first free one from 8080\n"
    "  --keep FOLDER  keep site file and database there instead of a temporary folder\n"
    "  --verbose      show what the host logs\n";

struct demo {
    char program[512];
    char shared[512];
    char folder[256];
    const char *log_level; /* of the host */
    bool keep;
    int http_port;
    int modbus_ports[LISTENERS]; /* of the simulator, in the order of the home's listeners */
    pid_t simulator, host;
};

static bool port_free(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    bool free_port = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        close(fd);
    return free_port;
}

static bool choose_http_port(struct demo *demo) {
    for (int i = 0; !demo->http_port && i < HTTP_PORTS; i++)
        if (port_free(FIRST_HTTP_PORT + i))
            demo->http_port = FIRST_HTTP_PORT + i;
    return demo->http_port != 0;
}

static bool write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    bool ok = file && fputs(text, file) >= 0;
    if (file && fclose(file) != 0)
        ok = false;
    return ok;
}

/* Ports as the shipped home and site say them. */
static const char *const shipped_ports[LISTENERS] = {"15020", "15021", "15022"};

struct replacement {
    const char *from;
    char to[16];
};

/* Copies a file with every `from` replaced. */
static bool copy_replaced(const char *from_path, const char *to_path,
                          const struct replacement *replacements, size_t count) {
    struct report report;
    report_init(&report);
    size_t length;
    char *text = file_read(from_path, 1 << 20, &length, &report);
    for (size_t i = 0; i < report.count; i++)
        fprintf(stderr, "derd demo: %s: %s\n", from_path, report.items[i].text);
    report_free(&report);
    struct buf out;
    buf_init(&out, 2 << 20);
    for (const char *at = text; at && *at;) {
        size_t i = 0;
        while (i < count && strncmp(at, replacements[i].from, strlen(replacements[i].from)) != 0)
            i++;
        if (i < count) {
            buf_text(&out, replacements[i].to);
            at += strlen(replacements[i].from);
        } else {
            buf_char(&out, *at++);
        }
    }
    bool ok = text && !out.failed && write_file(to_path, buf_string(&out));
    buf_free(&out);
    free(text);
    return ok;
}

static pid_t start(struct demo *demo, const char *command, const char *flag, const char *file,
                   int output) {
    pid_t child = fork();
    if (child != 0)
        return child;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    setpgid(0, 0); /* Ctrl-C goes to the demo alone, which ends both in order */
    if (output >= 0)
        dup2(output, STDOUT_FILENO);
    int nothing = open("/dev/null", O_RDONLY); /* the terminal's input is the demo's */
    if (nothing >= 0)
        dup2(nothing, STDIN_FILENO);
    if (flag)
        execl(demo->program, demo->program, command, flag, file, "--log-level", demo->log_level,
              (char *)NULL);
    else
        execl(demo->program, demo->program, command, file, (char *)NULL);
    _exit(127);
}

static void stop_child(pid_t child) {
    if (child <= 0)
        return;
    kill(child, SIGTERM);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* `fixed`: on the shipped ports, else on any free ones. */
static bool write_home(struct demo *demo, const char *path, bool fixed) {
    char home[600];
    struct replacement ports[LISTENERS];
    for (int i = 0; i < LISTENERS; i++) {
        ports[i].from = shipped_ports[i];
        snprintf(ports[i].to, sizeof ports[i].to, "%s", fixed ? shipped_ports[i] : "0");
    }
    snprintf(home, sizeof home, "%s/scripts/demo/home.lua", demo->shared);
    return copy_replaced(home, path, ports, LISTENERS);
}

/* Starts the simulator and waits for its "ready"; takes the ports that it tells. */
static bool start_simulator(struct demo *demo, bool fixed) {
    char path[600], line[256];
    int ends[2];
    snprintf(path, sizeof path, "%s/home.lua", demo->folder);
    if (!write_home(demo, path, fixed) || pipe2(ends, O_CLOEXEC))
        return false;
    demo->simulator = start(demo, "simulate", NULL, path, ends[1]);
    close(ends[1]);
    FILE *output = fdopen(ends[0], "r");
    bool ready = false;
    int listeners = 0;
    while (output && !ready && fgets(line, sizeof line, output)) {
        const char *colon = strrchr(line, ':');
        if (strncmp(line, "listening", 9) == 0 && colon && listeners < LISTENERS)
            demo->modbus_ports[listeners++] = (int)strtol(colon + 1, NULL, 10);
        ready = strncmp(line, "ready", 5) == 0;
    }
    if (output)
        fclose(output);
    if (ready && listeners == LISTENERS)
        return true;
    stop_child(demo->simulator);
    demo->simulator = 0;
    return false;
}

/* On the ports of the shipped home, so that other programs find it there, where they are free. */
static bool start_home(struct demo *demo) {
    bool fixed = true;
    for (int i = 0; i < LISTENERS; i++)
        fixed = fixed && port_free((int)strtol(shipped_ports[i], NULL, 10));
    /* Another may take them between the question and the start. */
    return (fixed && start_simulator(demo, true)) || start_simulator(demo, false);
}

/* The text of a token is not kept: a folder that served before gets a new one of the same name. */
static enum err revoke_token(struct store *store) {
    struct token *tokens = NULL;
    size_t count = 0;
    struct audit_origin origin;
    audit_origin_console(&origin, "derd demo");
    enum err result = store_token_list(store, &tokens, &count);
    for (size_t i = 0; result == ERR_OK && i < count; i++)
        if (strcmp(tokens[i].name, TOKEN_NAME) == 0)
            result = store_token_revoke(store, tokens[i].id,
                                        audit_record_token(&origin, &tokens[i], NULL, NULL));
    free(tokens);
    return result;
}

static bool make_token(struct demo *demo, char token[TOKEN_TEXT_SIZE]) {
    struct report report;
    report_init(&report);
    struct store *store = NULL;
    char directory[300];
    snprintf(directory, sizeof directory, "%s/state", demo->folder);
    struct audit_origin origin;
    audit_origin_console(&origin, "derd demo");
    struct token wanted = {.max_priority = DEMO_MAX_PRIORITY, .scopes = TOKEN_SCOPES_ALL};
    bool ok = store_open(&store, directory, &report) == ERR_OK && revoke_token(store) == ERR_OK &&
              store_token_create(store, TOKEN_NAME, ACCOUNT_ROOT, &wanted, token,
                                 audit_record_token(&origin, NULL, &wanted, TOKEN_NAME)) == ERR_OK;
    if (store)
        store_close(store);
    for (size_t i = 0; i < report.count; i++)
        fprintf(stderr, "derd demo: %s: %s\n", report.items[i].where, report.items[i].text);
    report_free(&report);
    return ok;
}

static bool start_host(struct demo *demo) {
    char site[600], path[600];
    struct replacement ports[LISTENERS + 1] = {{.from = SITE_HTTP_PORT}};
    snprintf(ports[0].to, sizeof ports[0].to, "%d", demo->http_port);
    for (int i = 0; i < LISTENERS; i++) {
        ports[i + 1].from = shipped_ports[i];
        snprintf(ports[i + 1].to, sizeof ports[i + 1].to, "%d", demo->modbus_ports[i]);
    }
    snprintf(site, sizeof site, "%s/scripts/demo/site.lua", demo->shared);
    snprintf(path, sizeof path, "%s/site.lua", demo->folder);
    bool ok = copy_replaced(site, path, ports, LISTENERS + 1);
    demo->host = ok ? start(demo, "serve", "--site", path, -1) : -1;
    return demo->host > 0;
}

static void remove_folder(const char *path) {
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        char inner[600];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (unlink(inner) != 0)
            remove_folder(inner);
    }
    if (folder)
        closedir(folder);
    rmdir(path);
}

static bool prepare(struct demo *demo) {
    if (paths_program(demo->program, sizeof demo->program) != ERR_OK ||
        paths_shared(demo->shared, sizeof demo->shared) != ERR_OK) {
        fputs("derd demo: the shipped drivers/ and scripts/ are not where this program stands\n",
              stderr);
        return false;
    }
    if (demo->keep) {
        if (mkdir(demo->folder, 0700) != 0 && errno != EEXIST) {
            fprintf(stderr, "derd demo: %s cannot be made\n", demo->folder);
            return false;
        }
    } else {
        const char *base = getenv("TMPDIR");
        snprintf(demo->folder, sizeof demo->folder, "%.200s/derd-demo-XXXXXX",
                 base ? base : "/tmp");
        if (!mkdtemp(demo->folder)) {
            fprintf(stderr, "derd demo: no temporary folder can be made in %s\n",
                    base ? base : "/tmp");
            return false;
        }
    }
    if (!choose_http_port(demo)) {
        fputs("derd demo: no port from 8080 to 8179 is free; use --port\n", stderr);
        return false;
    }
    return true;
}

static int run(struct demo *demo) {
    char token[TOKEN_TEXT_SIZE];
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (!start_home(demo)) {
        fputs("derd demo: the simulated home did not start\n", stderr);
        return 1;
    }
    if (!make_token(demo, token) || !start_host(demo)) {
        fputs("derd demo: the host did not start\n", stderr);
        return 1;
    }
    printf("\n  page   http://127.0.0.1:%d/\n  token  %s\n\n"
           "  export DERD_URL=http://127.0.0.1:%d DERD_TOKEN=%s\n\n"
           "Give the token to the page, or to curl. Ctrl-C stops all.\n\n",
           demo->http_port, token, demo->http_port, token);
    fflush(stdout);
    for (;;) {
        int got = sigwaitinfo(&set, NULL);
        if (got == SIGINT || got == SIGTERM)
            return 0;
        for (pid_t ended; (ended = waitpid(-1, NULL, WNOHANG)) > 0;) {
            if (ended == demo->host) {
                demo->host = 0;
                fputs("derd demo: the host ended\n", stderr);
                return 1;
            }
            demo->simulator = 0;
            fputs("derd demo: the simulated home is gone; its devices are offline now\n", stderr);
        }
    }
}

static bool parse_port(const char *text, int *port) {
    char *end;
    long number = strtol(text, &end, 10);
    if (end == text || *end || number < 1 || number > 65535) {
        fprintf(stderr, "derd demo: --port must be a number from 1 to 65535, got %s\n", text);
        return false;
    }
    *port = (int)number;
    return true;
}

int cmd_demo(int argc, char **argv) {
    struct demo demo = {.log_level = "warning"};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--port") == 0 && i + 1 < argc) {
            if (!parse_port(argv[++i], &demo.http_port))
                return 2;
        } else if (strcmp(argv[i], "--keep") == 0 && i + 1 < argc) {
            snprintf(demo.folder, sizeof demo.folder, "%s", argv[++i]);
            demo.keep = true;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            demo.log_level = "info";
        } else {
            fputs(help, stderr);
            return 2;
        }
    }
    int status = prepare(&demo) ? run(&demo) : 1;
    stop_child(demo.host);
    stop_child(demo.simulator);
    if (!demo.keep && demo.folder[0])
        remove_folder(demo.folder);
    return status;
}
