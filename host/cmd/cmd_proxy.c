/* `derd proxy`: nginx in front of the host, for TLS. This file reads the site file and checks the
 * words; what is done with openssl and nginx is the script's that ships with the configuration. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "cmd/paths.h"
#include "io/url.h"
#include "site.h"

static const char help[] =
    "usage: derd proxy --site FILE --name HOST [OPTIONS]\n\n"
    "Sets nginx up in front of the host, for TLS: HTTPS on port 443, to derd on loopback. As root\n"
    "on Debian it installs nginx when it is missing. Once more with other words, it changes them;\n"
    "with the same, it renews a certificate that it made.\n\n"
    "  --site FILE         the site file; its http must name the proxy: proxies = { \"127.0.0.1\" "
    "}\n"
    "  --name HOST         the name, or address, by which clients reach this machine\n"
    "  --certificate FILE  PEM, with those between; --key FILE: its private key. Without both a\n"
    "                      CA of this machine is made and signs one; how to trust it is told\n"
    "  --listen [ADDRESS:]PORT   443 when left out\n"
    "  --folder DIR        make an nginx of its own there, for any user; the machine's is left "
    "alone\n"
    "  --help\n";

struct words {
    const char *site, *name, *certificate, *key, *listen, *folder;
};

static int wrong(const char *text) {
    fprintf(stderr, "derd proxy: %s; `derd proxy --help` says how\n", text);
    return 2;
}

/* "443", "127.0.0.1:8443", "[::1]:443". */
static bool listen_valid(const char *text) {
    struct url url;
    char with_host[96];
    bool port_only = strspn(text, "0123456789") == strlen(text);
    snprintf(with_host, sizeof with_host, "%s%s", port_only ? "0.0.0.0:" : "", text);
    return strlen(text) < 64 && !url_parse_host(with_host, &url) && url.port &&
           url.kind != URL_NAME;
}

/* What is wrong as a constant text, or NULL. */
static const char *words_wrong(const struct words *words) {
    struct url url;
    if (!words->site || !words->name)
        return "--site and --name are needed";
    if (url_parse_host(words->name, &url) || url.port || strchr(words->name, '['))
        return "--name is a name or an address, without a port";
    if ((words->certificate != NULL) != (words->key != NULL))
        return "--certificate and --key come together";
    if (words->listen && !listen_valid(words->listen))
        return "--listen is a port, or an address and a port like 127.0.0.1:8443";
    if (words->folder && !words->folder[0])
        return "--folder names a folder";
    return NULL;
}

/* Where the host listens, as the proxy sees it. False with a text when it would not be reached, or
 * would not believe the proxy. */
static bool upstream_of(const struct site *site, const char *path, char *upstream, size_t size) {
    const char *colon = strrchr(site->listen, ':');
    bool anywhere = strncmp(site->listen, "0.0.0.0:", strlen("0.0.0.0:")) == 0;
    struct url peer;
    snprintf(upstream, size, "%s%s", anywhere ? "127.0.0.1" : site->listen, anywhere ? colon : "");
    /* From loopback it comes from loopback; to another address of the machine, from that one. */
    if (!url_parse_host(upstream, &peer) && !proxies_hold(&site->proxies, &peer)) {
        fprintf(stderr,
                "%s: http.proxies: the proxy is not named, so the host would take it for every "
                "client; write http = { proxies = { \"%s\" }, ... }, start the host again, and "
                "call this once more\n",
                path, peer.host);
        return false;
    }
    if (strncmp(site->listen, "127.", 4) != 0)
        fprintf(stderr, "%s: http.listen: the host listens on %s: it can be reached without TLS\n",
                path, site->listen);
    return true;
}

static bool script_path(char *path, size_t size) {
    static const char *const places[] = {"proxy/setup.sh", "host/package/proxy/setup.sh"};
    char shared[512];
    if (paths_shared(shared, sizeof shared) != ERR_OK)
        return false;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, size, "%s/%s", shared, places[i]);
        if (access(path, R_OK) == 0)
            return true;
    }
    return false;
}

static int set_up(const struct words *words) {
    struct report report;
    char upstream[96], script[600];
    report_init(&report);
    struct site *site = site_load(words->site, &report);
    for (size_t i = 0; i < report.count; i++)
        fprintf(stderr, "%s: %s: %s\n", words->site, report.items[i].where, report.items[i].text);
    report_free(&report);
    if (!site)
        return 1;
    bool right = upstream_of(site, words->site, upstream, sizeof upstream);
    site_free(site);
    if (!right)
        return 1;
    if (!script_path(script, sizeof script)) {
        fputs("derd proxy: the proxy's configuration is not where this program stands; set "
              "DERD_SHARE to the folder that holds it\n",
              stderr);
        return 1;
    }
    execl("/bin/sh", "sh", script, upstream, words->name, words->listen ? words->listen : "443",
          words->folder ? words->folder : "", words->certificate ? words->certificate : "",
          words->key ? words->key : "", (char *)NULL);
    perror("derd proxy: /bin/sh");
    return 1;
}

int cmd_proxy(int argc, char **argv) {
    static const struct option options[] = {
        {"site", required_argument, NULL, 's'},
        {"name", required_argument, NULL, 'n'},
        {"certificate", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},
        {"listen", required_argument, NULL, 'l'},
        {"folder", required_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct words words = {0};
    for (int got; (got = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        const char **const word = got == 's'   ? &words.site
                                  : got == 'n' ? &words.name
                                  : got == 'c' ? &words.certificate
                                  : got == 'k' ? &words.key
                                  : got == 'l' ? &words.listen
                                  : got == 'f' ? &words.folder
                                               : NULL;
        if (got == 'h') {
            fputs(help, stdout);
            return 0;
        }
        if (!word) {
            fputs(help, stderr);
            return 2;
        }
        *word = optarg;
    }
    const char *mistake = optind != argc ? "there is a word too many" : words_wrong(&words);
    return mistake ? wrong(mistake) : set_up(&words);
}
