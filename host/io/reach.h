/* May a device's script talk to this address? A script reaches its device, and what the site file
 * allows beside it; nothing else. Pure.
 *
 * An address is reachable when it is the device's own (same host and port, whatever the scheme) or
 * an entry of the list holds it:
 *
 *   "meter.local"          that host, every port        "192.168.1.7", "fe80::7" likewise
 *   "192.168.1.7:8080"     that host and port           "[fe80::7]:8080" likewise
 *   "192.168.1.0/24"       every address in it, every port; "fd00::/8" likewise
 *
 * Hosts are compared as written, names without regard to case or a dot at the end; nothing is
 * looked up: a name is never within a range of addresses, and an address never is a name. Whatever
 * io/url.h refuses is not reachable. */
#ifndef DERD_IO_REACH_H
#define DERD_IO_REACH_H

#include <stdbool.h>
#include <stddef.h>

/* `own`: the device's link URL, or NULL. `allowed`: `count` entries; one that is not
 * reach_entry_valid() allows nothing. `url` is a whole URL. When false, `why` has a sentence that
 * says what may be reached and how to allow more. */
bool reach_allows(const char *url, const char *own, const char *const *allowed, size_t count,
                  char *why, size_t why_size);
bool reach_entry_valid(const char *entry, char *why, size_t why_size);

#endif
