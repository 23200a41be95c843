#include "api/socket_find.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

typedef int ask_end(int fd, struct sockaddr *end, socklen_t *length);

static bool is_end(ask_end *ask, int fd, const struct in_addr *address, int port) {
    struct sockaddr_in end = {0};
    socklen_t length = sizeof end;
    return ask(fd, (struct sockaddr *)&end, &length) == 0 && end.sin_family == AF_INET &&
           ntohs(end.sin_port) == port && (!address || end.sin_addr.s_addr == address->s_addr);
}

static bool fits(int fd, int local_port, const struct in_addr *remote, int remote_port) {
    return is_end(getpeername, fd, remote, remote_port) &&
           is_end(getsockname, fd, NULL, local_port);
}

int socket_find(int local_port, const char *remote_address, int remote_port) {
    static _Thread_local int found_last = -1; /* a connection asks again and again */
    struct in_addr remote;
    int found = -1;
    if (inet_pton(AF_INET, remote_address, &remote) != 1)
        return -1;
    if (found_last >= 0 && fits(found_last, local_port, &remote, remote_port))
        return found_last;
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry; found < 0 && folder && (entry = readdir(folder));) {
        int fd = (int)strtol(entry->d_name, NULL, 10); /* "." and "..": 0 */
        if (fits(fd, local_port, &remote, remote_port))
            found = fd;
    }
    if (folder)
        closedir(folder);
    found_last = found;
    return found;
}
