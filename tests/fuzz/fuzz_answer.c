/* What devices say to hooks: JSON that is decoded for Lua, and encoded again, is the same; lines
 * off a TCP connection come out whole, however they arrive. The first byte says as what it is read.
 */
#include "fuzz.h"

#include <lauxlib.h>
#include <lualib.h>

#include "base/luadata.h"
#include "io/line_internal.h"
#include "script/script_device.h"

/* --- JSON ------------------------------------------------------------------------------------ */

static int load(lua_State *L) {
    const struct feed *feed = lua_touserdata(L, 1);
    return script_load_json(L, (const char *)feed->data, feed->size);
}

static void check_json(struct feed *feed) {
    lua_State *L = luaL_newstate();
    char why[300] = "";
    must(L);
    lua_pushcfunction(L, load);
    lua_pushlightuserdata(L, feed);
    int status = lua_pcall(L, 1, LUA_MULTRET, 0);
    if (status == LUA_OK && lua_gettop(L) == 1) {
        char *text = script_dump_json(L, 1, why, sizeof why);
        must(text || why[0]);
        if (text) {
            struct feed again = {(const uint8_t *)text, strlen(text)};
            lua_settop(L, 0);
            lua_pushcfunction(L, load);
            lua_pushlightuserdata(L, &again);
            must(lua_pcall(L, 1, LUA_MULTRET, 0) == LUA_OK && lua_gettop(L) == 1);
            char *twice = script_dump_json(L, 1, why, sizeof why);
            must(twice && strcmp(text, twice) == 0);
            free(twice);
        }
        free(text);
    } else {
        must(lua_isstring(L, -1)); /* nil and a sentence, or an error */
    }
    lua_close(L);
}

/* --- lines ----------------------------------------------------------------------------------- */

#define LENGTH 40
#define LINES  64

struct lines {
    size_t count;
    char texts[LINES][LENGTH + 1];
    bool lost;
};

/* The lines that come of `data`, in pieces of `piece` bytes. */
static void read_lines(struct feed feed, size_t piece, const char *end, struct lines *lines) {
    static uv_loop_t loop;
    static struct io io = {.loop = &loop};
    struct line_client *client = calloc(1, sizeof *client);
    must(client);
    client->io = &io;
    client->text = "line://device:1";
    client->state = LINE_UP;
    client->length = LENGTH;
    client->ring_size = LINE_RING_MAXIMUM;
    client->turning = true; /* no timer in here */
    snprintf(client->end_in, sizeof client->end_in, "%s", end);
    TAILQ_INIT(&client->waiting);
    TAILQ_INIT(&client->finished);
    client->input = malloc(LENGTH + LINE_END_SIZE);
    must(client->input);
    lines->count = 0;
    lines->lost = false;
    while (feed.size > 0 && client->state == LINE_UP) {
        size_t some = feed.size < piece ? feed.size : piece;
        line_bytes(client, (const char *)feed.data, some);
        must(client->filled <= LENGTH + LINE_END_SIZE);
        feed.data += some;
        feed.size -= some;
        const struct line_text *taken;
        while ((taken = line_take(client))) {
            must(taken->length <= LENGTH && taken->text[taken->length] == '\0');
            if (lines->count < LINES)
                memcpy(lines->texts[lines->count++], taken->text, taken->length + 1);
        }
    }
    lines->lost = client->state != LINE_UP;
    free(client->taken_line);
    free(client->input);
    free(client);
}

static void check_lines(struct feed *feed) {
    static struct lines one, other;
    static const char *const ends[] = {"", "\r\n", ";", "ETX"};
    const char *end = ends[feed_byte(feed) % 4];
    size_t piece = 1 + feed_byte(feed) % 7;
    if (memchr(feed->data, 0, feed->size))
        return;
    read_lines(*feed, 1, end, &one);
    read_lines(*feed, piece, end, &other);
    must(one.lost == other.lost);
    /* What came whole before the connection was given up may be taken or not, the rest is equal. */
    must(one.lost || one.count == other.count);
    for (size_t i = 0; i < one.count && i < other.count; i++)
        must(strcmp(one.texts[i], other.texts[i]) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct feed feed = {data, size};
    if (size > 8192)
        return -1;
    if (feed_byte(&feed) & 1) {
        check_lines(&feed);
    } else {
        feed.data = exact_copy(feed.data, feed.size);
        check_json(&feed);
        free((void *)(uintptr_t)feed.data);
    }
    return 0;
}
