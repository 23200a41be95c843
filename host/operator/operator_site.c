#include "operator/operator_site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/schema.h"
#include "vocabulary.h"

#define PRIORITY_LEAST   3000 /* the grid operator's band (ARBITRATION section 2) */
#define PRIORITY_MOST    3999
#define POWER_SENSIBLE   1e9
#define DURATION_DEFAULT "2h"
#define HOUR_MS          3600000LL
#define HOURS_LEAST      (OPERATOR_DURATION_LEAST / HOUR_MS)
#define HOURS_MOST       (OPERATOR_DURATION_MOST / HOUR_MS)

static const char *const scope_words[] = {"connection", "controllable", NULL};
static const char *const when_words[] = {"closed", "open", NULL};

#define POWER_FIELDS                                                                               \
    {.key = "maxActivePower",                                                                      \
     .kind = SCHEMA_INTEGER,                                                                       \
     .minimum = 0,                                                                                 \
     .maximum = POWER_SENSIBLE,                                                                    \
     .help = "W: at most this much may be taken"},                                                 \
    {                                                                                              \
        .key = "minActivePower", .kind = SCHEMA_INTEGER, .minimum = -POWER_SENSIBLE, .maximum = 0, \
        .help = "W: at most this much may be given (0 or negative)"                                \
    }

static const struct schema failsafe_fields[] = {
    POWER_FIELDS,
    {.key = "duration",
     .kind = SCHEMA_STRING,
     .minimum = 1,
     .maximum = 10,
     .help = "how long it lasts at least: \"2h\" to \"24h\""},
    {0},
};

const struct schema operator_site_fields[] = {
    {.key = "scope",
     .kind = SCHEMA_ENUM,
     .one_of = scope_words,
     .help = "controllable when left out (section 14a EnWG), or connection"},
    {.key = "priority",
     .kind = SCHEMA_INTEGER,
     .minimum = PRIORITY_LEAST,
     .maximum = PRIORITY_MOST,
     .help = "3000 when left out"},
    {.key = "heartbeat",
     .kind = SCHEMA_NUMBER,
     .minimum = 1,
     .maximum = OPERATOR_HEARTBEAT_MS / 1000.0,
     .help = "s, longest without a word of the box; 120 when left out"},
    {.key = "failsafe", .kind = SCHEMA_OBJECT, .required = true, .fields = failsafe_fields},
    {.key = "source",
     .kind = SCHEMA_ANY,
     .required = true,
     .help = "\"api\", or { device = \"box\", contacts = { ... } }"},
    {0},
};

static const struct schema contact_fields[] = {
    {.key = "contact",
     .kind = SCHEMA_INTEGER,
     .required = true,
     .minimum = 1,
     .maximum = CONTACT_COUNT},
    {.key = "when", .kind = SCHEMA_ENUM, .one_of = when_words, .help = "closed when left out"},
    POWER_FIELDS,
    {0},
};
static const struct schema contact_item = {.kind = SCHEMA_OBJECT, .fields = contact_fields};
static const struct schema source_fields[] = {
    {.key = "device",
     .kind = SCHEMA_STRING,
     .required = true,
     .minimum = 1,
     .maximum = KEY_SIZE - 1,
     .help = "key of a device of this cluster"},
    {.key = "contacts",
     .kind = SCHEMA_ARRAY,
     .item = &contact_item,
     .minimum = 1,
     .maximum = OPERATOR_CONTACTS,
     .help = "what each contact means; left out: the device has registers for limits"},
    {0},
};
static const struct schema source_object = {.kind = SCHEMA_OBJECT, .fields = source_fields};

/* A whole number of W that is there and in range; the schema tells of all others. */
static bool read_watts(const json_t *tree, const char *key, double least, double most,
                       int32_t *watts) {
    const json_t *field = json_object_get(tree, key);
    double value = json_is_number(field) ? json_number_value(field) : most + 1;
    if (!(value >= least && value <= most))
        return false;
    *watts = (int32_t)value;
    return true;
}

static struct operator_limit read_limit(const json_t *tree) {
    struct operator_limit limit = {0};
    limit.has_max = read_watts(tree, "maxActivePower", 0, POWER_SENSIBLE, &limit.max);
    limit.has_min = read_watts(tree, "minActivePower", -POWER_SENSIBLE, 0, &limit.min);
    return limit;
}

/* "2h" to "24h". */
static bool read_duration(const char *text, int64_t *duration_ms) {
    char *end;
    if (text[0] < '1' || text[0] > '9')
        return false;
    long hours = strtol(text, &end, 10);
    if (strcmp(end, "h") != 0 || hours < HOURS_LEAST || hours > HOURS_MOST)
        return false;
    *duration_ms = hours * HOUR_MS;
    return true;
}

static void read_failsafe(const json_t *field, const char *where, struct operator_site *site,
                          struct report *report) {
    char place[96];
    site->terms.failsafe = read_limit(field);
    if (json_is_object(field) && !json_object_get(field, "maxActivePower") &&
        !json_object_get(field, "minActivePower")) {
        snprintf(place, sizeof place, "%s.failsafe", where);
        report_add(report, place,
                   "it limits nothing: give maxActivePower (4200 for one device by section 14a "
                   "EnWG), minActivePower, or both");
    }
    const json_t *duration = json_object_get(field, "duration");
    const char *text = duration ? json_string_value(duration) : DURATION_DEFAULT;
    snprintf(place, sizeof place, "%s.failsafe.duration", where);
    if (text && !read_duration(text, &site->terms.duration_ms))
        report_add(report, place, "expected \"%dh\" to \"%dh\", got \"%.40s\"", (int)HOURS_LEAST,
                   (int)HOURS_MOST, text);
}

static void read_contacts(const json_t *list, const char *where, struct operator_site *site,
                          struct report *report) {
    for (size_t i = 0; i < json_array_size(list) && i < OPERATOR_CONTACTS; i++) {
        const json_t *entry = json_array_get(list, i);
        struct operator_contact *contact = &site->contacts[site->contact_count];
        contact->contact = (int)tree_integer(entry, "contact", 0);
        contact->when_open = strcmp(tree_string(entry, "when", "closed"), "open") == 0;
        contact->limit = read_limit(entry);
        for (size_t j = 0; j < site->contact_count; j++)
            if (contact->contact == site->contacts[j].contact &&
                contact->when_open == site->contacts[j].when_open) {
                char place[96];
                snprintf(place, sizeof place, "%s.source.contacts[%zu]", where, i + 1);
                report_add(report, place, "contact %d when %s is there already", contact->contact,
                           contact->when_open ? "open" : "closed");
            }
        if (contact->contact >= 1 && contact->contact <= CONTACT_COUNT)
            site->contact_count++;
    }
}

static void read_source(const json_t *field, const char *where, struct operator_site *site,
                        struct report *report) {
    char place[96];
    snprintf(place, sizeof place, "%s.source", where);
    if (!field || (json_is_string(field) && strcmp(json_string_value(field), "api") == 0))
        return;
    if (!json_is_object(field)) {
        report_add(report, place,
                   "expected \"api\", or { device = \"box\" } with what its contacts mean");
        return;
    }
    (void)schema_check(&source_object, field, place, PATH_LUA, report);
    snprintf(site->device, sizeof site->device, "%s", tree_string(field, "device", ""));
    read_contacts(json_object_get(field, "contacts"), where, site, report);
}

void operator_site_read(const json_t *field, const char *where, struct operator_site *site,
                        struct report *report) {
    *site = (struct operator_site){
        .scope = SCOPE_CONTROLLABLE,
        .priority = PRIORITY_LEAST,
        .terms = {.heartbeat_ms = OPERATOR_HEARTBEAT_MS, .duration_ms = OPERATOR_DURATION_LEAST}};
    if (!json_is_object(field))
        return;
    site->present = true;
    (void)scope_parse(tree_string(field, "scope", ""), &site->scope);
    site->priority = (int32_t)tree_integer(field, "priority", PRIORITY_LEAST);
    site->terms.heartbeat_ms =
        (int64_t)(tree_number(field, "heartbeat", OPERATOR_HEARTBEAT_MS / 1000.0) * 1000);
    read_failsafe(json_object_get(field, "failsafe"), where, site, report);
    read_source(json_object_get(field, "source"), where, site, report);
}
