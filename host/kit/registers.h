/* The registers of one unit, all four kinds, and which of them exist. The kit's common coin: a
 * survey of a live device fills one, a fixture file is one in Lua, the simulated device of
 * `derd test` answers from one. Not shared between threads. */
#ifndef DERD_KIT_REGISTERS_H
#define DERD_KIT_REGISTERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/report.h"
#include "point.h"

#define REGISTER_KINDS 4
#define REGISTER_SPAN  65536

struct registers {
    uint16_t words[REGISTER_KINDS][REGISTER_SPAN]; /* bits: 0 or 1 */
    uint8_t exists[REGISTER_KINDS][REGISTER_SPAN];
};

struct registers *registers_new(void); /* empty; NULL: no memory */
void registers_free(struct registers *registers);
void registers_put(struct registers *registers, enum register_kind kind, uint16_t address,
                   const uint16_t *words, uint16_t count);
/* True when all of them exist. */
bool registers_have(const struct registers *registers, enum register_kind kind, uint16_t address,
                    uint32_t count);
/* Adds what a tree says: { holding = { [40000] = { 0x5375, 0x6E53 }, [7] = 5 } }, one list of words
 * for each run. False with mistakes. */
bool registers_take(struct registers *registers, const json_t *tree, const char *where,
                    struct report *report);
/* The same as Lua: sorted, eight words a line, so that two recordings can be compared by diff. */
void registers_write(const struct registers *registers, struct buf *lua, int indent);

#endif
