/* Finds clusters and devices of a directory by id or key without walking through them: a path of
 * the API names both in each request. A table of places with open addressing, made once for a
 * directory that changes no more. What is found is compared in full, so names whose hashes are
 * alike only cost a step. Immutable, any thread. */
#ifndef DERD_DIRECTORY_INDEX_H
#define DERD_DIRECTORY_INDEX_H

#include "directory.h"

struct name { /* a path step */
    const char *text;
    bool by_id; /* it has the form of an id, and is none but one, in any case */
};

struct name name_of(const char *text);
bool name_is(const struct name *name, const char *id, const char *key);

/* NULL without memory. */
struct directory_index *directory_index_new(const struct directory *directory);
void directory_index_free(struct directory_index *index); /* NULL is fine */
/* Of the directory that the index was made of; NULL: there is none. */
const struct cluster_card *directory_index_cluster(const struct directory_index *index,
                                                   const struct directory *directory,
                                                   const struct name *name);
struct device_card *directory_index_device(const struct directory_index *index,
                                           const struct directory *directory,
                                           const struct cluster_card *cluster,
                                           const struct name *name);

#endif
