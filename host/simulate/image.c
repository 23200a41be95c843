#include "simulate/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum err sim_image_init(struct sim_image *image, uint16_t holding_first, uint16_t holding_count,
                        uint16_t input_first, uint16_t input_count) {
    memset(image, 0, sizeof *image);
    image->mapping = modbus_mapping_new_start_address(0, 0, 0, 0, holding_first, holding_count,
                                                      input_first, input_count);
    image->flags[SIM_HOLDING] = calloc(holding_count + 1u, 1);
    image->flags[SIM_INPUT] = calloc(input_count + 1u, 1);
    if (image->mapping && image->flags[SIM_HOLDING] && image->flags[SIM_INPUT])
        return ERR_OK;
    sim_image_free(image);
    return ERR_MEMORY;
}

void sim_image_free(struct sim_image *image) {
    if (image->mapping)
        modbus_mapping_free(image->mapping);
    free(image->flags[SIM_HOLDING]);
    free(image->flags[SIM_INPUT]);
    memset(image, 0, sizeof *image);
}

/* Offset of `address` in its table, or -1 when the span does not hold all `count` registers. */
static int image_offset(const struct sim_image *image, enum sim_table table, uint16_t address,
                        uint16_t count) {
    const modbus_mapping_t *mapping = image->mapping;
    int first = table == SIM_HOLDING ? mapping->start_registers : mapping->start_input_registers;
    int size = table == SIM_HOLDING ? mapping->nb_registers : mapping->nb_input_registers;
    int offset = address - first;
    return offset >= 0 && offset + count <= size ? offset : -1;
}

void sim_image_add(struct sim_image *image, enum sim_table table, uint16_t address, uint16_t count,
                   uint8_t flags) {
    int offset = image_offset(image, table, address, count);
    if (offset >= 0)
        memset(image->flags[table] + offset, flags, count);
}

bool sim_image_allows(const struct sim_image *image, enum sim_table table, uint16_t address,
                      uint16_t count, uint8_t flag) {
    int offset = image_offset(image, table, address, count);
    if (offset < 0)
        return false;
    for (int i = 0; i < count; i++)
        if (!(image->flags[table][offset + i] & flag))
            return false;
    return true;
}

uint16_t *sim_image_at(const struct sim_image *image, enum sim_table table, uint16_t address,
                       uint16_t count) {
    int offset = image_offset(image, table, address, count);
    if (offset < 0)
        return NULL;
    return (table == SIM_HOLDING ? image->mapping->tab_registers
                                 : image->mapping->tab_input_registers) +
           offset;
}

void sim_put_16(struct sim_image *image, enum sim_table table, uint16_t address, double value) {
    uint16_t *words = sim_image_at(image, table, address, 1);
    if (words)
        words[0] = (uint16_t)(int64_t)llround(value);
}

void sim_put_32(struct sim_image *image, enum sim_table table, uint16_t address, double value) {
    uint16_t *words = sim_image_at(image, table, address, 2);
    uint32_t raw = (uint32_t)(int64_t)llround(value);
    if (words) {
        words[0] = (uint16_t)(raw >> 16);
        words[1] = (uint16_t)raw;
    }
}

void sim_put_32_swapped(struct sim_image *image, enum sim_table table, uint16_t address,
                        double value) {
    uint16_t *words = sim_image_at(image, table, address, 2);
    uint32_t raw = (uint32_t)(int64_t)llround(value);
    if (words) {
        words[0] = (uint16_t)raw;
        words[1] = (uint16_t)(raw >> 16);
    }
}

void sim_put_64(struct sim_image *image, enum sim_table table, uint16_t address, uint64_t value) {
    uint16_t *words = sim_image_at(image, table, address, 4);
    for (int i = 0; words && i < 4; i++)
        words[i] = (uint16_t)(value >> (48 - 16 * i));
}

void sim_put_float(struct sim_image *image, enum sim_table table, uint16_t address, double value) {
    uint16_t *words = sim_image_at(image, table, address, 2);
    float single = (float)value;
    uint32_t raw;
    memcpy(&raw, &single, sizeof raw);
    if (words) {
        words[0] = (uint16_t)(raw >> 16);
        words[1] = (uint16_t)raw;
    }
}

void sim_put_text(struct sim_image *image, enum sim_table table, uint16_t address, uint16_t count,
                  const char *text) {
    uint16_t *words = sim_image_at(image, table, address, count);
    size_t length = strlen(text);
    for (size_t i = 0; words && i < count; i++) {
        uint8_t high = 2 * i < length ? (uint8_t)text[2 * i] : 0;
        uint8_t low = 2 * i + 1 < length ? (uint8_t)text[2 * i + 1] : 0;
        words[i] = (uint16_t)(high << 8 | low);
    }
}

uint16_t sim_get_16(const struct sim_image *image, enum sim_table table, uint16_t address) {
    const uint16_t *words = sim_image_at(image, table, address, 1);
    return words ? words[0] : 0;
}

uint32_t sim_get_32(const struct sim_image *image, enum sim_table table, uint16_t address) {
    const uint16_t *words = sim_image_at(image, table, address, 2);
    return words ? (uint32_t)words[0] << 16 | words[1] : 0;
}
