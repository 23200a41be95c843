/* The suite that every driver gets for free (`derd test`): the host's own engine, sandbox, link and
 * polls on a bench (bench.h) against a simulated device made from the driver's own points, and the
 * author's spec. Each check prints one line; a failure is followed by what stood where, what came
 * of it, and what was expected. Main thread. */
#ifndef DERD_KIT_CONFORM_H
#define DERD_KIT_CONFORM_H

#include <pthread.h>
#include <stdio.h>

#include "base/buf.h"
#include "kit/bench.h"
#include "kit/mirror.h"
#include "kit/spec.h"
#include "script/library.h"

struct conform {
    const char *path;
    struct generation *generation;
    const struct driver *driver;
    struct spec spec;   /* of the author; tree NULL: none */
    json_t *parameters; /* of that fixture, or NULL */
    json_t *answers;    /* of its first fixture that has some, or NULL */
    bool *covered;      /* one for each point: a literal expects its value */
    FILE *out;
    bool quiet;
    int polls; /* of the memory check */
    unsigned passed, failed;
    char check[160]; /* the one that runs */
    struct buf problems;
    unsigned problem_count;
    pthread_mutex_t lock; /* of what the log says: the store's thread logs too */
    char raised[512];     /* a hook's error */
    char last_warning[512];
};

struct conform_settings {
    const char *driver_path;
    const char *spec_path;    /* NULL: there is none, which is a failure */
    const char *fixture_path; /* a recording besides, or NULL */
    FILE *out;
    bool quiet; /* failures and the sum only */
    int polls;  /* of the memory check, 0: 1000 */
};

/* 0: all passed, 1: not, or the driver is not right to begin with. */
int conform_run(const struct conform_settings *settings);

/* For its parts. A check is begun, told its problems, and ended. */
void conform_begin(struct conform *conform, const char *format, ...) printf_like(2, 3);
void conform_problem(struct conform *conform, const char *format, ...) printf_like(2, 3);
void conform_end(struct conform *conform);
/* Opens the bench and waits until the device is online and was read; false with a problem. A driver
 * that does not speak Modbus is given conform->answers. */
bool conform_bench(struct conform *conform, struct bench *bench, const json_t *parameters,
                   const struct registers *registers);
/* Nothing has raised and no published value is impossible. */
void conform_look(struct conform *conform, struct bench *bench);
/* A whole image of plausible values, and the parameters that have no default. */
struct registers *conform_image(const struct conform *conform, struct mirror_chain *chain);
json_t *conform_parameters(const struct conform *conform);

void conform_images(struct conform *conform);   /* conform_images.c */
void conform_controls(struct conform *conform); /* conform_controls.c */
void conform_talk(struct conform *conform);     /* conform_talk.c: drivers without registers */
bool conform_gone(struct bench *bench, void *context);
bool conform_back(struct bench *bench, void *since);
void conform_faults(struct conform *conform); /* conform_faults.c */
void conform_reload(struct conform *conform);
void conform_memory(struct conform *conform);
void conform_spec(struct conform *conform, const struct spec *spec); /* conform_spec.c */
void conform_coverage(struct conform *conform);

#endif
