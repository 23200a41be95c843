/* Prometheus' text format 0.0.4: families with HELP and TYPE, samples with labels, histograms.
 * Pure; what does not fit fails the buffer. All samples of a family are written before the next
 * begins, which is the format's rule and the caller's duty. */
#ifndef DERD_SERVICE_METRICS_TEXT_H
#define DERD_SERVICE_METRICS_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/histogram.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_LABELS_SIZE  400

enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_HISTOGRAM };

/* `help`: one line of plain words. */
void metrics_family(struct buf *out, const char *name, enum metric_type type, const char *help);
/* `labels`: as metrics_label() makes them; "" for none. A value that is not finite is unknown, and
 * leaves the sample out. */
void metrics_sample(struct buf *out, const char *name, const char *labels, double value);
void metrics_count(struct buf *out, const char *name, const char *labels, uint64_t value);
/* Nothing is written of an empty one. */
void metrics_histogram(struct buf *out, const char *name, const char *labels,
                       const struct histogram *histogram);
/* Adds one label to the text, which begins as "". The value is escaped; one that does not fit is
 * left out together with its name. */
void metrics_label(char labels[METRICS_LABELS_SIZE], const char *name, const char *value);

#endif
