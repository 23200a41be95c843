/* UUIDs as text. Pure, but for where randomness comes from. */
#ifndef DERD_BASE_UUID_H
#define DERD_BASE_UUID_H

#include <stdbool.h>

#define ID_SIZE 37 /* a UUID as text, lower case, and its NUL */

void uuid_make(char id[ID_SIZE]);  /* random, version 4 */
bool uuid_valid(const char *text); /* 8-4-4-4-12 hexadecimal, any case */

#endif
