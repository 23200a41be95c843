/* The home file: Lua that returns data, checked as a whole before anything starts. */
#ifndef DERD_SIMULATE_CONFIG_H
#define DERD_SIMULATE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/report.h"
#include "simulate/home.h"

/* Fills a home that sim_home_init() made. False with every mistake found. `name` is what messages
 * call the text. */
bool sim_config_load(struct sim_home *home, const char *name, const char *text, size_t length,
                     struct report *report);

#endif
