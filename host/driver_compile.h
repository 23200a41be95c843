/* Inside of driver.c, driver_points.c and driver_controls.c only: what a driver is while it is
 * being compiled. Every mistake goes to the report and compiling goes on, so that the author sees
 * all of them at once; only a driver without any is handed out. */
#ifndef DERD_DRIVER_COMPILE_H
#define DERD_DRIVER_COMPILE_H

#include "driver.h"

#define PLACE_SIZE 120 /* "parts.inverter.controls.discharge[12].percentOf" and its like */

struct point_source { /* beside each compiled point */
    const json_t *tree;
    char place[PLACE_SIZE];
    char unit[8];  /* as the driver gives it, "" for none */
    double factor; /* from that unit to the unit of the compiled point */
    bool sound;    /* its own fields are right: worth checking further */
    bool period_given;
};

struct compile {
    struct driver *driver;
    struct point_source *sources; /* driver->point_count */
    struct report *report;
};

/* "parts.battery" + "controls" into `place`; either may be empty. */
void place_key(char place[PLACE_SIZE], const char *where, const char *key);
/* `index` counts from 0; Lua's from 1. */
void place_index(char place[PLACE_SIZE], const char *where, size_t index);
/* Position of `name` in a NULL-terminated list, or -1. */
int name_find(const char *const *names, const char *name);
/* Unit of a vocabulary quantity or parameter; "" when it has none. */
const char *quantity_unit(int id);

/* Appends the points of `list` (an array; NULL for none) to driver->points. */
void compile_points(struct compile *compile, const json_t *list, const char *where, int part);
/* Once all points are there: references between them, double names, periods by default. */
void compile_points_finish(struct compile *compile);
/* Index of a point by name as `part` sees it: its own first, then those of all parts. */
int compile_point_find(const struct compile *compile, const char *name, int part);

/* `mustRun` of a part: W, or the name of the quantity or parameter that holds it. */
void compile_must_run(struct compile *compile, const json_t *tree, const char *where, int part);
void compile_controls(struct compile *compile, const json_t *tree, const char *where, int part);

#endif
