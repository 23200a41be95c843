#include "api/guesses.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/recent.h"

#define ADDRESSES  1024
#define ACCOUNTS   1024 /* at least as many as there can be: ACCOUNTS_MAXIMUM */
#define MADE_UP    256
#define BROWSERS   256
#define DOUBLINGS  16 /* of the wait: more than any bound needs */
#define SUBJECTS   2  /* of one guess, at most */
#define IPV6_BYTES 8  /* of an address that name its network */

struct count { /* of one subject */
    int wrong;
    struct mono forgiven_at; /* when the last one was forgiven, or the counting began */
    struct mono not_before;  /* the next try */
};

struct book { /* of one kind of subject */
    struct recent *names;
    struct count *counts;
    int free;      /* wrong answers without a wait */
    int longest_s; /* a wait */
};

enum { BOOK_ADDRESS, BOOK_ACCOUNT, BOOK_MADE_UP, BOOK_BROWSER, BOOKS };

struct guesses {
    pthread_mutex_t lock;
    struct book books[GUESS_KINDS][BOOKS];
};

static const struct {
    size_t size;
    int factor; /* of what is free */
    int longest_s;
} shapes[BOOKS] = {
    [BOOK_ADDRESS] = {ADDRESSES, 1, GUESSES_ADDRESS_S},
    [BOOK_ACCOUNT] = {ACCOUNTS, GUESSES_ACCOUNT_FACTOR, GUESSES_ACCOUNT_S},
    [BOOK_MADE_UP] = {MADE_UP, GUESSES_ACCOUNT_FACTOR, GUESSES_ACCOUNT_S},
    [BOOK_BROWSER] = {BROWSERS, 1, GUESSES_ADDRESS_S},
};

static bool book_open(struct book *book, int which, int free_count) {
    book->free = free_count * shapes[which].factor;
    book->longest_s = shapes[which].longest_s;
    book->names = recent_new(shapes[which].size);
    book->counts = calloc(shapes[which].size, sizeof *book->counts);
    return book->names && book->counts;
}

struct guesses *guesses_new(int free_count) {
    struct guesses *guesses = calloc(1, sizeof *guesses);
    bool whole = guesses != NULL;
    if (!whole)
        return NULL;
    pthread_mutex_init(&guesses->lock, NULL);
    for (int kind = 0; kind < GUESS_KINDS; kind++)
        for (int i = 0; i < BOOKS; i++)
            whole = book_open(&guesses->books[kind][i], i, free_count) && whole;
    if (whole)
        return guesses;
    guesses_free(guesses);
    return NULL;
}

void guesses_free(struct guesses *guesses) {
    if (!guesses)
        return;
    for (int kind = 0; kind < GUESS_KINDS; kind++)
        for (int i = 0; i < BOOKS; i++) {
            recent_free(guesses->books[kind][i].names);
            free(guesses->books[kind][i].counts);
        }
    pthread_mutex_destroy(&guesses->lock);
    free(guesses);
}

/* --- subjects: under the lock ----------------------------------------------------------------- */

struct subject {
    struct book *book;
    struct count *count;
};

static void forgive(struct count *count, struct mono now) {
    int64_t steps = (now.ms - count->forgiven_at.ms) / GUESSES_FORGIVE_MS;
    if (steps <= 0)
        return;
    count->wrong = steps < count->wrong ? count->wrong - (int)steps : 0;
    count->forgiven_at.ms += steps * GUESSES_FORGIVE_MS;
}

static struct subject subject_see(struct book *book, const void *name, size_t length,
                                  struct mono now) {
    bool fresh;
    size_t slot = recent_see(book->names, name, length, &fresh);
    struct count *count = &book->counts[slot];
    if (fresh)
        *count = (struct count){.forgiven_at = now, .not_before = now};
    forgive(count, now);
    return (struct subject){book, count};
}

/* Whoever has one address of an IPv6 network has all of them. */
static struct subject address_see(struct book *book, const char *address, struct mono now) {
    struct in6_addr parsed;
    if (inet_pton(AF_INET6, address, &parsed) == 1)
        return subject_see(book, &parsed, IPV6_BYTES, now);
    return subject_see(book, address, strlen(address), now);
}

static size_t subjects_of(struct guesses *guesses, const struct guess *guess, struct mono now,
                          struct subject subjects[SUBJECTS]) {
    struct book *books = guesses->books[guess->kind];
    size_t count = 0;
    if (guess->browser) {
        subjects[count++] =
            subject_see(&books[BOOK_BROWSER], guess->browser, strlen(guess->browser), now);
        return count;
    }
    subjects[count++] = address_see(&books[BOOK_ADDRESS], guess->address, now);
    if (guess->account)
        subjects[count++] = subject_see(&books[guess->made_up ? BOOK_MADE_UP : BOOK_ACCOUNT],
                                        guess->account, strlen(guess->account), now);
    return count;
}

/* 0 while they are free, then 1, 2, 4 ... */
static int wait_of(const struct subject *subject) {
    int over = subject->count->wrong - subject->book->free;
    if (over < 0)
        return 0;
    int wait = 1 << (over < DOUBLINGS ? over : DOUBLINGS);
    return wait < subject->book->longest_s ? wait : subject->book->longest_s;
}

/* --- tries ------------------------------------------------------------------------------------ */

bool guesses_try(struct guesses *guesses, const struct guess *guess, struct mono now, int *wait_s) {
    struct subject subjects[SUBJECTS];
    int64_t wait_ms = 0;
    pthread_mutex_lock(&guesses->lock);
    size_t count = subjects_of(guesses, guess, now, subjects);
    for (size_t i = 0; i < count; i++)
        if (subjects[i].count->not_before.ms - now.ms > wait_ms)
            wait_ms = subjects[i].count->not_before.ms - now.ms;
    for (size_t i = 0; i < count && wait_ms == 0; i++) {
        struct count *of = subjects[i].count;
        if (of->wrong < subjects[i].book->free + DOUBLINGS)
            of->wrong++;
        of->not_before.ms = now.ms + wait_of(&subjects[i]) * INT64_C(1000);
    }
    pthread_mutex_unlock(&guesses->lock);
    *wait_s = (int)((wait_ms + 999) / 1000);
    return wait_ms == 0;
}

void guesses_pardon(struct guesses *guesses, const struct guess *guess, struct mono now) {
    struct subject subjects[SUBJECTS];
    pthread_mutex_lock(&guesses->lock);
    size_t count = subjects_of(guesses, guess, now, subjects);
    for (size_t i = 0; i < count; i++) {
        if (subjects[i].count->wrong > 0)
            subjects[i].count->wrong--;
        subjects[i].count->not_before = now; /* as it was: else there had been no try */
    }
    pthread_mutex_unlock(&guesses->lock);
}
