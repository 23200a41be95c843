#include "api/socket_find.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE    256
#define INODE_SIZE   24
#define FIELD_LOCAL  1 /* of /proc/net/tcp, proc(5): "0100007F:1F90" */
#define FIELD_REMOTE 2
#define FIELD_INODE  9

/* True when the line is of that connection; its inode. */
static bool line_fits(char *line, const char *local_end, const char *remote,
                      char inode[INODE_SIZE]) {
    char *rest = NULL;
    char *field = strtok_r(line, " ", &rest);
    for (int i = 0; field; field = strtok_r(NULL, " ", &rest), i++) {
        const char *colon = strchr(field, ':');
        if (i == FIELD_LOCAL && (!colon || strcmp(colon, local_end) != 0))
            return false;
        if (i == FIELD_REMOTE && strcmp(field, remote) != 0)
            return false;
        if (i == FIELD_INODE) {
            snprintf(inode, INODE_SIZE, "%s", field);
            return true;
        }
    }
    return false;
}

static bool find_inode(int local_port, const char *remote_address, int remote_port,
                       char inode[INODE_SIZE]) {
    char line[LINE_SIZE];
    char local_end[16];
    char remote[24];
    struct in_addr address;
    bool found = false;
    FILE *table = fopen("/proc/self/net/tcp", "re");
    if (table && inet_pton(AF_INET, remote_address, &address) == 1) {
        snprintf(local_end, sizeof local_end, ":%04X", (unsigned)local_port);
        snprintf(remote, sizeof remote, "%08X:%04X", address.s_addr, (unsigned)remote_port);
        while (!found && fgets(line, sizeof line, table))
            found = line_fits(line, local_end, remote, inode);
    }
    if (table)
        fclose(table);
    return found;
}

int socket_find(int local_port, const char *remote_address, int remote_port) {
    char inode[INODE_SIZE];
    char wanted[INODE_SIZE + 16];
    int found = -1;
    if (!find_inode(local_port, remote_address, remote_port, inode))
        return -1;
    snprintf(wanted, sizeof wanted, "socket:[%s]", inode);
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry; found < 0 && folder && (entry = readdir(folder));) {
        char target[sizeof wanted + 8];
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
        if (length <= 0)
            continue;
        target[length] = '\0';
        if (strcmp(target, wanted) == 0)
            found = (int)strtol(entry->d_name, NULL, 10);
    }
    if (folder)
        closedir(folder);
    return found;
}
