#include "base/luadata.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/schema.h"

#define MEMORY_MAXIMUM       (16u << 20) /* held at once by the bare state: 10,000 devices need 5 */
#define ALLOCATED_MAXIMUM    (256u << 20) /* in all: joining long texts in a loop ends too */
#define INSTRUCTIONS_MAXIMUM 5000000
#define INSTRUCTIONS_STEP    1000
#define DEPTH_MAXIMUM        32
#define NODES_MAXIMUM        100000
#define PATH_MAXIMUM         900

/* A tree out of the stack. Only raw access to plain tables: nothing here allocates in Lua or calls
 * a metamethod, so nothing can raise. */
struct reading {
    lua_State *L;
    bool functions;
    struct report *report;
    struct buf path;
    const void *open[DEPTH_MAXIMUM]; /* the tables that lead here, for cycles */
    size_t depth;
    size_t nodes;
    bool failed;
};

/* What the keys of a table are. */
struct keys {
    size_t count;
    size_t whole; /* integers */
    size_t texts;
    lua_Integer least, greatest; /* of the integers */
};

static json_t *read_value(struct reading *reading, int index);

static json_t *read_fail(struct reading *reading, const char *text) {
    report_add(reading->report, buf_string(&reading->path), "%s", text);
    reading->failed = true;
    return NULL;
}

static void path_step(struct buf *path, const char *key, lua_Integer number) {
    size_t length = path->length;
    if (key)
        path_key(path, key, PATH_LUA);
    else
        buf_format(path, "[%lld]", (long long)number);
    if (path->failed)
        path_back(path, length);
}

static struct keys count_keys(lua_State *L, int table) {
    struct keys keys = {0};
    lua_pushnil(L);
    while (lua_next(L, table)) {
        if (lua_isinteger(L, -2)) {
            lua_Integer number = lua_tointeger(L, -2);
            keys.least = keys.whole == 0 || number < keys.least ? number : keys.least;
            keys.greatest = keys.whole == 0 || number > keys.greatest ? number : keys.greatest;
            keys.whole++;
        } else if (lua_type(L, -2) == LUA_TSTRING) {
            keys.texts++;
        }
        keys.count++;
        lua_pop(L, 1);
    }
    return keys;
}

static json_t *read_array(struct reading *reading, int table, size_t count) {
    json_t *array = json_array();
    if (!array)
        return read_fail(reading, "there was no memory left to read it");
    for (size_t i = 1; i <= count && reading->nodes <= NODES_MAXIMUM; i++) {
        size_t length = reading->path.length;
        path_step(&reading->path, NULL, (lua_Integer)i);
        lua_rawgeti(reading->L, table, (lua_Integer)i);
        json_t *value = read_value(reading, lua_gettop(reading->L));
        if (value && json_array_append_new(array, value) != 0)
            read_fail(reading, "there was no memory left to read it");
        lua_pop(reading->L, 1);
        path_back(&reading->path, length);
    }
    return array;
}

struct member {
    const char *key;
    json_t *value;
};

static int compare_members(const void *a, const void *b) {
    return strcmp(((const struct member *)a)->key, ((const struct member *)b)->key);
}

static int compare_numbered(const void *a, const void *b) {
    long long x = strtoll(((const struct member *)a)->key, NULL, 10);
    long long y = strtoll(((const struct member *)b)->key, NULL, 10);
    return (x > y) - (x < y);
}

/* Lua's own order of keys differs from run to run; listings and messages should not. */
static json_t *sort_object(json_t *object, bool numbered) {
    size_t count = json_object_size(object);
    if (count < 2)
        return object;
    json_t *sorted = json_object();
    struct member *members = calloc(count, sizeof *members);
    if (sorted && members) {
        const char *key;
        json_t *value;
        size_t i = 0;
        json_object_foreach(object, key, value) members[i++] = (struct member){key, value};
        qsort(members, count, sizeof *members, numbered ? compare_numbered : compare_members);
        for (i = 0; i < count; i++) {
            if (json_object_set_nocheck(sorted, members[i].key, members[i].value) != 0) {
                json_decref(sorted);
                sorted = NULL;
                break;
            }
        }
    } else {
        json_decref(sorted);
        sorted = NULL;
    }
    free(members);
    if (!sorted)
        return object; /* without memory the order is all that is lost */
    json_decref(object);
    return sorted;
}

static bool is_text(const char *text, size_t length) {
    json_t *probe = json_stringn(text, length);
    json_decref(probe);
    return probe != NULL;
}

/* The entry on top of the stack (key, value) into `object`. */
static void read_member(struct reading *reading, json_t *object) {
    lua_State *L = reading->L;
    char number[24];
    const char *key = number;
    size_t length = reading->path.length;
    if (lua_isinteger(L, -2)) {
        snprintf(number, sizeof number, "%lld", (long long)lua_tointeger(L, -2));
        path_step(&reading->path, NULL, lua_tointeger(L, -2));
    } else {
        size_t key_length;
        key = lua_tolstring(L, -2, &key_length);
        if (strlen(key) != key_length || !is_text(key, key_length)) {
            read_fail(reading, "expected keys that are UTF-8 text, got one with other bytes; save "
                               "the file as UTF-8");
            return;
        }
        path_step(&reading->path, key, 0);
    }
    json_t *value = read_value(reading, lua_gettop(L));
    if (value && json_object_set_new_nocheck(object, key, value) != 0)
        read_fail(reading, "there was no memory left to read it");
    path_back(&reading->path, length);
}

static json_t *read_object(struct reading *reading, int table, bool numbered) {
    lua_State *L = reading->L;
    json_t *object = json_object();
    if (!object)
        return read_fail(reading, "there was no memory left to read it");
    lua_pushnil(L);
    while (lua_next(L, table)) {
        read_member(reading, object);
        lua_pop(L, 1);
        if (reading->nodes > NODES_MAXIMUM) {
            lua_pop(L, 1);
            break;
        }
    }
    return sort_object(object, numbered);
}

static json_t *read_table(struct reading *reading, int table) {
    lua_State *L = reading->L;
    const void *address = lua_topointer(L, table);
    for (size_t i = 0; i < reading->depth; i++)
        if (reading->open[i] == address)
            return read_fail(reading, "expected plain data, got a table that contains itself; "
                                      "write the values out");
    if (reading->depth == DEPTH_MAXIMUM || !lua_checkstack(L, 6))
        return read_fail(reading, "expected at most 32 tables inside each other, got more; make "
                                  "it flatter");
    struct keys keys = count_keys(L, table);
    if (keys.whole + keys.texts < keys.count)
        return read_fail(reading, "expected keys that are names or whole numbers, got another "
                                  "kind of key; rename it");
    if (keys.whole > 0 && keys.texts > 0)
        return read_fail(reading, "expected either a list or named fields, got both in one table; "
                                  "give each value a name, or none (is a comma or a brace "
                                  "misplaced?)");
    bool list = keys.whole > 0 && keys.least == 1 && keys.greatest == (lua_Integer)keys.count;
    reading->open[reading->depth++] = address;
    json_t *tree =
        list ? read_array(reading, table, keys.count) : read_object(reading, table, keys.whole > 0);
    reading->depth--;
    return tree;
}

static json_t *read_number(struct reading *reading, int index) {
    if (lua_isinteger(reading->L, index))
        return json_integer(lua_tointeger(reading->L, index));
    double number = lua_tonumber(reading->L, index);
    if (!isfinite(number))
        return read_fail(reading, "expected a finite number, got infinity or the result of 0/0; "
                                  "write the number out");
    return json_real(number);
}

static json_t *read_value(struct reading *reading, int index) {
    lua_State *L = reading->L;
    if (++reading->nodes > NODES_MAXIMUM) {
        if (reading->nodes == NODES_MAXIMUM + 1)
            read_fail(reading, "expected at most 100000 values, got more; leave some out");
        return NULL;
    }
    json_t *value = NULL;
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        value = json_null();
        break;
    case LUA_TBOOLEAN:
        value = json_boolean(lua_toboolean(L, index));
        break;
    case LUA_TNUMBER:
        value = read_number(reading, index);
        break;
    case LUA_TSTRING: {
        size_t length;
        const char *text = lua_tolstring(L, index, &length);
        value = json_stringn(text, length);
        if (!value)
            read_fail(reading, "expected UTF-8 text, got other bytes; save the file as UTF-8");
        break;
    }
    case LUA_TTABLE:
        value = read_table(reading, index);
        break;
    case LUA_TLIGHTUSERDATA:
        if (luadata_is_null(L, index))
            value = json_null();
        else
            read_fail(reading, "expected plain data, got a userdata");
        break;
    case LUA_TFUNCTION:
        if (reading->functions)
            value = json_true();
        else
            read_fail(reading, "expected plain data, got a function; write the value itself");
        break;
    default:
        read_fail(reading, "expected plain data, got something that is neither text, number, "
                           "boolean nor table; write the value itself");
    }
    if (!value)
        reading->failed = true;
    return value;
}

json_t *luadata_from_stack(lua_State *L, int index, bool functions, struct report *report) {
    struct reading reading = {.L = L, .functions = functions, .report = report};
    buf_init(&reading.path, PATH_MAXIMUM);
    size_t before = report->total;
    json_t *tree = NULL;
    if (lua_checkstack(L, 6))
        tree = read_value(&reading, lua_absindex(L, index));
    else
        reading.failed = true;
    if (reading.failed) {
        json_decref(tree);
        tree = NULL;
        if (report->total == before)
            report_add(report, "", "there was no memory left to read it");
    }
    buf_free(&reading.path);
    return tree;
}

/* The bare state. */

struct bare {
    size_t held, allocated;
    long instructions;
};

struct source {
    const char *chunk_name;
    const char *text;
    size_t length;
};

static void *bare_allocate(void *context, void *block, size_t old_size, size_t new_size) {
    struct bare *bare = context;
    size_t old = block ? old_size : 0; /* without a block, old_size is a kind of object */
    if (new_size == 0) {
        bare->held -= old;
        free(block);
        return NULL;
    }
    if (new_size > old && (new_size - old > MEMORY_MAXIMUM - bare->held ||
                           new_size > ALLOCATED_MAXIMUM - bare->allocated))
        return NULL;
    void *moved = realloc(block, new_size);
    if (!moved)
        return NULL;
    bare->held += new_size - old;
    if (new_size > old)
        bare->allocated += new_size;
    return moved;
}

/* Stays set: each further step raises again. */
static void bare_count(lua_State *L, lua_Debug *event) {
    (void)event;
    void *context;
    lua_getallocf(L, &context);
    struct bare *bare = context;
    bare->instructions += INSTRUCTIONS_STEP;
    if (bare->instructions > INSTRUCTIONS_MAXIMUM) {
        luaL_where(L, 0); /* in a hook, level 0 is what it interrupted */
        lua_pushfstring(L, "this ran for more than %d steps; write plain values instead of loops",
                        INSTRUCTIONS_MAXIMUM);
        lua_concat(L, 2);
        lua_error(L);
    }
}

/* [-1, +1] */
static int bare_run(lua_State *L) {
    const struct source *source = lua_touserdata(L, 1);
    if (luaL_loadbufferx(L, source->text, source->length, source->chunk_name, "t") != LUA_OK)
        return lua_error(L);
    lua_call(L, 0, 1);
    return 1;
}

/* "[string]:3: text" or "home.lua:3: text" as place and text. Lua shortens long names, so the name
 * is put back in full. */
static void report_lua_error(const char *name, const char *message, int status,
                             struct report *report) {
    if (status == LUA_ERRMEM) {
        report_add(report, name,
                   "expected a file that needs at most 16 MiB to run, got a larger one; write "
                   "plain values and fewer of them");
        return;
    }
    for (const char *at = strchr(message, ':'); at; at = strchr(at + 1, ':')) {
        size_t digits = strspn(at + 1, "0123456789");
        if (digits == 0 || digits > 9 || strncmp(at + 1 + digits, ": ", 2) != 0)
            continue;
        struct buf where;
        buf_init(&where, PATH_MAXIMUM);
        buf_format(&where, "%s:%.*s", name, (int)digits, at + 1);
        report_add(report, buf_string(&where), "%s%s", at + 1 + digits + 2,
                   strstr(message, "attempt to call")
                       ? "; this file may only return data, it has no functions to call"
                       : "");
        buf_free(&where);
        return;
    }
    report_add(report, name, "%s", message);
}

static json_t *bare_result(lua_State *L, const char *name, struct report *report) {
    if (lua_type(L, -1) != LUA_TTABLE) {
        report_add(report, name,
                   "expected a file that returns a table, got %s; begin it with `return {`",
                   lua_isnil(L, -1) ? "nothing" : lua_typename(L, lua_type(L, -1)));
        return NULL;
    }
    return luadata_from_stack(L, -1, false, report);
}

json_t *luadata_load(const char *name, const char *text, size_t length, struct report *report) {
    struct bare bare = {0};
    json_t *tree = NULL;
    lua_State *L = lua_newstate(bare_allocate, &bare);
    struct buf chunk_name;
    buf_init(&chunk_name, PATH_MAXIMUM);
    buf_format(&chunk_name, "@%s", name);
    if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) { /* some editors put it there */
        text += 3;
        length -= 3;
    }
    struct source source = {buf_string(&chunk_name), text, length};
    if (!L) {
        report_add(report, name, "there was no memory left to read it");
        goto out;
    }
    lua_sethook(L, bare_count, LUA_MASKCOUNT, INSTRUCTIONS_STEP);
    lua_pushcfunction(L, bare_run);
    lua_pushlightuserdata(L, &source);
    int status = lua_pcall(L, 1, 1, 0);
    if (status == LUA_OK)
        tree = bare_result(L, name, report);
    else if (lua_type(L, -1) == LUA_TSTRING)
        report_lua_error(name, lua_tostring(L, -1), status, report);
    else
        report_add(report, name, "it failed without a message; write plain values only");
out:
    buf_free(&chunk_name);
    if (L)
        lua_close(L);
    return tree;
}

static const char null_value; /* its address is null */

void luadata_push_null(lua_State *L) {
    lua_pushlightuserdata(L, (void *)&null_value);
}

bool luadata_is_null(lua_State *L, int index) {
    return lua_touserdata(L, index) == (const void *)&null_value;
}

static void push(lua_State *L, const json_t *tree, bool nulls) {
    luaL_checkstack(L, 4, "too many tables inside each other");
    switch (tree ? json_typeof(tree) : JSON_NULL) {
    case JSON_NULL:
        if (nulls)
            luadata_push_null(L);
        else
            lua_pushnil(L);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        lua_pushboolean(L, json_is_true(tree));
        break;
    case JSON_INTEGER:
        lua_pushinteger(L, json_integer_value(tree));
        break;
    case JSON_REAL:
        lua_pushnumber(L, json_real_value(tree));
        break;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(tree), json_string_length(tree));
        break;
    case JSON_ARRAY:
        lua_createtable(L, (int)json_array_size(tree), 0);
        for (size_t i = 0; i < json_array_size(tree); i++) {
            push(L, json_array_get(tree, i), nulls);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        break;
    case JSON_OBJECT: {
        const char *key;
        json_t *value;
        lua_createtable(L, 0, (int)json_object_size(tree));
        json_object_foreach((json_t *)tree, key, value) {
            lua_pushstring(L, key);
            push(L, value, nulls);
            lua_rawset(L, -3);
        }
        break;
    }
    }
}

/* Whether the Lua value on top is of the kind of `value`, and the same unless it is a number. */
static bool only_number_differs(lua_State *L, const json_t *value) {
    size_t length;
    switch (lua_type(L, -1)) {
    case LUA_TNUMBER:
        return lua_isinteger(L, -1) ? json_is_integer(value)
                                    : json_is_real(value) && isfinite(lua_tonumber(L, -1));
    case LUA_TBOOLEAN:
        return json_is_boolean(value) && lua_toboolean(L, -1) == json_is_true(value);
    case LUA_TSTRING:
        if (!json_is_string(value))
            return false;
        (void)lua_tolstring(L, -1, &length);
        return length == json_string_length(value) &&
               memcmp(lua_tostring(L, -1), json_string_value(value), length) == 0;
    default:
        return false;
    }
}

/* The member of the key below the top of the stack, NULL: none. */
static json_t *member_of(lua_State *L, const json_t *object) {
    size_t length;
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &length) : NULL;
    return key && strlen(key) == length ? json_object_get(object, key) : NULL;
}

bool luadata_refresh(lua_State *L, int index, json_t *object) {
    int top = lua_gettop(L), table = lua_absindex(L, index);
    size_t count = 0;
    if (!json_is_object(object) || !lua_istable(L, table) || !lua_checkstack(L, 3))
        return false;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1), count++)
        if (!only_number_differs(L, member_of(L, object))) {
            lua_settop(L, top);
            return false;
        }
    if (count != json_object_size(object))
        return false;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        json_t *value = member_of(L, object);
        if (json_is_integer(value))
            json_integer_set(value, lua_tointeger(L, -1));
        else if (json_is_real(value))
            json_real_set(value, lua_tonumber(L, -1));
    }
    return true;
}

void luadata_push(lua_State *L, const json_t *tree) {
    push(L, tree, false);
}

void luadata_push_nulls(lua_State *L, const json_t *tree) {
    push(L, tree, true);
}

json_t *luadata_map(const json_t *tree) {
    if (!json_is_array(tree))
        return json_incref((json_t *)tree);
    json_t *map = json_object();
    for (size_t i = 0; map && i < json_array_size(tree); i++) {
        char key[24];
        snprintf(key, sizeof key, "%zu", i + 1);
        if (json_object_set_nocheck(map, key, json_array_get(tree, i)) != 0) {
            json_decref(map);
            map = NULL;
        }
    }
    return map;
}

static void report_errno(struct report *report, const char *path, const char *what) {
    char text[128];
    report_add(report, path, "%s: %s; check the path and who may read it", what,
               strerror_r(errno, text, sizeof text));
}

char *file_read(const char *path, size_t maximum, size_t *length, struct report *report) {
    char *data = NULL;
    size_t held = 0;
    /* Non-blocking: the name of a pipe must not hang the host. */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat about;
    if (file < 0 || fstat(file, &about) != 0) {
        report_errno(report, path, "this file cannot be opened");
        goto fail;
    }
    if (!S_ISREG(about.st_mode)) {
        report_add(report, path, "expected a file, got a directory or a device; name a file");
        goto fail;
    }
    if (about.st_size < 0 || (unsigned long long)about.st_size > maximum) {
        report_add(report, path, "expected at most %zu bytes, got %lld; make the file smaller",
                   maximum, (long long)about.st_size);
        goto fail;
    }
    size_t room = (size_t)about.st_size;
    data = malloc(room + 1);
    if (!data) {
        report_add(report, path, "there was no memory left to read it");
        goto fail;
    }
    while (held < room) {
        ssize_t got = read(file, data + held, room - held);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            report_errno(report, path, "this file cannot be read");
            goto fail;
        }
        if (got == 0)
            break; /* it became shorter meanwhile */
        held += (size_t)got;
    }
    close(file);
    data[held] = '\0';
    *length = held;
    return data;
fail:
    if (file >= 0)
        close(file);
    free(data);
    return NULL;
}
