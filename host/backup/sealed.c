#include "backup/sealed.h"

#include <errno.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC        "derd-sealed-1\n"
#define MAGIC_LENGTH (sizeof MAGIC - 1)
#define PIECE        65536
#define OVERHEAD     crypto_secretstream_xchacha20poly1305_ABYTES
/* What a file may ask for: its numbers are read before anything of it is trusted. */
#define MOST_OPERATIONS 16
#define MOST_MEMORY     ((uint64_t)1 << 30)

struct sealed {
    int fd;
    bool is_sealed, ended;
    crypto_secretstream_xchacha20poly1305_state state;
    size_t filled, at; /* bytes in `plain`; how many of them were read */
    unsigned char plain[PIECE], coded[PIECE + OVERHEAD];
    char why[SEALED_WHY_SIZE];
};

/* --- bytes ----------------------------------------------------------------------------------- */

static bool fail(struct sealed *sealed, const char *why) {
    snprintf(sealed->why, sizeof sealed->why, "%s", why);
    return false;
}

static bool put(struct sealed *sealed, const void *data, size_t length) {
    const unsigned char *at = data;
    while (length > 0) {
        ssize_t written = write(sealed->fd, at, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return fail(sealed, strerror(errno));
        at += written;
        length -= (size_t)written;
    }
    return true;
}

/* Up to `length` bytes; fewer only at the end of the file. */
static bool get(struct sealed *sealed, void *data, size_t length, size_t *got) {
    *got = 0;
    while (*got < length) {
        ssize_t count = read(sealed->fd, (unsigned char *)data + *got, length - *got);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return fail(sealed, strerror(errno));
        if (count == 0)
            break;
        *got += (size_t)count;
    }
    return true;
}

static void put_u64(unsigned char *at, uint64_t value) {
    for (int i = 0; i < 8; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get_u64(const unsigned char *at) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

/* --- beginning ------------------------------------------------------------------------------- */

struct head {
    unsigned char salt[crypto_pwhash_SALTBYTES], operations[8], memory[8];
    unsigned char stream[crypto_secretstream_xchacha20poly1305_HEADERBYTES];
};

static bool make_key(const char *passphrase, const struct head *head, unsigned char *key) {
    return crypto_pwhash(key, crypto_secretstream_xchacha20poly1305_KEYBYTES, passphrase,
                         strlen(passphrase), head->salt, get_u64(head->operations),
                         (size_t)get_u64(head->memory), crypto_pwhash_ALG_ARGON2ID13) == 0;
}

static struct sealed *sealed_new(int fd, char *why, size_t why_size) {
    struct sealed *sealed = calloc(1, sizeof *sealed);
    if (!sealed)
        snprintf(why, why_size, "there is no memory");
    else
        sealed->fd = fd;
    return sealed;
}

static struct sealed *give_up(struct sealed *sealed, const char *text, char *why, size_t size) {
    snprintf(why, size, "%s", text);
    sealed_free(sealed);
    return NULL;
}

struct sealed *sealed_create(int fd, const char *passphrase, char *why, size_t why_size) {
    struct sealed *sealed = sealed_new(fd, why, why_size);
    unsigned char key[crypto_secretstream_xchacha20poly1305_KEYBYTES];
    struct head head;
    if (!sealed || !passphrase)
        return sealed;
    sealed->is_sealed = true;
    randombytes_buf(head.salt, sizeof head.salt);
    put_u64(head.operations, crypto_pwhash_OPSLIMIT_INTERACTIVE);
    put_u64(head.memory, crypto_pwhash_MEMLIMIT_INTERACTIVE); /* 64 MiB: gateways are small */
    if (!make_key(passphrase, &head, key))
        return give_up(sealed, "there is no memory for the key (64 MiB)", why, why_size);
    crypto_secretstream_xchacha20poly1305_init_push(&sealed->state, head.stream, key);
    sodium_memzero(key, sizeof key);
    if (!put(sealed, MAGIC, MAGIC_LENGTH) || !put(sealed, &head, sizeof head))
        return give_up(sealed, strerror(errno), why, why_size);
    return sealed;
}

/* The key of a sealed file, whose mark was read. */
static const char *begin_sealed(struct sealed *sealed, const char *passphrase) {
    unsigned char key[crypto_secretstream_xchacha20poly1305_KEYBYTES];
    struct head head;
    size_t got;
    if (!passphrase)
        return "it is sealed with a passphrase: give --passphrase-file";
    if (!get(sealed, &head, sizeof head, &got) || got < sizeof head)
        return "it ends in its head";
    if (get_u64(head.operations) > MOST_OPERATIONS || get_u64(head.memory) > MOST_MEMORY)
        return "its head is damaged";
    if (!make_key(passphrase, &head, key))
        return "there is no memory for the key, or its head is damaged";
    bool right =
        crypto_secretstream_xchacha20poly1305_init_pull(&sealed->state, head.stream, key) == 0;
    sodium_memzero(key, sizeof key);
    sealed->is_sealed = true;
    return right ? NULL : "its head is damaged";
}

struct sealed *sealed_open(int fd, const char *passphrase, char *why, size_t why_size) {
    struct sealed *sealed = sealed_new(fd, why, why_size);
    size_t got;
    if (!sealed)
        return NULL;
    if (!get(sealed, sealed->plain, MAGIC_LENGTH, &got))
        return give_up(sealed, strerror(errno), why, why_size);
    if (got < MAGIC_LENGTH || memcmp(sealed->plain, MAGIC, MAGIC_LENGTH) != 0) {
        sealed->filled = got; /* in clear: these are its first bytes */
        return sealed;
    }
    const char *mistake = begin_sealed(sealed, passphrase);
    return mistake ? give_up(sealed, mistake, why, why_size) : sealed;
}

void sealed_free(struct sealed *sealed) {
    if (sealed)
        sodium_memzero(sealed, sizeof *sealed);
    free(sealed);
}

/* --- pieces ---------------------------------------------------------------------------------- */

static bool push(struct sealed *sealed, bool last) {
    unsigned long long length = 0;
    crypto_secretstream_xchacha20poly1305_push(
        &sealed->state, sealed->coded, &length, sealed->plain, sealed->filled, NULL, 0,
        last ? crypto_secretstream_xchacha20poly1305_TAG_FINAL : 0);
    sealed->filled = 0;
    return put(sealed, sealed->coded, (size_t)length);
}

bool sealed_write(struct sealed *sealed, const void *data, size_t length) {
    const unsigned char *at = data;
    if (!sealed->is_sealed)
        return put(sealed, data, length);
    while (length > 0) {
        size_t some = PIECE - sealed->filled < length ? PIECE - sealed->filled : length;
        memcpy(sealed->plain + sealed->filled, at, some);
        sealed->filled += some;
        at += some;
        length -= some;
        if (sealed->filled == PIECE && !push(sealed, false))
            return false;
    }
    return true;
}

bool sealed_finish(struct sealed *sealed) {
    return !sealed->is_sealed || push(sealed, true);
}

/* The next piece into `plain`; none behind the last one. */
static bool pull(struct sealed *sealed) {
    size_t got;
    sealed->filled = sealed->at = 0;
    if (!sealed->is_sealed) {
        if (!get(sealed, sealed->plain, PIECE, &sealed->filled))
            return false;
        return sealed->filled > 0 || fail(sealed, "it ends too early");
    }
    if (sealed->ended)
        return fail(sealed, "it ends too early");
    unsigned char tag = 0;
    unsigned long long length = 0;
    if (!get(sealed, sealed->coded, sizeof sealed->coded, &got))
        return false;
    if (got < OVERHEAD ||
        crypto_secretstream_xchacha20poly1305_pull(&sealed->state, sealed->plain, &length, &tag,
                                                   sealed->coded, got, NULL, 0) != 0)
        return fail(sealed, "the passphrase is another one, or the file was changed or cut");
    sealed->filled = (size_t)length;
    sealed->ended = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
    return true;
}

bool sealed_read(struct sealed *sealed, void *data, size_t length) {
    unsigned char *to = data;
    while (length > 0) {
        if (sealed->at == sealed->filled && !pull(sealed))
            return false;
        size_t some = sealed->filled - sealed->at < length ? sealed->filled - sealed->at : length;
        memcpy(to, sealed->plain + sealed->at, some);
        sealed->at += some;
        to += some;
        length -= some;
    }
    return true;
}

bool sealed_at_end(struct sealed *sealed) {
    unsigned char byte;
    size_t got;
    if (sealed->at < sealed->filled)
        return fail(sealed, "something follows its end");
    if (sealed->is_sealed &&
        !sealed->ended) { /* its end is a piece of its own, maybe an empty one */
        if (!pull(sealed))
            return false;
        if (sealed->filled > 0 || !sealed->ended)
            return fail(sealed, "something follows its end");
    }
    return (get(sealed, &byte, 1, &got) && got == 0) || fail(sealed, "something follows its end");
}

const char *sealed_why(const struct sealed *sealed) {
    return sealed->why;
}
