#include "kit/registers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/luadata.h"

#define WORDS_A_LINE 8

struct registers *registers_new(void) {
    return calloc(1, sizeof(struct registers));
}

void registers_free(struct registers *registers) {
    free(registers);
}

void registers_put(struct registers *registers, enum register_kind kind, uint16_t address,
                   const uint16_t *words, uint16_t count) {
    for (uint32_t i = 0; i < count && address + i < REGISTER_SPAN; i++) {
        registers->words[kind][address + i] = words[i];
        registers->exists[kind][address + i] = 1;
    }
}

bool registers_have(const struct registers *registers, enum register_kind kind, uint16_t address,
                    uint32_t count) {
    if (address + count > REGISTER_SPAN)
        return false;
    return !memchr(registers->exists[kind] + address, 0, count);
}

static bool take_word(const json_t *value, bool bit, uint16_t *word) {
    json_int_t number = json_integer_value(value);
    if (json_is_boolean(value))
        number = json_is_true(value);
    else if (!json_is_integer(value) || number < -32768 || number > (bit ? 1 : 65535))
        return false;
    *word = (uint16_t)number; /* a negative one as its two's complement */
    return true;
}

static bool take_run(struct registers *registers, enum register_kind kind, const char *key,
                     const json_t *run, const char *where, struct report *report) {
    char *end;
    long address = strtol(key, &end, 10);
    size_t count = json_is_array(run) ? json_array_size(run) : 1;
    if (*end || address < 0 || (size_t)address + count > REGISTER_SPAN) {
        report_add(report, where, "expected an address from 0 to 65535 as key, got %s", key);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t word;
        if (!take_word(json_is_array(run) ? json_array_get(run, i) : run,
                       kind == REGISTER_COIL || kind == REGISTER_DISCRETE, &word)) {
            report_add(report, where,
                       "[%ld]: word %zu is not a register's content: a whole number from -32768 "
                       "to 65535 (coils: 0 or 1)",
                       address, i + 1);
            return false;
        }
        registers_put(registers, kind, (uint16_t)(address + (long)i), &word, 1);
    }
    return true;
}

bool registers_take(struct registers *registers, const json_t *tree, const char *where,
                    struct report *report) {
    const char *kind_name;
    json_t *runs;
    bool ok = true;
    json_object_foreach((json_t *)tree, kind_name, runs) {
        int kind = 0;
        while (kind < REGISTER_KINDS && strcmp(register_kind_names()[kind], kind_name) != 0)
            kind++;
        char place[200];
        snprintf(place, sizeof place, "%s.%s", where, kind_name);
        if (kind == REGISTER_KINDS) {
            report_add(report, place, "expected coil, discrete, holding or input");
            ok = false;
            continue;
        }
        json_t *map = luadata_map(runs);
        const char *key;
        json_t *run;
        json_object_foreach(map, key, run) ok =
            take_run(registers, (enum register_kind)kind, key, run, place, report) && ok;
        json_decref(map);
    }
    return ok;
}

static void write_run(const struct registers *registers, enum register_kind kind, uint32_t first,
                      uint32_t count, struct buf *lua, int indent) {
    buf_format(lua, "%*s[%u] = {", indent, "", first);
    for (uint32_t i = 0; i < count; i++) {
        if (count > WORDS_A_LINE && i % WORDS_A_LINE == 0)
            buf_format(lua, "\n%*s", indent + 2, "");
        else
            buf_char(lua, ' ');
        uint16_t word = registers->words[kind][first + i];
        if (kind == REGISTER_COIL || kind == REGISTER_DISCRETE)
            buf_format(lua, "%u%s", word, i + 1 < count ? "," : "");
        else
            buf_format(lua, "0x%04X%s", word, i + 1 < count ? "," : "");
    }
    if (count > WORDS_A_LINE)
        buf_format(lua, ",\n%*s},\n", indent, "");
    else
        buf_text(lua, " },\n");
}

void registers_write(const struct registers *registers, struct buf *lua, int indent) {
    for (int kind = 0; kind < REGISTER_KINDS; kind++) {
        const uint8_t *exists = registers->exists[kind];
        if (!memchr(exists, 1, REGISTER_SPAN))
            continue;
        buf_format(lua, "%*s%s = {\n", indent, "", register_kind_names()[kind]);
        for (uint32_t at = 0; at < REGISTER_SPAN;) {
            uint32_t end = at;
            while (end < REGISTER_SPAN && exists[end])
                end++;
            if (end > at)
                write_run(registers, (enum register_kind)kind, at, end - at, lua, indent + 2);
            at = end + 1;
        }
        buf_format(lua, "%*s},\n", indent, "");
    }
}
