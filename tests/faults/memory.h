/* Memory that runs out at the n-th request: of the program (malloc and its like, by the linker's
 * --wrap), of SQLite, of jansson, and of whoever takes memory_lua() as the allocator of his Lua.
 * Any thread. */
#ifndef DERD_TESTS_MEMORY_H
#define DERD_TESTS_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* Before anything else uses these libraries. */
void memory_insert(void);
/* The n-th request from now fails, and `count` - 1 after it; 0: none does. */
void memory_fail(int64_t n, int64_t count);
/* Requests and failures since memory_fail(). */
int64_t memory_requests(void);
int64_t memory_failures(void);

#endif
