/* Heads of tar (POSIX ustar): what a backup is made of, so that `tar` can look into it. Regular
 * files only. Pure. */
#ifndef DERD_BACKUP_TAR_H
#define DERD_BACKUP_TAR_H

#include <stdbool.h>
#include <stdint.h>

#define TAR_BLOCK     512
#define TAR_NAME_SIZE 100 /* with its NUL */

struct tar_entry {
    char name[TAR_NAME_SIZE];
    int64_t bytes;
    int64_t time_s; /* since 1970 */
};

/* False when the name is too long or empty, or a number negative. */
bool tar_write_head(const struct tar_entry *entry, unsigned char head[TAR_BLOCK]);
enum tar_head { TAR_FILE, TAR_END, TAR_WRONG };
/* TAR_END: a block of zeros. TAR_WRONG: damaged, or no plain file. */
enum tar_head tar_read_head(const unsigned char head[TAR_BLOCK], struct tar_entry *entry);
/* Bytes behind the content up to the next head. */
static inline int64_t tar_padding(int64_t bytes) {
    return (TAR_BLOCK - bytes % TAR_BLOCK) % TAR_BLOCK;
}

#endif
