/* Patterns for scripts: string.find, match, gmatch and gsub as section 6.4 of the Lua 5.4 reference
 * manual tells them, down to the error texts, but with an end to everything. Lua's own matcher
 * backtracks in C, where no budget interrupts it: ("a?"):rep(30) .. ("a"):rep(30) takes minutes.
 *
 * One call may take PATTERN_STEPS steps (a step is one character looked at, one item of a set, one
 * turn of the matcher); an iterator of gmatch() has as many for each match. The matcher keeps its
 * choices in an array of PATTERN_DEPTH instead of recursing. What gsub() makes is at most
 * PATTERN_OUTPUT bytes. Each of these raises an error that names the limit and its value. */
#ifndef DERD_SCRIPT_PATTERN_H
#define DERD_SCRIPT_PATTERN_H

#include <lua.h>

#define PATTERN_STEPS    200000    /* about 2 ms */
#define PATTERN_DEPTH    200       /* open choices and captures; Lua's own limit */
#define PATTERN_CAPTURES 32        /* Lua's own limit */
#define PATTERN_OUTPUT   (1 << 20) /* bytes */

/* Told when a call has taken more than half of its steps, once per call. May not raise. */
typedef void pattern_near(lua_State *L, const char *function, int steps, int maximum);
struct pattern_watch {
    pattern_near *near;
};

/* [-0, +0] Puts the four functions into the table at `library`. `watch` (NULL: nobody) lives longer
 * than the state. May raise on memory. */
void script_pattern_open(lua_State *L, int library, const struct pattern_watch *watch);

#endif
