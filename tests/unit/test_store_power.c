/* The power fails at random moments, on a disk that loses what was not synced: whatever the store
 * had acknowledged is there when it is on again, and nothing is there in pieces. The same with
 * syncs that do nothing must lose something, or this test would prove nothing.
 *
 * `test_store_power [CUTS [SEED]]`, or --full for the long count. A failure names its seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <time.h>

#include "base/log.h"
#include "disk.h"
#include "first_layout.h"
#include "store/store_internal.h"
#include "store_kit.h"
#include "witness.h"

#if defined(DERD_SANITIZED)
#define CUTS_QUICK 150
#else
#define CUTS_QUICK 1000
#endif
#define CUTS_FULL    20000
#define CUTS_CONTROL 60
#define ROUNDS       200 /* of changes in one life, at most */

static struct {
    char root[64], folder[80]; /* the latter inside the former, made by the store */
    unsigned char *old;        /* a file of layout 1 */
    int64_t old_size;
    int64_t cuts;
    uint64_t seed;
} test;

struct tally {
    int64_t cuts, opening, first, migrating, in_database, acknowledged, lost, unopened;
    char text[300]; /* the first loss */
};

static void ignore_line(void *context, enum log_level level, const char *line) {
    (void)context;
    (void)level;
    (void)line;
}

/* --- one life between two cuts ---------------------------------------------------------------- */

enum birth { BIRTH_NONE, BIRTH_FIRST, BIRTH_OLD };

static void lost(struct tally *tally, const char *text) {
    if (tally->lost++ == 0)
        snprintf(tally->text, sizeof tally->text, "cut %lld: %s", (long long)tally->cuts, text);
}

static struct store *open_quietly(char *text, size_t text_size) {
    struct store *store;
    struct report report;
    report_init(&report);
    enum err err = store_open(&store, test.folder, &report);
    snprintf(text, text_size, "%s", report.count ? report.items[0].text : "");
    if (err != ERR_OK && report_empty(&report))
        snprintf(text, text_size, "opening failed without a word");
    report_free(&report);
    return store;
}

static void see_old(void *context, const char *target_id, const struct constraint *row) {
    bool *seen = context;
    if (strcmp(row->id, ID_ONE) == 0)
        *seen = strcmp(target_id, ID_TWO) == 0 && row->wish.max == 4200 && row->durable;
}

/* What a host of the first layout had stored. */
static bool old_things_are_there(struct store *store) {
    bool constraint = false, tokens = false;
    struct token *list;
    size_t count;
    char *floor = store_get_text(store, "clock", "floor");
    bool text = floor && strcmp(floor, "1700000000000") == 0;
    free(floor);
    if (store_load_constraints(store, see_old, &constraint) != ERR_OK)
        return false;
    if (store_token_list(store, &list, &count) == ERR_OK) {
        int known = 0;
        for (size_t i = 0; i < count; i++)
            known +=
                strcmp(list[i].name, "phone") == 0 || strcmp(list[i].account, "Next door") == 0;
        tokens = known == 2;
        free(list);
    }
    return constraint && text && tokens;
}

/* Until the power goes. `opened`: whether it ever was. */
static bool live(struct witness *witness, struct tally *tally) {
    char text[200];
    bool opened = false;
    while (!disk_is_off()) {
        struct store *store = open_quietly(text, sizeof text);
        if (!store) {
            if (!disk_is_off()) {
                tally->unopened++;
                lost(tally, text);
                return opened;
            }
            break;
        }
        opened = true;
        static const int pages[] = {4, 16, 64, 1000};
        sqlite3_wal_autocheckpoint(store->db, pages[witness_random(witness, 4)]);
        for (int i = 0; i < ROUNDS && !disk_is_off(); i++)
            tally->acknowledged += witness_change(witness, store);
        store_close(store);
    }
    return opened;
}

static void look_after(struct witness *witness, struct tally *tally, bool *old) {
    char text[300];
    if (!disk_power_on()) {
        if (witness_count(witness) > 0)
            lost(tally, "the folder is gone, and what was acknowledged with it");
        witness_forget(witness);
        return;
    }
    struct store *store = open_quietly(text, sizeof text);
    if (!store) {
        tally->unopened++;
        lost(tally, text);
        disk_format(true);
        witness_forget(witness);
        *old = false;
        return;
    }
    if (witness_look(witness, store, text, sizeof text))
        lost(tally, text);
    if (*old && !old_things_are_there(store)) {
        lost(tally, "what the first layout had is missing");
        *old = false;
    }
    store_close(store);
}

static void run(int64_t cuts, bool ignore_syncs, struct tally *tally) {
    struct witness *witness = witness_new(test.seed);
    bool old = false;
    *tally = (struct tally){0};
    disk_insert(test.folder, test.seed);
    disk_ignore_syncs(ignore_syncs);
    while (tally->cuts < cuts) {
        enum birth birth =
            tally->cuts == 0 ? BIRTH_FIRST : (enum birth)(witness_random(witness, 10) % 5);
        if (birth == BIRTH_FIRST || birth == BIRTH_OLD) {
            disk_format(birth == BIRTH_OLD);
            witness_forget(witness);
            old = birth == BIRTH_OLD;
        }
        if (old && birth == BIRTH_OLD)
            disk_load("derd.db", test.old, test.old_size);
        disk_cut_after(1 + (int64_t)witness_random(witness, witness_random(witness, 2) ? 40 : 600));
        bool opened = live(witness, tally);
        if (!disk_is_off()) /* it could not be opened: counted as lost */
            continue;
        tally->cuts++;
        tally->opening += !opened;
        tally->first += birth == BIRTH_FIRST && !opened;
        tally->migrating += birth == BIRTH_OLD && !opened;
        tally->in_database += disk_cut_in_database();
        look_after(witness, tally, &old);
    }
    disk_ignore_syncs(false);
    disk_remove();
    witness_free(witness);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void print_tally(const char *what, const struct tally *tally) {
    print_message(
        "%s, seed %llu: %lld cuts, of these %lld while opening (%lld the first time, %lld "
        "an old file), %lld within the database itself; %lld changes were acknowledged, "
        "%lld cuts lost some\n",
        what, (unsigned long long)test.seed, (long long)tally->cuts, (long long)tally->opening,
        (long long)tally->first, (long long)tally->migrating, (long long)tally->in_database,
        (long long)tally->acknowledged, (long long)tally->lost);
}

static void what_was_acknowledged_is_there_after_a_power_cut(void **state) {
    struct tally tally;
    (void)state;
    run(test.cuts, false, &tally);
    print_tally("syncs as they are", &tally);
    if (tally.lost)
        fail_msg("seed %llu, %s", (unsigned long long)test.seed, tally.text);
    assert_int_equal(tally.cuts, test.cuts);
    /* All of what is meant to be cut was. */
    assert_true(tally.first > 0 && tally.migrating > 0 && tally.in_database > 0);
    assert_true(tally.acknowledged > tally.cuts);
}

static void without_syncs_something_is_lost(void **state) {
    struct tally tally;
    (void)state;
    run(CUTS_CONTROL, true, &tally);
    print_tally("syncs ignored", &tally);
    assert_true(tally.lost > 0);
}

static void old_file_make(void) {
    char path[128];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/old.db", test.root);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, layout_1, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    test.old = malloc(1 << 20);
    assert_non_null(test.old);
    test.old_size = (int64_t)fread(test.old, 1, 1 << 20, file);
    fclose(file);
}

static int begin(void **state) {
    (void)state;
    snprintf(test.root, sizeof test.root, "/tmp/derd-power-XXXXXX");
    assert_non_null(mkdtemp(test.root));
    snprintf(test.folder, sizeof test.folder, "%s/state", test.root);
    log_set_sink(ignore_line, NULL);
    old_file_make();
    return 0;
}

static int end(void **state) {
    (void)state;
    free(test.old);
    log_set_sink(NULL, NULL);
    return nftw(test.root, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    bool full = argc > 1 && strcmp(argv[1], "--full") == 0;
    test.cuts = full ? CUTS_FULL : argc > 1 ? strtoll(argv[1], NULL, 10) : CUTS_QUICK;
    test.seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)now.tv_sec;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_is_there_after_a_power_cut),
        cmocka_unit_test(without_syncs_something_is_lost),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
