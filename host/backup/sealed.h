/* A file that is written or read from its beginning to its end, in clear or sealed with a
 * passphrase: then libsodium's secretstream (XChaCha20-Poly1305) in pieces, under a key that
 * Argon2id makes of the passphrase. A sealed file that was changed, cut or put together anew is
 * noticed.
 *
 *   "derd-sealed-1\n"  16 bytes of salt  8 + 8 bytes: Argon2's operations and memory (little
 * endian) 24 bytes of secretstream header, then pieces of 65536 bytes and 17 of the seal, the last
 * shorter
 *
 * One thread; the descriptor stays the caller's. */
#ifndef DERD_BACKUP_SEALED_H
#define DERD_BACKUP_SEALED_H

#include <stdbool.h>
#include <stddef.h>

#define SEALED_WHY_SIZE 200

struct sealed;

/* `passphrase` NULL: in clear. NULL with a sentence. */
struct sealed *sealed_create(int fd, const char *passphrase, char *why, size_t why_size);
/* Looks at the beginning of the file, whether it is sealed. NULL with a sentence, also for a sealed
 * one without a passphrase. A wrong passphrase shows at the first read. */
struct sealed *sealed_open(int fd, const char *passphrase, char *why, size_t why_size);
void sealed_free(struct sealed *sealed);

bool sealed_write(struct sealed *sealed, const void *data, size_t length);
/* Ends it: without this a sealed file is not whole. */
bool sealed_finish(struct sealed *sealed);
/* Exactly `length` bytes; false at the end of the file too. */
bool sealed_read(struct sealed *sealed, void *data, size_t length);
/* Nothing follows, and a sealed file was ended. */
bool sealed_at_end(struct sealed *sealed);
/* Why the last call was false. */
const char *sealed_why(const struct sealed *sealed);

#endif
