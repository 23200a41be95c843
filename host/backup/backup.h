/* A backup: one file from which the host's memory can be made again. A tar archive, or one sealed
 * with a passphrase (sealed.h):
 *
 *   manifest.json           who made it and when, the layouts, each file's length and SHA-256
 *   derd.db, telemetry.db   SQLite files, each as it was at one moment, also while the host writes
 *   scripts/drivers/NAME.lua, scripts/policies/NAME.lua   what came through the API
 *
 * In clear no secret is in it: tokens and passwords are hashes anyway; the secrets of webhooks are
 * taken out, and these webhooks stand in it as disabled, with the reason; browsers are not known
 * any more. Sealed, all is as it was. The site file and the files that it names (passwords of
 * devices) are not in it.
 *
 * Everything blocks; nothing here knows a host. Mistakes go to `report`, places are paths. */
#ifndef DERD_BACKUP_H
#define DERD_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/report.h"

#define BACKUP_FORMAT   1
#define BACKUP_MANIFEST "manifest.json"
#define BACKUP_REASON                                                                              \
    "it comes from a backup, which leaves secrets out: send PATCH with rotateSecret and enabled "  \
    "true, and give its receiver the new secret"

struct backup_facts { /* what was written, or is in a file */
    int files;
    int64_t bytes; /* of all files */
    int webhooks;  /* whose secret was left out */
    bool sealed;
};

/* Writes `file`, which must not be there yet: under another name first, mode 0600, on disk when it
 * returns. `passphrase` NULL: in clear. ERR_CONFLICT: it is there. ERR_NOT_FOUND: no store.
 * ERR_REFUSED: the store is of a newer derd. ERR_FORMAT: it is damaged. ERR_IO. */
must_check enum err backup_make(const char *directory, const char *file, const char *passphrase,
                                struct backup_facts *facts, struct report *report);

/* Puts what `file` holds into the store's folder, which is made when it is missing. Checked whole
 * before anything is changed; what was there is kept in a folder before-restore-TIME within it
 * (`kept`, "" when there was nothing). A host can see the old store or the new one, nothing
 * between, also when the power fails: then it refuses to start until this was done again.
 * ERR_CONFLICT: a host runs on it. ERR_REFUSED: the backup is of a newer derd. ERR_FORMAT: it is
 * damaged, or the passphrase is wrong. ERR_IO. */
#define BACKUP_KEPT_SIZE 80
must_check enum err backup_restore(const char *directory, int fd, const char *name,
                                   const char *passphrase, struct backup_facts *facts,
                                   char kept[BACKUP_KEPT_SIZE], struct report *report);

/* --- of both ---------------------------------------------------------------------------------- */

/* Whether a file of this name may be in a backup. */
bool backup_name_valid(const char *name);
#define BACKUP_SUM_SIZE 65 /* hexadecimal, NUL */
/* Length and SHA-256 of a file; false with errno. */
bool backup_sum(int fd, int64_t *bytes, char sum[BACKUP_SUM_SIZE]);

#endif
