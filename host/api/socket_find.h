/* Finds the socket of a TCP connection of this process by its two ends, where a library does not
 * give it away: the kernel's table names the socket, /proc/self/fd the descriptor. It asks no other
 * descriptor, since others may be closed by their threads meanwhile. IPv4. Any thread. */
#ifndef DERD_API_SOCKET_FIND_H
#define DERD_API_SOCKET_FIND_H

/* The descriptor, or -1. It stays the same connection's while the caller's thread owns that. Costs
 * a look at every connection of the machine: for who lives long. */
int socket_find(int local_port, const char *remote_address, int remote_port);

#endif
