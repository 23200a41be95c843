/* Finds the socket of a TCP connection of this process by its two ends, where a library does not
 * give it away: it asks the descriptors of the process for theirs. One that another thread closes
 * meanwhile is none, or another connection, and never has the ends that are looked for. IPv4. Any
 * thread. */
#ifndef DERD_API_SOCKET_FIND_H
#define DERD_API_SOCKET_FIND_H

/* The descriptor, or -1. It stays the same connection's while the caller's thread owns that. Costs
 * a look at every descriptor, but where it is the one that the thread found last. */
int socket_find(int local_port, const char *remote_address, int remote_port);

#endif
