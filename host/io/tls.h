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

#endif
