/* A witness of a store: changes it at random, remembers what was acknowledged and what was under
 * way, and says later whether the store still tells the truth:
 *
 *   acknowledged   there, and right in what it says
 *   under way      there or not, but whole: the parts of one change together
 *
 * Constraints, texts, clusters, devices, accounts, tokens, receipts, ids, webhooks and what waits
 * for them. One thread. */
#ifndef DERD_TESTS_WITNESS_H
#define DERD_TESTS_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

struct witness;

struct witness *witness_new(uint64_t seed);
void witness_free(struct witness *witness);
/* Nothing was ever acknowledged. */
void witness_forget(struct witness *witness);
/* Submits some changes together and waits until each was answered. How many were acknowledged. */
int witness_change(struct witness *witness, struct store *store);
/* Compares, and takes what is there for the truth from now on. How much of what was acknowledged is
 * missing, wrong or in pieces; `text` says what the first one is. */
int witness_look(struct witness *witness, struct store *store, char *text, size_t text_size);
/* How much it knows to be there. */
int witness_count(const struct witness *witness);
uint64_t witness_random(struct witness *witness, uint64_t below);

#endif
