/* An IPv4 address and a port, as http.listen and http.service say them. Pure. */
#ifndef DERD_BASE_ADDRESS_H
#define DERD_BASE_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>

#include "base/err.h"

/* "127.0.0.1:8080", nothing else: no name, no blank, no sign. */
must_check bool address_parse(const char *text, struct sockaddr_in *address);
/* 127.0.0.0/8 */
bool address_is_loopback(const struct sockaddr_in *address);

#endif
