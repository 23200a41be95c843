#include "cmd/paths.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum err paths_program(char *path, size_t size) {
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    if (length <= 0)
        return ERR_IO;
    path[length] = '\0';
    return ERR_OK;
}

static enum err take_if_there(const char *candidate, char *folder, size_t size) {
    char probe[PATH_MAX + 16];
    char real[PATH_MAX];
    snprintf(probe, sizeof probe, "%s/drivers", candidate);
    if (access(probe, R_OK) != 0 || !realpath(candidate, real) || strlen(real) >= size)
        return ERR_NOT_FOUND;
    snprintf(folder, size, "%s", real);
    return ERR_OK;
}

enum err paths_shared(char *folder, size_t size) {
    const char *told = getenv("DERD_SHARE");
    if (told)
        return take_if_there(told, folder, size);
    char program[PATH_MAX];
    char candidate[PATH_MAX + 32];
    if (paths_program(program, sizeof program) != ERR_OK)
        return ERR_NOT_FOUND;
    char *slash = strrchr(program, '/');
    if (!slash)
        return ERR_NOT_FOUND;
    *slash = '\0';
    snprintf(candidate, sizeof candidate, "%s/..", program);
    if (take_if_there(candidate, folder, size) == ERR_OK)
        return ERR_OK;
    snprintf(candidate, sizeof candidate, "%s/../share/derd", program);
    return take_if_there(candidate, folder, size);
}
