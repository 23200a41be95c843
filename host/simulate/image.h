/* The registers of one simulated unit: a libmodbus mapping that spans them, and beside it which of
 * them exist and which may be written. Registers that do not exist, and reads of write-only ones,
 * are refused with exception 2, as the makes do. Callers hold the home's lock. */
#ifndef DERD_SIMULATE_IMAGE_H
#define DERD_SIMULATE_IMAGE_H

#include <modbus/modbus.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum sim_table { SIM_HOLDING, SIM_INPUT };

enum { SIM_READ = 1, SIM_WRITE = 2 };

struct sim_image {
    modbus_mapping_t *mapping;
    uint8_t *flags[2]; /* by enum sim_table, one for each register of the mapping */
};

/* A count of 0: the unit has no such table. */
must_check enum err sim_image_init(struct sim_image *image, uint16_t holding_first,
                                   uint16_t holding_count, uint16_t input_first,
                                   uint16_t input_count);
void sim_image_free(struct sim_image *image);
/* Registers that exist; they start at 0. Outside the span: a fault of the program, ignored. */
void sim_image_add(struct sim_image *image, enum sim_table table, uint16_t address, uint16_t count,
                   uint8_t flags);
/* True when each of the registers exists and allows `flag`. */
bool sim_image_allows(const struct sim_image *image, enum sim_table table, uint16_t address,
                      uint16_t count, uint8_t flag);
/* First register, to read or change; NULL outside the span. */
uint16_t *sim_image_at(const struct sim_image *image, enum sim_table table, uint16_t address,
                       uint16_t count);

void sim_put_16(struct sim_image *image, enum sim_table table, uint16_t address, double value);
void sim_put_32(struct sim_image *image, enum sim_table table, uint16_t address, double value);
/* Low word first, as Sungrow does. */
void sim_put_32_swapped(struct sim_image *image, enum sim_table table, uint16_t address,
                        double value);
void sim_put_64(struct sim_image *image, enum sim_table table, uint16_t address, uint64_t value);
void sim_put_float(struct sim_image *image, enum sim_table table, uint16_t address, double value);
/* Two characters a register, high byte first, filled with NUL. */
void sim_put_text(struct sim_image *image, enum sim_table table, uint16_t address, uint16_t count,
                  const char *text);
uint16_t sim_get_16(const struct sim_image *image, enum sim_table table, uint16_t address);
uint32_t sim_get_32(const struct sim_image *image, enum sim_table table, uint16_t address);

#endif
