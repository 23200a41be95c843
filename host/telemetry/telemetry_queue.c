/* Entries behind one another in chunks: a queue takes the memory of what waits in it, and gives it
 * back. */
#include <stdlib.h>
#include <string.h>

#include "telemetry/telemetry_internal.h"

static size_t entry_size(size_t length) {
    size_t size = sizeof(struct entry) + length;
    return (size + _Alignof(struct entry) - 1) / _Alignof(struct entry) * _Alignof(struct entry);
}

bool entry_queue_add(struct entry_queue *queue, const struct entry *entry,
                     const unsigned char *data) {
    size_t size = entry_size(entry->length);
    if (!queue->last || ENTRY_CHUNK_BYTES - queue->last->used < size) {
        struct entry_chunk *chunk = malloc(sizeof *chunk);
        if (!chunk)
            return false;
        chunk->next = NULL;
        chunk->used = 0;
        if (queue->last)
            queue->last->next = chunk;
        else
            queue->first = chunk;
        queue->last = chunk;
    }
    struct entry *kept = (struct entry *)(void *)(queue->last->bytes + queue->last->used);
    *kept = *entry;
    if (entry->length)
        memcpy(kept->data, data, entry->length);
    queue->last->used += size;
    queue->count++;
    return true;
}

struct entry *entry_queue_next(const struct entry_queue *queue, struct entry_chunk **chunk,
                               struct entry *entry) {
    size_t at = 0;
    if (!entry)
        *chunk = queue->first;
    else
        at = (size_t)((unsigned char *)entry - (*chunk)->bytes) + entry_size(entry->length);
    if (*chunk && at >= (*chunk)->used) {
        *chunk = (*chunk)->next;
        at = 0;
    }
    return *chunk ? (struct entry *)(void *)((*chunk)->bytes + at) : NULL;
}

void entry_queue_free(struct entry_queue *queue) {
    struct entry_chunk *chunk = NULL;
    for (struct entry *entry = NULL; (entry = entry_queue_next(queue, &chunk, entry));)
        if (entry->kind == ENTRY_RULING)
            free(entry->ruling);
    while (queue->first) {
        chunk = queue->first;
        queue->first = chunk->next;
        free(chunk);
    }
    *queue = (struct entry_queue){0};
}
