/* OpenSSL, as little of it as is needed: libcurl and libmosquitto make the connections. The verify
 * callback stands in front of OpenSSL's own verification to note what was shown, so that a person
 * who has to decide about a self-signed certificate is told its pin. */
#include "io/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "io/url.h"

#define PIN_PREFIX "sha256//"

struct trust { /* of a context of ours; hangs at it */
    struct tls_seen *seen;
    char pin[TLS_PIN_SIZE]; /* "": none */
    char host[URL_HOST_SIZE];
    enum url_host kind;
};

bool tls_pin_valid(const char *pin) {
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t prefix = strlen(PIN_PREFIX);
    return strlen(pin) == TLS_PIN_SIZE - 1 && strncmp(pin, PIN_PREFIX, prefix) == 0 &&
           strspn(pin + prefix, base64) == 43 && pin[prefix + 43] == '=';
}

bool tls_settings_valid(const struct tls_settings *settings, char *why, size_t why_size) {
    if (settings->pin && !tls_pin_valid(settings->pin)) {
        snprintf(why, why_size,
                 "expected a pin like \"sha256//\" and 44 characters of base64, got \"%.60s\"",
                 settings->pin);
        return false;
    }
    if (!settings->ca_file)
        return true;
    X509_STORE *store = X509_STORE_new();
    bool good = store && X509_STORE_load_file(store, settings->ca_file) == 1;
    X509_STORE_free(store);
    ERR_clear_error();
    if (!good)
        snprintf(why, why_size, "%.200s holds no certificates in PEM form, or cannot be read",
                 settings->ca_file);
    return good;
}

static void pin_of(X509 *certificate, char pin[TLS_PIN_SIZE]) {
    unsigned char *key = NULL, hash[32];
    pin[0] = '\0';
    int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key);
    if (length > 0 && EVP_Digest(key, (size_t)length, hash, NULL, EVP_sha256(), NULL) == 1) {
        memcpy(pin, PIN_PREFIX, strlen(PIN_PREFIX));
        EVP_EncodeBlock((unsigned char *)pin + strlen(PIN_PREFIX), hash, sizeof hash);
    }
    OPENSSL_free(key);
}

static int verify_watched(X509_STORE_CTX *chain, struct tls_seen *seen) {
    X509 *certificate = X509_STORE_CTX_get0_cert(chain);
    *seen = (struct tls_seen){0};
    if (certificate)
        pin_of(certificate, seen->pin);
    int good = X509_verify_cert(chain);
    if (good != 1)
        snprintf(seen->reason, sizeof seen->reason, "%s",
                 X509_verify_cert_error_string(X509_STORE_CTX_get_error(chain)));
    return good;
}

static int on_verify_watched(X509_STORE_CTX *chain, void *argument) {
    return verify_watched(chain, argument);
}

const char *tls_authorities(void) {
    return X509_get_default_cert_dir();
}

void tls_watch(SSL_CTX *context, struct tls_seen *seen) {
    SSL_CTX_set_cert_verify_callback(context, on_verify_watched, seen);
}

/* ---- contexts of our own ---- */

static int on_verify(X509_STORE_CTX *chain, void *argument) {
    const struct trust *trust = argument;
    int good = verify_watched(chain, trust->seen);
    trust->seen->refused = good != 1;
    if (!trust->pin[0])
        return good;
    bool same = strcmp(trust->pin, trust->seen->pin) == 0;
    trust->seen->reason[0] = '\0';
    trust->seen->refused = !same;
    X509_STORE_CTX_set_error(chain, same ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
    return same;
}

/* libmosquitto connects to an address and names that to the server; the server's name is the URL's.
 * The handshake has not begun to write when this is called. */
static void on_info(const SSL *connection, int where, int value) {
    (void)value;
    if (where & SSL_CB_HANDSHAKE_DONE) {
        const struct trust *trust = SSL_CTX_get_app_data(SSL_get_SSL_CTX(connection));
        trust->seen->done = true;
    }
    if (!(where & SSL_CB_HANDSHAKE_START) || SSL_is_init_finished(connection))
        return;
    SSL *own =
        (SSL *)(uintptr_t)connection; /* OpenSSL gives it as const, though it may be set up */
    struct trust *trust = SSL_CTX_get_app_data(SSL_get_SSL_CTX(own));
    SSL_set_tlsext_host_name(own, trust->kind == URL_NAME ? trust->host : NULL);
}

static bool context_set(SSL_CTX *context, const struct tls_settings *settings,
                        const struct trust *trust) {
    X509_VERIFY_PARAM *parameters = SSL_CTX_get0_param(context);
    bool named = trust->kind == URL_NAME
                     ? X509_VERIFY_PARAM_set1_host(parameters, trust->host, 0) == 1
                     : X509_VERIFY_PARAM_set1_ip_asc(parameters, trust->host) == 1;
    /* The system's directory is read by need; its bundle, all in one file, would stop the loop for
     * 100 ms at each attempt. */
    bool authorities = true;
    if (!settings->pin && settings->ca_file)
        authorities = SSL_CTX_load_verify_file(context, settings->ca_file) == 1;
    else if (!settings->pin)
        authorities = SSL_CTX_load_verify_dir(context, tls_authorities()) == 1;
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    return named && authorities && SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1;
}

SSL_CTX *tls_context(const struct tls_settings *settings, const struct url *url,
                     struct tls_seen *seen) {
    struct trust *trust = OPENSSL_zalloc(sizeof *trust);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (trust && context) {
        trust->seen = seen;
        trust->kind = url->kind;
        snprintf(trust->host, sizeof trust->host, "%s", url->host);
        if (settings->pin)
            snprintf(trust->pin, sizeof trust->pin, "%s", settings->pin);
        SSL_CTX_set_app_data(context, trust);
        SSL_CTX_set_cert_verify_callback(context, on_verify, trust);
        SSL_CTX_set_info_callback(context, on_info);
        if (context_set(context, settings, trust))
            return context;
    }
    ERR_clear_error();
    SSL_CTX_free(context);
    OPENSSL_free(trust);
    return NULL;
}

void tls_context_free(SSL_CTX *context) {
    if (!context)
        return;
    struct trust *trust = SSL_CTX_get_app_data(context);
    SSL_CTX_free(context);
    OPENSSL_free(trust);
}

void tls_explain(const struct tls_seen *seen, const struct url *url, bool pinned, char *why,
                 size_t why_size) {
    if (pinned)
        snprintf(why, why_size,
                 "%.80s port %u shows another key than the pinned one, now \"%s\": was the device "
                 "exchanged or set up anew? If not, do not trust it",
                 url->host, url->port, seen->pin[0] ? seen->pin : "none");
    else
        snprintf(why, why_size,
                 "the certificate of %.80s port %u is not trusted: %s. If it is the device's own: "
                 "pinnedKey = \"%s\"; if an authority of yours signed it: caFile",
                 url->host, url->port,
                 seen->reason[0] ? seen->reason : "it is made out to another host", seen->pin);
}
