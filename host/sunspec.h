/* The walk along a SunSpec model chain: which models a device has, and where. Pure: it says what to
 * read next and is told what came back; the caller does the reading (function 3), in his own time.
 *
 *   sunspec_start(&walk, bases, count);
 *   while (sunspec_next(&walk, &read))
 *       sunspec_take(&walk, words of that read, or NULL when the device refused it);
 *   if (sunspec_find(&walk, 103, &address)) ...
 *
 * Source: SunSpec Information Model Specification: the marker "SunS" stands at one of a few base
 * addresses, behind it the models one after another, each with its ID and its length L (registers
 * that follow these two), at the end the ID 0xFFFF.
 *
 * Limits: SUNSPEC_MAX_MODELS models are looked at. A chain that breaks (a refused header, an L of
 * 0, a model beyond register 65535) keeps what was found before, with the reason in `trouble`. A
 * transport failure is not a refusal: start the walk again on the next connection. */
#ifndef DERD_SUNSPEC_H
#define DERD_SUNSPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SUNSPEC_MAX_MODELS 64
#define SUNSPEC_MAX_BASES  8

struct sunspec_read { /* holding registers */
    uint16_t address;
    uint16_t count;
};

struct sunspec_model {
    uint16_t id;
    uint16_t address; /* wire address of the register that holds its ID */
    uint16_t length;  /* L: registers behind ID and L */
};

enum sunspec_phase { SUNSPEC_MARKER, SUNSPEC_HEADER, SUNSPEC_END };

struct sunspec_walk {
    enum sunspec_phase phase;
    uint16_t bases[SUNSPEC_MAX_BASES];
    size_t base_count;
    size_t base;                                     /* the one that is looked at */
    uint16_t at;                                     /* address of the next header */
    size_t visited;                                  /* headers, with those of models seen before */
    struct sunspec_model models[SUNSPEC_MAX_MODELS]; /* in the order of the chain */
    size_t model_count;
    char trouble[120]; /* "" when the chain was found and is whole */
};

/* `bases`: addresses to try in this order, at most SUNSPEC_MAX_BASES; with a count of 0 those of
 * the specification: 40000, 50000, 0. */
void sunspec_start(struct sunspec_walk *walk, const uint16_t *bases, size_t count);
/* What to read next; false at the end of the walk. */
bool sunspec_next(const struct sunspec_walk *walk, struct sunspec_read *read);
/* The words of what sunspec_next() said, or NULL: the device refused to read them. */
void sunspec_take(struct sunspec_walk *walk, const uint16_t *words);
/* Address of the first model with this id; false when the device has none. `walk`: NULL is one of a
 * device without models. */
bool sunspec_find(const struct sunspec_walk *walk, uint16_t model, uint16_t *address);

#endif
