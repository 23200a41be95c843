/* Drivers by what a person types: a file, or a name looked for in ./drivers and among those that
 * ship. For commands; mistakes go to standard error. */
#ifndef DERD_KIT_FIND_H
#define DERD_KIT_FIND_H

#include <stdbool.h>
#include <stddef.h>

struct generation;

bool find_driver_path(const char *which, char *path, size_t size);
/* Loaded and checked; NULL after the mistakes were printed behind `command`. */
struct generation *find_driver(const char *which, const char *command);
/* All whole drivers of ./drivers and of those that ship, ./drivers first; at most `maximum`. */
size_t find_all_drivers(struct generation **drivers, size_t maximum);
bool find_unit(const char *text, int *unit); /* 0 to 255 */

#endif
