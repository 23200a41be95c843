#include "api/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UPLOAD_PATH_SIZE 700

static enum err fail(char *why, size_t why_size, const char *path) {
    snprintf(why, why_size, "%s: %s", path, strerror(errno));
    return ERR_IO;
}

static void folder_of(const char *path, char folder[UPLOAD_PATH_SIZE]) {
    char copy[UPLOAD_PATH_SIZE];
    snprintf(copy, sizeof copy, "%s", path);
    snprintf(folder, UPLOAD_PATH_SIZE, "%s", dirname(copy));
}

static bool sync_folder(const char *folder) {
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool done = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return done;
}

/* The folder, and the one above it. */
static bool make_folder(const char *folder) {
    char above[UPLOAD_PATH_SIZE];
    char root[UPLOAD_PATH_SIZE];
    folder_of(folder, above);
    folder_of(above, root);
    if (mkdir(above, 0700) != 0 && errno != EEXIST)
        return false;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return false;
    return sync_folder(above) && sync_folder(root);
}

static bool write_whole(int fd, const char *text, size_t length) {
    while (length > 0) {
        ssize_t written = write(fd, text, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        text += written;
        length -= (size_t)written;
    }
    return fsync(fd) == 0;
}

enum err upload_write(const char *path, const char *text, size_t length, char *why,
                      size_t why_size) {
    char folder[UPLOAD_PATH_SIZE];
    char fresh[UPLOAD_PATH_SIZE + 16];
    folder_of(path, folder);
    if (!make_folder(folder))
        return fail(why, why_size, folder);
    snprintf(fresh, sizeof fresh, "%s/.upload-XXXXXX", folder);
    int fd = mkstemp(fresh); /* of a name that is no script's */
    if (fd < 0)
        return fail(why, why_size, folder);
    bool written = write_whole(fd, text, length);
    int error = errno;
    close(fd);
    if (written && rename(fresh, path) == 0 && sync_folder(folder))
        return ERR_OK;
    error = written ? errno : error;
    unlink(fresh);
    errno = error;
    return fail(why, why_size, path);
}

enum err upload_remove(const char *path, char *why, size_t why_size) {
    char folder[UPLOAD_PATH_SIZE];
    folder_of(path, folder);
    if (unlink(path) != 0)
        return errno == ENOENT ? ERR_NOT_FOUND : fail(why, why_size, path);
    return sync_folder(folder) ? ERR_OK : fail(why, why_size, folder);
}
