/* What a connection over TLS trusts, the same for HTTP and MQTT.
 *
 * Without a pin the other side's certificate must be signed by an authority of `ca_file` (or of the
 * system, when NULL) and be made out to the host of the URL. With a pin only the public key counts:
 * the certificate may be self-signed, expired, or made out to somebody else, as those of devices on
 * a LAN are. TLS 1.2 and later only. When a certificate is refused, the sentence for people names
 * the pin that would accept it, to be compared with the device's own display or manual. */
#ifndef DERD_IO_TLS_H
#define DERD_IO_TLS_H

#include <stdbool.h>
#include <stddef.h>

#define TLS_PIN_SIZE 53 /* "sha256//", 44 characters of base64, NUL */

struct tls_settings {    /* texts of the caller, copied at open */
    const char *ca_file; /* PEM; NULL: the authorities that the system trusts */
    const char *pin;     /* "sha256//BASE64" of the public key (SubjectPublicKeyInfo); NULL: none */
};

/* True when `pin` has the form of a pin. Pure. */
bool tls_pin_valid(const char *pin);
/* True when the pin has its form and the file holds certificates; reads it. */
bool tls_settings_valid(const struct tls_settings *settings, char *why, size_t why_size);

/* ---- for the clients of this room ---- */

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */
struct url;

struct tls_seen {           /* of the other side's last certificate */
    char pin[TLS_PIN_SIZE]; /* its pin; "": none was shown */
    char reason[96];        /* why it is not trusted; "": it is, or it is another's */
    bool refused, done;     /* of tls_context() only: not trusted; the handshake is over */
};

/* The directory of the authorities that the system trusts, read by need. */
const char *tls_authorities(void);
/* Notes in `seen`, which outlives the context, what is shown. Changes nothing of what is trusted.
 */
void tls_watch(struct ssl_ctx_st *context, struct tls_seen *seen);
/* A context of its own that trusts as said above, for connections to the host of `url`, which are
 * made to an address. NULL: memory is refused, or the settings are not valid. */
struct ssl_ctx_st *tls_context(const struct tls_settings *settings, const struct url *url,
                               struct tls_seen *seen);
void tls_context_free(struct ssl_ctx_st *context);
/* The sentence for people when a certificate was refused. */
void tls_explain(const struct tls_seen *seen, const struct url *url, bool pinned, char *why,
                 size_t why_size);

#endif
