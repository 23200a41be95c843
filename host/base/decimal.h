/* Numbers as decimal text, without printf: an answer of the API holds dozens of them. Pure, any
 * thread, independent of the locale. */
#ifndef DERD_BASE_DECIMAL_H
#define DERD_BASE_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

#define DECIMAL_SIZE 48 /* bytes that hold any text made here, with its NUL */

/* "-23". Gives the length. */
size_t decimal_integer(int64_t value, char text[DECIMAL_SIZE]);
/* The shortest decimal of 15 digits or fewer, else of 16, else of 17, that reads back as the same
 * double; no exponent from 1e-9 to below 1e15. `value` is finite. Gives the length. */
size_t decimal_double(double value, char text[DECIMAL_SIZE]);

#endif
