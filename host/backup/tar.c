/* Places of the fields: POSIX.1-2008, pax, "ustar Interchange Format". A size beyond 8 GiB stands
 * in base 256, as GNU tar writes it and others read it. */
#include "backup/tar.h"

#include <stdio.h>
#include <string.h>

#define NAME_AT       0
#define MODE_AT       100
#define OWNER_AT      108
#define GROUP_AT      116
#define SIZE_AT       124
#define TIME_AT       136
#define SUM_AT        148
#define TYPE_AT       156
#define MAGIC_AT      257
#define OCTAL_LARGEST INT64_C(077777777777)

static unsigned sum_of(const unsigned char *head) {
    unsigned sum = 0;
    for (unsigned i = 0; i < TAR_BLOCK; i++)
        sum += i >= SUM_AT && i < TYPE_AT ? ' ' : head[i];
    return sum;
}

static void put_octal(unsigned char *at, int digits, uint64_t value) {
    at[digits] = '\0';
    for (int i = digits - 1; i >= 0; i--, value >>= 3)
        at[i] = (unsigned char)('0' + (value & 7));
}

static void put_size(unsigned char *at, int64_t bytes) {
    if (bytes <= OCTAL_LARGEST) {
        put_octal(at, 11, (uint64_t)bytes);
        return;
    }
    memset(at, 0, 12);
    at[0] = 0x80;
    for (int i = 11; i > 3; i--, bytes >>= 8)
        at[i] = (unsigned char)(bytes & 0xff);
}

bool tar_write_head(const struct tar_entry *entry, unsigned char head[TAR_BLOCK]) {
    size_t length = strnlen(entry->name, TAR_NAME_SIZE);
    memset(head, 0, TAR_BLOCK);
    if (length == 0 || length == TAR_NAME_SIZE || entry->bytes < 0 || entry->time_s < 0 ||
        entry->time_s > OCTAL_LARGEST)
        return false;
    memcpy(head + NAME_AT, entry->name, length);
    put_octal(head + MODE_AT, 7, 0600);
    put_octal(head + OWNER_AT, 7, 0);
    put_octal(head + GROUP_AT, 7, 0);
    put_size(head + SIZE_AT, entry->bytes);
    put_octal(head + TIME_AT, 11, (uint64_t)entry->time_s);
    head[TYPE_AT] = '0';
    memcpy(head + MAGIC_AT, "ustar\00000", 8);
    put_octal(head + SUM_AT, 6, sum_of(head));
    head[SUM_AT + 7] = ' ';
    return true;
}

static bool get_octal(const unsigned char *at, int digits, int64_t *value) {
    *value = 0;
    for (int i = 0; i < digits; i++) {
        if (at[i] == '\0' || at[i] == ' ')
            return i > 0;
        if (at[i] < '0' || at[i] > '7')
            return false;
        *value = *value * 8 + (at[i] - '0');
    }
    return true;
}

static bool get_size(const unsigned char *at, int64_t *bytes) {
    if (at[0] != 0x80)
        return get_octal(at, 11, bytes);
    *bytes = 0;
    for (int i = 1; i < 4; i++)
        if (at[i] != 0)
            return false;
    if (at[4] & 0x80)
        return false;
    for (int i = 4; i < 12; i++)
        *bytes = *bytes << 8 | at[i];
    return true;
}

enum tar_head tar_read_head(const unsigned char head[TAR_BLOCK], struct tar_entry *entry) {
    static const unsigned char zeros[TAR_BLOCK];
    int64_t sum;
    if (memcmp(head, zeros, TAR_BLOCK) == 0)
        return TAR_END;
    if (!get_octal(head + SUM_AT, 7, &sum) || sum != (int64_t)sum_of(head) ||
        memcmp(head + MAGIC_AT, "ustar", 5) != 0 ||
        (head[TYPE_AT] != '0' && head[TYPE_AT] != '\0') || head[NAME_AT] == '\0' ||
        head[NAME_AT + TAR_NAME_SIZE - 1] != '\0')
        return TAR_WRONG;
    snprintf(entry->name, sizeof entry->name, "%s", (const char *)head + NAME_AT);
    if (!get_size(head + SIZE_AT, &entry->bytes) || !get_octal(head + TIME_AT, 11, &entry->time_s))
        return TAR_WRONG;
    return TAR_FILE;
}
