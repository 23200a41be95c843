#include "script/library.h"

#include <dirent.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/luadata.h"
#include "script/library_listing.h"
#include "script/library_watch.h"

#define FILE_MAXIMUM    ((size_t)256 << 10)
#define LIBRARY_MAXIMUM 1000 /* names; further files are told and left out */
#define PATH_SIZE       512
/* Longest path of a folder of the search path: the kind's folder and a file's name fit behind it.
 */
#define FOLDER_PATH_MAXIMUM (PATH_SIZE - DRIVER_NAME_SIZE - 20)
#define SUBJECT_SIZE        (DRIVER_NAME_SIZE + 16)
#define HASH_SIZE           crypto_generichash_BYTES
#define NOWHERE             (-1)

static const char *const kind_folders[] = {
    [SCRIPT_DRIVER] = "drivers", [SCRIPT_POLICY] = "policies"};
#define KIND_COUNT 2

/* One known name. It stays known when its file goes. */
struct entry {
    enum script_kind kind;
    char name[DRIVER_NAME_SIZE];
    int folder;       /* index of the folder whose file counts, or NOWHERE: removed */
    unsigned shadows; /* bit i: folder i has a file of that name too */
    bool has_hash;
    unsigned char
        hash[HASH_SIZE];        /* of the last text looked at, good or bad; all ones: unreadable */
    unsigned numbers;           /* generations made so far */
    struct generation *current; /* one reference, or NULL */
    struct wall loaded_at;
    struct report errors; /* of the file as it is now */
    struct rolled_back rolled_back;
    struct script_figures *figures; /* one reference, or NULL without memory */
    /* During one reading of the folders: */
    int folder_found;
    unsigned shadows_found;
    struct generation *staged; /* loaded, not yet in place */
    bool recalled;             /* it is of the text taken before, not of the file */
    bool changed;
};

struct library {
    struct library_watch *watch;
    library_changed *changed;
    void *context;
    struct watchdog *watchdog;
    const struct stalls *stalls;
    const struct library_memory *memory;
    bool opened; /* the folders were read once */
    size_t folder_count;
    char folders[LIBRARY_FOLDERS][PATH_SIZE];
    struct entry **entries; /* by kind, then name */
    size_t count, capacity;
    bool told_full;
};

/* ---- generations ---- */

struct generation *generation_hold(struct generation *generation) {
    generation->references++;
    return generation;
}

void generation_release(struct generation *generation) {
    if (!generation || --generation->references > 0)
        return;
    driver_release(generation->driver);
    policy_free(generation->policy);
    script_close(generation->script);
    watchdog_forget(generation->watchdog, generation->watched);
    script_figures_release(generation->figures);
    free(generation->text);
    free(generation);
}

static void hash_text(const unsigned char hash[HASH_SIZE], char text[SCRIPT_HASH_SIZE]) {
    sodium_bin2hex(text, SCRIPT_HASH_SIZE, hash, (SCRIPT_HASH_SIZE - 1) / 2);
}

static struct script *load_script(const struct generation *generation, const char *text,
                                  size_t length, struct report *report) {
    char file_name[DRIVER_NAME_SIZE + 8];
    snprintf(file_name, sizeof file_name, "%s.lua", generation->name);
    struct script_limits limits = script_limits_default();
    watchdog_enter(generation->watchdog, generation->watched, SCRIPT_LOADING);
    struct script *script = script_open(file_name, text, length, &limits, report);
    watchdog_leave(generation->watchdog);
    int64_t longest_us;
    if (script)
        (void)script_take_used_us(script, &longest_us); /* loading is no call */
    return script;
}

bool generation_rebuild(struct generation *generation, struct report *report) {
    struct script *script = load_script(generation, generation->text, generation->length, report);
    if (!script)
        return false;
    script_close(generation->script);
    generation->script = script;
    return true;
}

/* What is known of this text from before: false when it must not be run at all. */
static bool judge_text(struct generation *generation, const struct stalls *stalls,
                       struct report *report) {
    const struct stall *stall =
        stalls ? stalls_find(stalls, generation->kind, generation->name, generation->hash) : NULL;
    char at[WALL_TEXT_SIZE];
    if (!stall)
        return true;
    wall_format(stall->at, at);
    if (strcmp(stall->call, SCRIPT_LOADING) == 0) {
        report_add(report, generation->name,
                   "loading it held the host for more than %d s at %s; it is not loaded again "
                   "until the file changes",
                   WATCHDOG_LIMIT_MS / 1000, at);
        return false;
    }
    generation->quarantined_at = stall->at;
    snprintf(generation->quarantine, sizeof generation->quarantine,
             "%s held the host for more than %d s at %s and the host was started again",
             stall->call, WATCHDOG_LIMIT_MS / 1000, at);
    log_error(generation->name, "quarantined until its file changes: %s", generation->quarantine);
    return true;
}

/* The generation that a text makes, with one reference, or NULL with every mistake. `library` NULL:
 * outside any. */
static struct generation *make_generation(const struct library *library, enum script_kind kind,
                                          const char *name, const char *path, const char *text,
                                          size_t length, unsigned number, struct report *report) {
    char file_name[DRIVER_NAME_SIZE + 8];
    unsigned char hash[HASH_SIZE];
    snprintf(file_name, sizeof file_name, "%s.lua", name);
    json_t *tree = NULL;
    bool whole = false;
    struct generation *generation = calloc(1, sizeof *generation);
    if (!generation) {
        report_add(report, file_name, "no memory");
        return NULL;
    }
    generation->references = 1;
    generation->kind = kind;
    generation->number = number;
    snprintf(generation->name, sizeof generation->name, "%s", name);
    snprintf(generation->path, sizeof generation->path, "%s", path);
    crypto_generichash(hash, sizeof hash, (const unsigned char *)text, length, NULL, 0);
    hash_text(hash, generation->hash);
    generation->text = malloc(length + 1);
    if (!generation->text) {
        report_add(report, file_name, "no memory");
        goto out;
    }
    memcpy(generation->text, text, length);
    generation->text[length] = '\0';
    generation->length = length;
    if (library) {
        generation->watchdog = library->watchdog;
        generation->watched = watchdog_script(library->watchdog, kind, name, generation->hash);
    }
    if (!judge_text(generation, library ? library->stalls : NULL, report))
        goto out;
    generation->script = load_script(generation, text, length, report);
    if (generation->script)
        tree = script_tree(generation->script, report);
    if (!tree)
        goto out;
    if (kind == SCRIPT_POLICY) {
        generation->policy = policy_compile(tree, name, report);
        whole = generation->policy != NULL;
        goto out;
    }
    generation->driver = driver_compile(tree, name, report);
    if (!generation->driver)
        goto out;
    whole = true;
    snprintf(generation->driver->path, sizeof generation->driver->path, "%.255s", path);
    if (!driver_has_hooks(generation->driver)) {
        script_close(generation->script);
        generation->script = NULL;
        generation->quarantine[0] = '\0'; /* nothing of it is ever called */
    }
out:
    json_decref(tree);
    if (whole)
        return generation;
    generation_release(generation);
    return NULL;
}

struct generation *generation_load(enum script_kind kind, const char *path, unsigned number,
                                   struct report *report) {
    const char *slash = strrchr(path, '/');
    const char *file_name = slash ? slash + 1 : path;
    if (!library_is_script(file_name)) {
        report_add(report, path,
                   "the file's name must be like eastron_sdm.lua: small letters, digits and _, at "
                   "most %d",
                   DRIVER_NAME_SIZE - 1);
        return NULL;
    }
    char name[DRIVER_NAME_SIZE];
    snprintf(name, sizeof name, "%.*s", (int)(strlen(file_name) - strlen(".lua")), file_name);
    size_t length;
    char *text = file_read(path, FILE_MAXIMUM, &length, report);
    if (!text)
        return NULL;
    struct generation *generation =
        make_generation(NULL, kind, name, path, text, length, number, report);
    free(text);
    return generation;
}

/* ---- names ---- */

static int compare(const struct entry *entry, enum script_kind kind, const char *name) {
    if (entry->kind != kind)
        return entry->kind < kind ? -1 : 1;
    return strcmp(entry->name, name);
}

/* Where the name stands, or would stand. */
static size_t find_slot(const struct library *library, enum script_kind kind, const char *name) {
    size_t low = 0;
    size_t high = library->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(library->entries[middle], kind, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct entry *find_entry(const struct library *library, enum script_kind kind,
                                const char *name) {
    size_t slot = find_slot(library, kind, name);
    if (slot < library->count && compare(library->entries[slot], kind, name) == 0)
        return library->entries[slot];
    return NULL;
}

/* NULL when there is no room. */
static struct entry *add_entry(struct library *library, enum script_kind kind, const char *name) {
    if (library->count == LIBRARY_MAXIMUM) {
        if (!library->told_full)
            log_warning("library", "more than %d scripts: '%s' and others are left out",
                        LIBRARY_MAXIMUM, name);
        library->told_full = true;
        return NULL;
    }
    if (library->count == library->capacity) {
        size_t capacity = library->capacity ? 2 * library->capacity : 32;
        struct entry **entries = realloc(library->entries, capacity * sizeof(struct entry *));
        if (!entries)
            return NULL;
        library->entries = entries;
        library->capacity = capacity;
    }
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    entry->kind = kind;
    snprintf(entry->name, sizeof entry->name, "%s", name);
    entry->folder = NOWHERE;
    entry->folder_found = NOWHERE;
    entry->figures = script_figures_new();
    report_init(&entry->errors);
    size_t slot = find_slot(library, kind, name);
    memmove(library->entries + slot + 1, library->entries + slot,
            (library->count - slot) * sizeof(struct entry *));
    library->entries[slot] = entry;
    library->count++;
    return entry;
}

static void free_entry(struct entry *entry) {
    generation_release(entry->current);
    script_figures_release(entry->figures);
    report_free(&entry->errors);
    free(entry);
}

static void path_of(const struct library *library, const struct entry *entry, int folder,
                    char path[PATH_SIZE]) {
    snprintf(path, PATH_SIZE, "%.*s/%s/%s.lua", FOLDER_PATH_MAXIMUM, library->folders[folder],
             kind_folders[entry->kind], entry->name);
}

/* ---- reading the folders ---- */

static void list_folder(struct library *library, enum script_kind kind, int folder) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%.*s/%s", FOLDER_PATH_MAXIMUM, library->folders[folder],
             kind_folders[kind]);
    DIR *files = opendir(path);
    if (!files)
        return; /* missing folders are fine */
    const struct dirent *file;
    while ((file = readdir(files))) { // NOLINT(concurrency-mt-unsafe): glibc's is, per DIR
        if (!library_is_script(file->d_name))
            continue;
        char name[DRIVER_NAME_SIZE];
        snprintf(name, sizeof name, "%.*s", (int)(strlen(file->d_name) - strlen(".lua")),
                 file->d_name);
        struct entry *entry = find_entry(library, kind, name);
        if (!entry)
            entry = add_entry(library, kind, name);
        if (!entry)
            continue;
        if (entry->folder_found == NOWHERE)
            entry->folder_found = folder;
        else
            entry->shadows_found |= 1U << (unsigned)folder;
    }
    closedir(files);
}

static void subject_of(const struct entry *entry, char subject[SUBJECT_SIZE]) {
    snprintf(subject, SUBJECT_SIZE, "%s/%s.lua", kind_folders[entry->kind], entry->name);
}

static void log_mistakes(const struct entry *entry) {
    char subject[SUBJECT_SIZE];
    subject_of(entry, subject);
    for (size_t i = 0; i < entry->errors.count; i++)
        log_error(subject, "%s%s%s", entry->errors.items[i].where,
                  entry->errors.items[i].where[0] ? ": " : "", entry->errors.items[i].text);
    if (entry->errors.total > entry->errors.count)
        log_error(subject, "and %zu more mistakes", entry->errors.total - entry->errors.count);
    if (entry->current)
        log_warning(subject, "the file is not taken: generation %u stays in use",
                    entry->current->number);
}

/* ---- over a restart ---- */

static void remember(const struct library *library, const struct entry *entry,
                     const struct generation *generation) {
    char file[SUBJECT_SIZE];
    const char *text = generation ? generation->text : NULL;
    if (!library->memory)
        return;
    if (text && strlen(text) != generation->length)
        text = NULL; /* a NUL in it: it cannot be kept, and what was before is not the last one */
    subject_of(entry, file);
    if (!library->opened && text) { /* most starts change nothing */
        char *known = library->memory->recall(library->memory->context, file);
        bool same = known && strcmp(known, text) == 0;
        free(known);
        if (same)
            return;
    }
    library->memory->keep(library->memory->context, file, text);
}

/* What stands in the place of a file that is broken at the start, or NULL. */
static struct generation *recall(const struct library *library, const struct entry *entry,
                                 const char *path) {
    char file[SUBJECT_SIZE];
    struct report report;
    if (!library->memory || library->opened)
        return NULL;
    subject_of(entry, file);
    char *text = library->memory->recall(library->memory->context, file);
    if (!text)
        return NULL;
    report_init(&report);
    struct generation *generation = make_generation(library, entry->kind, entry->name, path, text,
                                                    strlen(text), entry->numbers + 1, &report);
    if (!generation)
        log_error(file, "the text that was taken before is not taken any more: %s",
                  report.count ? report.items[0].text : "no memory");
    report_free(&report);
    free(text);
    return generation;
}

/* Looks at the file that counts now. What it makes is staged; what it is not is kept in errors. */
static void look_at_file(struct library *library, struct entry *entry) {
    char path[PATH_SIZE];
    unsigned char hash[HASH_SIZE];
    size_t length = 0;
    struct report report;
    report_init(&report);
    path_of(library, entry, entry->folder_found, path);
    char *text = file_read(path, FILE_MAXIMUM, &length, &report);
    if (text)
        crypto_generichash(hash, sizeof hash, (const unsigned char *)text, length, NULL, 0);
    else
        memset(hash, 0xff, sizeof hash);
    if (entry->has_hash && entry->folder == entry->folder_found &&
        memcmp(hash, entry->hash, sizeof hash) == 0)
        goto out;
    entry->has_hash = true;
    entry->recalled = false;
    memcpy(entry->hash, hash, sizeof hash);
    entry->changed = true;
    entry->rolled_back.generation = 0;
    if (text)
        entry->staged = make_generation(library, entry->kind, entry->name, path, text, length,
                                        entry->numbers + 1, &report);
    report_free(&entry->errors);
    report_init(&entry->errors);
    if (!entry->staged) {
        report_move(&entry->errors, &report, "");
        log_mistakes(entry);
        entry->staged = recall(library, entry, path);
        entry->recalled = entry->staged != NULL;
    }
out:
    free(text);
    report_free(&report);
}

static void put_in_place(struct library *library, struct entry *entry) {
    char subject[SUBJECT_SIZE];
    char path[PATH_SIZE];
    subject_of(entry, subject);
    if (entry->shadows != entry->shadows_found)
        entry->changed = true;
    for (int i = 0; i < LIBRARY_FOLDERS; i++) {
        if (!(entry->shadows_found & ~entry->shadows & (1U << (unsigned)i)))
            continue;
        path_of(library, entry, i, path);
        log_info(subject, "the one in %s hides %s", library->folders[entry->folder_found], path);
    }
    entry->shadows = entry->shadows_found;
    if (entry->folder_found == NOWHERE && entry->folder != NOWHERE) {
        entry->changed = true;
        entry->has_hash = false;
        generation_release(entry->current);
        entry->current = NULL;
        report_free(&entry->errors);
        report_init(&entry->errors);
        log_warning(subject, "the file was removed; what uses it goes on with what it has");
        remember(library, entry, NULL);
    }
    entry->folder = entry->folder_found;
    if (!entry->staged)
        return;
    generation_release(entry->current);
    entry->current = entry->staged;
    entry->staged = NULL;
    entry->current->figures = script_figures_hold(entry->figures);
    entry->numbers = entry->current->number;
    entry->loaded_at = clock_wall();
    if (entry->recalled) {
        log_warning(subject, "generation %u is the text that was taken before the restart",
                    entry->numbers);
        return;
    }
    log_info(subject, "generation %u from %s", entry->numbers, entry->current->path);
    remember(library, entry, entry->current);
}

/* Reads all folders: everything that changed is loaded first, then put in place together. */
static void read_folders(struct library *library) {
    library_watch_renew(library->watch);
    for (size_t i = 0; i < library->count; i++) {
        library->entries[i]->folder_found = NOWHERE;
        library->entries[i]->shadows_found = 0;
        library->entries[i]->changed = false;
    }
    for (int folder = 0; folder < (int)library->folder_count; folder++) {
        for (int kind = 0; kind < KIND_COUNT; kind++)
            list_folder(library, (enum script_kind)kind, folder);
    }
    for (size_t i = 0; i < library->count; i++) {
        if (library->entries[i]->folder_found != NOWHERE)
            look_at_file(library, library->entries[i]);
    }
    for (size_t i = 0; i < library->count; i++)
        put_in_place(library, library->entries[i]);
}

static void on_change(void *context) {
    struct library *library = context;
    read_folders(library);
    for (size_t i = 0; i < library->count; i++) {
        const struct entry *entry = library->entries[i];
        if (entry->changed)
            library->changed(library->context, entry->kind, entry->name, entry->current);
    }
}

struct library *library_open(uv_loop_t *loop, const char *const *folders, size_t folder_count,
                             library_changed *changed, void *context) {
    return library_open_watched(loop, folders, folder_count, NULL, NULL, NULL, changed, context);
}

struct library *library_open_watched(uv_loop_t *loop, const char *const *folders,
                                     size_t folder_count, struct watchdog *watchdog,
                                     const struct stalls *stalls,
                                     const struct library_memory *memory, library_changed *changed,
                                     void *context) {
    char paths[LIBRARY_FOLDERS * KIND_COUNT][PATH_SIZE];
    const char *watched[LIBRARY_FOLDERS * KIND_COUNT];
    size_t watched_count = 0;
    struct library *library = calloc(1, sizeof *library);
    if (!library || sodium_init() < 0)
        goto failed;
    library->changed = changed;
    library->context = context;
    library->watchdog = watchdog;
    library->stalls = stalls;
    library->memory = memory;
    for (size_t i = 0; i < folder_count && i < LIBRARY_FOLDERS; i++) {
        if (strlen(folders[i]) > FOLDER_PATH_MAXIMUM) {
            log_error("library", "the path %s is too long: it is left out", folders[i]);
            continue;
        }
        snprintf(library->folders[library->folder_count++], PATH_SIZE, "%s", folders[i]);
        for (int kind = 0; kind < KIND_COUNT; kind++) {
            snprintf(paths[watched_count], PATH_SIZE, "%.*s/%s", FOLDER_PATH_MAXIMUM, folders[i],
                     kind_folders[kind]);
            watched[watched_count] = paths[watched_count];
            watched_count++;
        }
    }
    library->watch = library_watch_open(loop, watched, watched_count, on_change, library);
    if (!library->watch)
        goto failed;
    read_folders(library);
    library->opened = true;
    return library;

failed:
    free(library);
    return NULL;
}

void library_close(struct library *library) {
    if (!library)
        return;
    library_watch_close(library->watch);
    for (size_t i = 0; i < library->count; i++)
        free_entry(library->entries[i]);
    free(library->entries);
    free(library);
}

struct generation *library_get(struct library *library, enum script_kind kind, const char *name) {
    struct entry *entry = find_entry(library, kind, name);
    return entry && entry->current ? generation_hold(entry->current) : NULL;
}

bool library_has_text(struct library *library, enum script_kind kind, const char *name,
                      const char *hash) {
    const struct entry *entry = find_entry(library, kind, name);
    char text[SCRIPT_HASH_SIZE];
    if (!entry || entry->folder == NOWHERE || !entry->has_hash)
        return false;
    hash_text(entry->hash, text);
    return strcmp(text, hash) == 0;
}

void library_roll_back(struct library *library, const struct generation *failed,
                       struct generation *old, const char *why) {
    struct entry *entry = find_entry(library, failed->kind, failed->name);
    if (!entry || entry->current != failed)
        return;
    struct rolled_back *rolled_back = &entry->rolled_back;
    rolled_back->generation = failed->number;
    rolled_back->at = clock_wall();
    snprintf(rolled_back->version, sizeof rolled_back->version, "%s",
             failed->driver ? failed->driver->version : failed->policy->version);
    snprintf(rolled_back->why, sizeof rolled_back->why, "%s", why);
    generation_release(entry->current);
    entry->current = generation_hold(old);
    remember(library, entry, old);
}

bool library_check(struct library *library, enum script_kind kind, const char *name,
                   const char *text, size_t length, struct report *report) {
    struct generation *generation =
        make_generation(library, kind, name, name, text, length, 0, report);
    generation_release(generation);
    return generation != NULL;
}

void library_look(struct library *library) {
    on_change(library);
}

bool library_has_file(struct library *library, enum script_kind kind, const char *name,
                      int folder) {
    const struct entry *entry = find_entry(library, kind, name);
    return entry && (entry->folder == folder ||
                     (entry->folder != NOWHERE && (entry->shadows & (1U << (unsigned)folder))));
}

void library_path(struct library *library, enum script_kind kind, const char *name, int folder,
                  char *path, size_t size) {
    snprintf(path, size, "%.*s/%s/%s.lua", FOLDER_PATH_MAXIMUM, library->folders[folder],
             kind_folders[kind], name);
}

/* The listing's body of one name; NULL without memory. */
static char *write_listing(const struct library *library, const struct entry *entry) {
    char path[PATH_SIZE] = "";
    char shadows[LIBRARY_FOLDERS][PATH_SIZE];
    struct listing listing = {.kind = entry->kind,
                              .name = entry->name,
                              .path = path,
                              .current = entry->current,
                              .loaded_at = entry->loaded_at,
                              .errors = &entry->errors,
                              .rolled_back = &entry->rolled_back};
    if (entry->folder != NOWHERE)
        path_of(library, entry, entry->folder, path);
    for (int i = 0; i < LIBRARY_FOLDERS; i++) {
        if (!(entry->shadows & (1U << (unsigned)i)))
            continue;
        path_of(library, entry, i, shadows[listing.shadow_count]);
        listing.shadows[listing.shadow_count] = shadows[listing.shadow_count];
        listing.shadow_count++;
    }
    return listing_json(&listing);
}

enum err library_cards(struct library *library, struct script_card **cards, size_t *count) {
    struct script_card *made = calloc(library->count ? library->count : 1, sizeof *made);
    if (!made)
        return ERR_MEMORY;
    for (size_t i = 0; i < library->count; i++) {
        const struct entry *entry = library->entries[i];
        made[i].kind = entry->kind;
        snprintf(made[i].name, sizeof made[i].name, "%s", entry->name);
        made[i].quarantined = entry->current && entry->current->quarantine[0];
        made[i].has_script = entry->current && entry->current->script;
        made[i].json = write_listing(library, entry);
        if (made[i].json) {
            made[i].figures = script_figures_hold(entry->figures);
            continue;
        }
        while (i-- > 0) {
            free(made[i].json);
            script_figures_release(made[i].figures);
        }
        free(made);
        return ERR_MEMORY;
    }
    *cards = made;
    *count = library->count;
    return ERR_OK;
}
