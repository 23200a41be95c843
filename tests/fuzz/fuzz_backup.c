/* What `derd restore` is given: the head of a tar, and whole files, in clear. Nothing but a right
 * backup changes anything, and a head that is taken is written alike. */
#include "fuzz.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sodium.h>

#include "backup/backup.h"
#include "backup/sealed.h"
#include "backup/tar.h"
#include "base/log.h"

static void check_head(const uint8_t *data) {
    struct tar_entry entry, again;
    unsigned char head[TAR_BLOCK];
    if (tar_read_head(data, &entry) != TAR_FILE)
        return;
    must(entry.name[0] && strlen(entry.name) < TAR_NAME_SIZE && entry.bytes >= 0);
    must(tar_write_head(&entry, head) && tar_read_head(head, &again) == TAR_FILE);
    must(strcmp(entry.name, again.name) == 0 && entry.bytes == again.bytes);
    int64_t padded = entry.bytes % TAR_BLOCK + tar_padding(entry.bytes);
    must(padded == 0 || padded == TAR_BLOCK);
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *at) {
    (void)status, (void)flag, (void)at;
    return remove(path);
}

static void check_restore(int fd) {
    static char folder[40];
    struct backup_facts facts;
    struct report report;
    char kept[BACKUP_KEPT_SIZE];
    snprintf(folder, sizeof folder, "/dev/shm/derd-fuzz-XXXXXX");
    must(mkdtemp(folder));
    report_init(&report);
    enum err result = backup_restore(folder, fd, "input", NULL, &facts, kept, &report);
    must((result == ERR_OK) == report_empty(&report));
    char path[80];
    snprintf(path, sizeof path, "%s/derd.db", folder);
    must((access(path, F_OK) == 0) == (result == ERR_OK));
    report_free(&report);
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* A file that says that it is sealed. */
static void check_sealed(int fd, size_t size) {
    char why[SEALED_WHY_SIZE] = "";
    struct sealed *in = sealed_open(fd, "some passphrase", why, sizeof why);
    unsigned char byte;
    size_t count = 0;
    if (!in) {
        must(why[0]);
        return;
    }
    while (sealed_read(in, &byte, 1))
        must(++count <= size);
    must(sealed_why(in)[0]);
    sealed_free(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int fd = -1;
    if (fd < 0) {
        must(sodium_init() >= 0);
        must((fd = memfd_create("backup", MFD_CLOEXEC)) >= 0);
    }
    if (size >= TAR_BLOCK) {
        uint8_t *head = exact_copy(data, TAR_BLOCK);
        check_head(head);
        free(head);
    }
    must(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    lseek(fd, 0, SEEK_SET);
    check_restore(fd);
    lseek(fd, 0, SEEK_SET);
    if (size < 30 || data[13] != '\n') /* a key costs a tenth of a second */
        check_sealed(fd, size);
    return 0;
}
