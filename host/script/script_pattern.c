#include "script/script_pattern.h"

#include <ctype.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Places in subject and pattern are offsets; both are far below 2^31 bytes long. */
#define TEXT_MAXIMUM (INT_MAX / 2)

enum { LENGTH_OPEN = -1, LENGTH_POSITION = -2 };

struct capture {
    int start;
    int length; /* or LENGTH_OPEN, LENGTH_POSITION */
};

struct matcher {
    lua_State *L;
    const struct pattern_watch *watch;
    const char *function; /* "find" */
    const char *subject;  /* both texts end with a NUL behind their length */
    const char *pattern;
    int subject_length, pattern_length;
    int steps; /* in this call */
    int captures;
    struct capture capture[PATTERN_CAPTURES];
};

/* What is to be done when the way that was taken comes to no match. Captures are undone in the
 * order in which they were made, between the choices. */
enum undo { UNDO_OPEN, UNDO_CLOSE, TRY_LESS, TRY_MORE, TRY_WITHOUT };

struct choice {
    enum undo undo;
    int at;    /* TRY_*: where in the subject the rest of the pattern is tried; CLOSE: which */
    int least; /* TRY_LESS: not before this */
    int item;  /* TRY_MORE: the pattern's item that may match once more */
    int rest;  /* TRY_*: the pattern behind item and quantifier */
};

static void take_steps(struct matcher *m, int count) {
    int before = m->steps;
    m->steps = count > PATTERN_STEPS - before ? PATTERN_STEPS + 1 : before + count;
    if (m->steps > PATTERN_STEPS)
        luaL_error(m->L,
                   "string.%s was stopped: matching may take %d steps in one call; use a shorter "
                   "text, or a pattern with fewer of '*', '+', '-' and '?' behind one another",
                   m->function, PATTERN_STEPS);
    if (before <= PATTERN_STEPS / 2 && m->steps > PATTERN_STEPS / 2 && m->watch && m->watch->near)
        m->watch->near(m->L, m->function, m->steps, PATTERN_STEPS);
}

/* ---- single characters ---- */

static unsigned char pattern_at(const struct matcher *m, int p) {
    return (unsigned char)m->pattern[p];
}

static unsigned char subject_at(const struct matcher *m, int s) {
    return (unsigned char)m->subject[s];
}

/* The place behind the single-character item that starts at p: "a", ".", "%a", "[...]". */
static int item_end(struct matcher *m, int p) {
    int first = pattern_at(m, p++);
    if (first == '%') {
        if (p == m->pattern_length)
            luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 1;
    }
    if (first != '[')
        return p;
    int start = p;
    if (pattern_at(m, p) == '^')
        p++;
    bool member = false; /* a ']' that comes first is a member of the set */
    for (; !member || pattern_at(m, p) != ']'; member = true) {
        if (p == m->pattern_length)
            luaL_error(m->L, "malformed pattern (missing ']')");
        bool escape = pattern_at(m, p++) == '%';
        if (escape && p < m->pattern_length)
            p++;
    }
    take_steps(m, (p - start) / 4);
    return p + 1;
}

/* Whether c belongs to the class of a letter behind '%'; other characters stand for themselves. */
static bool in_class(int c, int letter) {
    bool belongs;
    switch (tolower(letter)) {
    case 'a':
        belongs = isalpha(c);
        break;
    case 'c':
        belongs = iscntrl(c);
        break;
    case 'd':
        belongs = isdigit(c);
        break;
    case 'g':
        belongs = isgraph(c);
        break;
    case 'l':
        belongs = islower(c);
        break;
    case 'p':
        belongs = ispunct(c);
        break;
    case 's':
        belongs = isspace(c);
        break;
    case 'u':
        belongs = isupper(c);
        break;
    case 'w':
        belongs = isalnum(c);
        break;
    case 'x':
        belongs = isxdigit(c);
        break;
    case 'z': /* no longer in the manual, but still understood */
        belongs = c == 0;
        break;
    default:
        return c == letter;
    }
    return belongs != (isupper(letter) != 0);
}

/* Whether c is in the set between '[' at p and ']' at `end` - 1. */
static bool in_set(struct matcher *m, int c, int p, int end) {
    int last = end - 1;
    bool inverted = pattern_at(m, p + 1) == '^';
    bool found = false;
    int first = p += inverted ? 2 : 1;
    while (p < last && !found) {
        int low = pattern_at(m, p);
        if (low == '%') {
            found = in_class(c, pattern_at(m, p + 1));
            p += 2;
        } else if (p + 2 < last && pattern_at(m, p + 1) == '-') {
            found = low <= c && c <= pattern_at(m, p + 2);
            p += 3;
        } else {
            found = low == c;
            p++;
        }
    }
    take_steps(m, p - first);
    return found != inverted;
}

/* Whether the item from p to `end` matches the character at s. */
static bool matches_one(struct matcher *m, int s, int p, int end) {
    take_steps(m, 1);
    if (s >= m->subject_length)
        return false;
    int c = subject_at(m, s);
    switch (pattern_at(m, p)) {
    case '.':
        return true;
    case '%':
        return in_class(c, pattern_at(m, p + 1));
    case '[':
        return in_set(m, c, p, end);
    default:
        return c == pattern_at(m, p);
    }
}

/* ---- items of several characters: each gives the place in the subject behind it, or -1 ---- */

/* %bxy, with p at x. */
static int match_balanced(struct matcher *m, int s, int p) {
    if (p + 1 >= m->pattern_length)
        luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    int opening = pattern_at(m, p), closing = pattern_at(m, p + 1), open = 0;
    for (int at = s; at < m->subject_length; at++) {
        int c = subject_at(m, at);
        take_steps(m, 1);
        if (at == s) {
            if (c != opening)
                return -1;
            open = 1;
        } else if (c == closing) {
            if (--open == 0)
                return at + 1;
        } else if (c == opening) {
            open++;
        }
    }
    return -1;
}

/* %1 to %9: the same text again. */
static int match_again(struct matcher *m, int s, int digit) {
    int index = digit - '1';
    if (index < 0 || index >= m->captures || m->capture[index].length == LENGTH_OPEN)
        luaL_error(m->L, "invalid capture index %%%d", index + 1);
    struct capture capture = m->capture[index];
    if (capture.length == LENGTH_POSITION || capture.length > m->subject_length - s)
        return -1;
    take_steps(m, capture.length);
    if (memcmp(m->subject + capture.start, m->subject + s, (size_t)capture.length) != 0)
        return -1;
    return s + capture.length;
}

/* %f[set], with p at '[' and `end` behind ']': between a character that is not in the set and one
 * that is; both ends of the subject count as a NUL. */
static bool at_frontier(struct matcher *m, int s, int p, int end) {
    int before = s == 0 ? 0 : subject_at(m, s - 1);
    return !in_set(m, before, p, end) && in_set(m, subject_at(m, s), p, end);
}

/* ---- the matcher ---- */

struct walk {
    struct matcher *m;
    int s, p; /* what is matched next */
    int depth;
    struct choice choices[PATTERN_DEPTH];
};

static void push_choice(struct walk *walk, struct choice choice) {
    /* The walk itself counts as one. */
    if (walk->depth >= PATTERN_DEPTH - 1)
        luaL_error(walk->m->L, "pattern too complex");
    walk->choices[walk->depth++] = choice;
}

static void open_capture(struct walk *walk, int length) {
    struct matcher *m = walk->m;
    if (m->captures >= PATTERN_CAPTURES)
        luaL_error(m->L, "too many captures");
    m->capture[m->captures++] = (struct capture){walk->s, length};
    push_choice(walk, (struct choice){.undo = UNDO_OPEN});
}

static void close_capture(struct walk *walk) {
    struct matcher *m = walk->m;
    int index = m->captures - 1;
    while (index >= 0 && m->capture[index].length != LENGTH_OPEN)
        index--;
    if (index < 0)
        luaL_error(m->L, "invalid pattern capture");
    m->capture[index].length = walk->s - m->capture[index].start;
    push_choice(walk, (struct choice){.undo = UNDO_CLOSE, .at = index});
}

/* One character with its quantifier. */
static bool step_single(struct walk *walk) {
    struct matcher *m = walk->m;
    int item = walk->p, end = item_end(m, item), s = walk->s;
    int quantifier = end < m->pattern_length ? pattern_at(m, end) : 0;
    if (!matches_one(m, s, item, end)) {
        walk->p = end + 1;
        return quantifier == '*' || quantifier == '?' || quantifier == '-';
    }
    int rest = end + 1;
    switch (quantifier) {
    case '?':
        push_choice(walk, (struct choice){.undo = TRY_WITHOUT, .at = s, .rest = rest});
        walk->s++;
        break;
    case '-':
        push_choice(walk, (struct choice){TRY_MORE, .at = s, .item = item, .rest = rest});
        break;
    case '*':
    case '+':
        do
            walk->s++;
        while (matches_one(m, walk->s, item, end));
        push_choice(walk, (struct choice){.undo = TRY_LESS,
                                          .at = walk->s,
                                          .least = quantifier == '+' ? s + 1 : s,
                                          .rest = rest});
        break;
    default:
        walk->s++;
        rest = end;
    }
    walk->p = rest;
    return true;
}

/* Takes a place behind an item of several characters; -1: it did not match. */
static bool step_over(struct walk *walk, int s, int p) {
    walk->s = s;
    walk->p = p;
    return s >= 0;
}

/* The next item of the pattern; false when it does not match here. */
static bool step(struct walk *walk) {
    struct matcher *m = walk->m;
    int p = walk->p, next = pattern_at(m, p + 1);
    take_steps(m, 1);
    switch (pattern_at(m, p)) {
    case '(':
        open_capture(walk, next == ')' ? LENGTH_POSITION : LENGTH_OPEN);
        walk->p += next == ')' ? 2 : 1;
        return true;
    case ')':
        close_capture(walk);
        walk->p++;
        return true;
    case '$':
        if (p + 1 != m->pattern_length)
            return step_single(walk);
        walk->p++;
        return walk->s == m->subject_length;
    case '%':
        if (next == 'b')
            return step_over(walk, match_balanced(m, walk->s, p + 2), p + 4);
        if (isdigit(next))
            return step_over(walk, match_again(m, walk->s, next), p + 2);
        if (next == 'f') {
            if (pattern_at(m, p + 2) != '[')
                luaL_error(m->L, "missing '[' after '%%f' in pattern");
            walk->p = item_end(m, p + 2);
            return at_frontier(m, walk->s, p + 2, walk->p);
        }
        return step_single(walk);
    default:
        return step_single(walk);
    }
}

/* Back to the last choice that has another way; false when there is none. */
static bool go_back(struct walk *walk) {
    struct matcher *m = walk->m;
    while (walk->depth > 0) {
        struct choice *choice = &walk->choices[walk->depth - 1];
        take_steps(m, 1);
        walk->p = choice->rest;
        switch (choice->undo) {
        case UNDO_OPEN:
            m->captures--;
            break;
        case UNDO_CLOSE:
            m->capture[choice->at].length = LENGTH_OPEN;
            break;
        case TRY_WITHOUT:
            walk->s = choice->at;
            walk->depth--;
            return true;
        case TRY_LESS:
            if (choice->at == choice->least)
                break;
            walk->s = --choice->at;
            return true;
        case TRY_MORE:
            if (!matches_one(m, choice->at, choice->item, choice->rest - 1))
                break;
            walk->s = ++choice->at;
            return true;
        }
        walk->depth--;
    }
    return false;
}

/* Matches the pattern from p on with the subject from s on: the place behind the match, or -1. */
static int match_here(struct matcher *m, int s, int p) {
    struct walk walk;
    walk.m = m;
    walk.s = s;
    walk.p = p;
    walk.depth = 0;
    m->captures = 0;
    while (walk.p < m->pattern_length)
        if (!step(&walk) && !go_back(&walk))
            return -1;
    return walk.s;
}

/* ---- captures ---- */

/* [-0, +1] Capture `index` (from 0) of the match from s to `end`; the whole match stands for the
 * first one of a pattern without captures. */
static void push_capture(struct matcher *m, int index, int s, int end) {
    struct capture whole = {s, end - s};
    if (index >= m->captures && index > 0)
        luaL_error(m->L, "invalid capture index %%%d", index + 1);
    const struct capture *capture = index < m->captures ? &m->capture[index] : &whole;
    if (capture->length == LENGTH_OPEN)
        luaL_error(m->L, "unfinished capture");
    if (capture->length == LENGTH_POSITION)
        lua_pushinteger(m->L, (lua_Integer)capture->start + 1);
    else
        lua_pushlstring(m->L, m->subject + capture->start, (size_t)capture->length);
}

/* [-0, +n] All captures; without any, the whole match when `or_whole`. */
static int push_captures(struct matcher *m, int s, int end, bool or_whole) {
    int count = m->captures == 0 && or_whole ? 1 : m->captures;
    luaL_checkstack(m->L, count, "too many captures");
    for (int i = 0; i < count; i++)
        push_capture(m, i, s, end);
    return count;
}

/* ---- the functions ---- */

/* Subject and pattern, arguments 1 and 2, which stay on the stack. Upvalue 1 is the watch. */
static void read_texts(lua_State *L, const char *function, struct matcher *m) {
    size_t subject_length, pattern_length;
    lua_Hook budget = lua_gethook(L); /* C functions can call this without Lua between them */
    if (budget)
        budget(L, NULL);
    m->L = L;
    m->watch = lua_touserdata(L, lua_upvalueindex(1));
    m->function = function;
    m->subject = luaL_checklstring(L, 1, &subject_length);
    m->pattern = luaL_checklstring(L, 2, &pattern_length);
    if (subject_length > TEXT_MAXIMUM || pattern_length > TEXT_MAXIMUM)
        luaL_error(L, "string.%s takes texts of at most %d bytes", function, TEXT_MAXIMUM);
    m->subject_length = (int)subject_length;
    m->pattern_length = (int)pattern_length;
    m->steps = 0;
    m->captures = 0;
}

/* Argument 3 as an offset: counted from 1, negative from the end. May be beyond the end. */
static int read_start(lua_State *L, int subject_length) {
    lua_Integer start = luaL_optinteger(L, 3, 1);
    if (start > subject_length)
        return start - 1 > subject_length ? subject_length + 1 : subject_length;
    if (start > 0)
        return (int)start - 1;
    if (start == 0 || start < -(lua_Integer)subject_length)
        return 0;
    return subject_length + (int)start;
}

static bool is_plain(const struct matcher *m) {
    for (int p = 0; p < m->pattern_length; p++)
        if (m->pattern[p] && strchr("^$*+?.([%-", m->pattern[p]))
            return false;
    return true;
}

/* [-0, +1 or +2] */
static int find_plain(struct matcher *m, int start) {
    const char *found = memmem(m->subject + start, (size_t)(m->subject_length - start), m->pattern,
                               (size_t)m->pattern_length);
    if (!found) {
        luaL_pushfail(m->L);
        return 1;
    }
    lua_pushinteger(m->L, found - m->subject + 1);
    lua_pushinteger(m->L, found - m->subject + m->pattern_length);
    return 2;
}

static int find_or_match(lua_State *L, bool find) {
    struct matcher m;
    read_texts(L, find ? "find" : "match", &m);
    int s = read_start(L, m.subject_length);
    if (s <= m.subject_length && find && (lua_toboolean(L, 4) || is_plain(&m)))
        return find_plain(&m, s);
    bool anchored = m.pattern[0] == '^';
    for (; s <= m.subject_length; s++) {
        int end = match_here(&m, s, anchored);
        if (end >= 0 && !find)
            return push_captures(&m, s, end, true);
        if (end >= 0) {
            lua_pushinteger(L, (lua_Integer)s + 1);
            lua_pushinteger(L, end);
            return 2 + push_captures(&m, s, end, false);
        }
        if (anchored)
            break;
    }
    luaL_pushfail(L);
    return 1;
}

static int pattern_find(lua_State *L) {
    return find_or_match(L, true);
}

static int pattern_match(lua_State *L) {
    return find_or_match(L, false);
}

/* The iterator. Upvalues: watch, subject, pattern, where to go on, where the last match ended (an
 * empty match there would be found again and again). */
static int next_match(lua_State *L) {
    struct matcher m;
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushvalue(L, lua_upvalueindex(3));
    read_texts(L, "gmatch", &m);
    int s = (int)lua_tointeger(L, lua_upvalueindex(4));
    int last_end = (int)lua_tointeger(L, lua_upvalueindex(5));
    for (; s <= m.subject_length; s++) {
        int end = match_here(&m, s, 0);
        if (end < 0 || end == last_end)
            continue;
        lua_pushinteger(L, end);
        lua_copy(L, -1, lua_upvalueindex(4));
        lua_replace(L, lua_upvalueindex(5));
        return push_captures(&m, s, end, true);
    }
    return 0;
}

static int pattern_gmatch(lua_State *L) {
    struct matcher m;
    read_texts(L, "gmatch", &m);
    int start = read_start(L, m.subject_length);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_pushinteger(L, start);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, next_match, 5);
    return 1;
}

/* ---- gsub ---- */

struct substitution {
    struct matcher m;
    luaL_Buffer output;
    size_t output_length;
    int type; /* of the replacement, argument 3 */
};

/* Before `length` bytes go into the output. */
static void claim_output(struct substitution *sub, size_t length) {
    if (length > PATTERN_OUTPUT - sub->output_length)
        luaL_error(sub->m.L, "string.gsub was stopped: the new text may have %d bytes in one call",
                   PATTERN_OUTPUT);
    sub->output_length += length;
}

static void add_text(struct substitution *sub, const char *text, size_t length) {
    claim_output(sub, length);
    luaL_addlstring(&sub->output, text, length);
}

/* [-1, +0] The value on top. */
static void add_top(struct substitution *sub) {
    size_t length;
    lua_tolstring(sub->m.L, -1, &length);
    claim_output(sub, length);
    luaL_addvalue(&sub->output);
}

/* The replacement text with its %0 to %9 filled in. */
static void add_template(struct substitution *sub, int s, int end) {
    struct matcher *m = &sub->m;
    size_t length;
    const char *text = lua_tolstring(m->L, 3, &length), *stop = text + length;
    while (text < stop) {
        const char *escape = memchr(text, '%', (size_t)(stop - text));
        add_text(sub, text, (size_t)((escape ? escape : stop) - text));
        if (!escape)
            return;
        take_steps(m, 1);
        char what = escape[1]; /* a NUL at the end */
        text = escape + 2;
        if (what == '%' && escape + 1 < stop) {
            add_text(sub, "%", 1);
        } else if (what == '0') {
            add_text(sub, m->subject + s, (size_t)(end - s));
        } else if (isdigit((unsigned char)what)) {
            int index = what - '1';
            push_capture(m, index, s, end);
            add_top(sub);
        } else {
            luaL_error(m->L, "invalid use of '%%' in replacement string");
        }
    }
}

/* What stands for the match from s to `end`; false when the match itself stays. */
static bool add_replacement(struct substitution *sub, int s, int end) {
    struct matcher *m = &sub->m;
    lua_State *L = m->L;
    if (sub->type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(m, s, end, true), 1);
    } else if (sub->type == LUA_TTABLE) {
        push_capture(m, 0, s, end);
        lua_gettable(L, 3);
    } else {
        add_template(sub, s, end);
        return true;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        add_text(sub, m->subject + s, (size_t)(end - s));
        return false;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    add_top(sub);
    return true;
}

static int pattern_gsub(lua_State *L) {
    struct substitution sub;
    struct matcher *m = &sub.m;
    read_texts(L, "gsub", m);
    sub.type = lua_type(L, 3);
    if (sub.type != LUA_TNUMBER && sub.type != LUA_TSTRING && sub.type != LUA_TFUNCTION &&
        sub.type != LUA_TTABLE)
        return luaL_typeerror(L, 3, "string/function/table");
    lua_Integer maximum = luaL_optinteger(L, 4, (lua_Integer)m->subject_length + 1), count = 0;
    bool anchored = m->pattern[0] == '^', changed = false;
    int s = 0, last_end = -1;
    sub.output_length = 0;
    luaL_buffinit(L, &sub.output);
    while (count < maximum) {
        int end = match_here(m, s, anchored);
        if (end >= 0 && end != last_end) {
            count++;
            changed |= add_replacement(&sub, s, end);
            s = last_end = end;
        } else if (s < m->subject_length) {
            add_text(&sub, m->subject + s, 1);
            s++;
        } else {
            break;
        }
        if (anchored)
            break;
    }
    if (changed) {
        add_text(&sub, m->subject + s, (size_t)(m->subject_length - s));
        luaL_pushresult(&sub.output);
    } else {
        lua_pushvalue(L, 1);
    }
    lua_pushinteger(L, count);
    return 2;
}

void script_pattern_open(lua_State *L, int library, const struct pattern_watch *watch) {
    static const luaL_Reg functions[] = {{"find", pattern_find},
                                         {"match", pattern_match},
                                         {"gmatch", pattern_gmatch},
                                         {"gsub", pattern_gsub},
                                         {NULL, NULL}};
    lua_pushvalue(L, library);
    lua_pushlightuserdata(L, (void *)watch);
    luaL_setfuncs(L, functions, 1);
    lua_pop(L, 1);
}
