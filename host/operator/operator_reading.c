#include "operator/operator_reading.h"

#include <math.h>
#include <stdio.h>

#include "base/buf.h"

/* --- contacts ----------------------------------------------------------------------------------
 */

/* 1: counts, 0: does not, -1: unknown. */
static int contact_counts(const struct operator_contact *contact,
                          const struct operator_input *input) {
    double value = input->values[POINT_CONTACT_1 + contact->contact - 1];
    if (isnan(value))
        return -1;
    return (value >= 0.5) != contact->when_open;
}

static void read_contacts(const struct operator_site *site, const struct operator_input *input,
                          struct operator_reading *reading) {
    struct buf text;
    size_t counted = 0;
    bool has_free = false;
    buf_init(&text, sizeof reading->text);
    for (size_t i = 0; i < site->contact_count; i++) {
        const struct operator_contact *contact = &site->contacts[i];
        int counts = contact_counts(contact, input);
        if (counts < 0) {
            buf_free(&text);
            snprintf(reading->silence, sizeof reading->silence, "contact %d is unknown",
                     contact->contact);
            return;
        }
        has_free = has_free || operator_limits_nothing(contact->limit);
        if (!counts)
            continue;
        buf_format(&text, "%scontact %d is %s", counted++ ? ", " : "", contact->contact,
                   contact->when_open ? "open" : "closed");
        reading->limit = operator_stricter(reading->limit, contact->limit);
    }
    reading->states = counted > 0 || !has_free;
    if (!reading->states)
        snprintf(reading->silence, sizeof reading->silence,
                 "no contact counts, not even the one for no limit: a wire is broken");
    else if (counted == 0)
        buf_text(&text, "no contact limits");
    snprintf(reading->text, sizeof reading->text, "%s", buf_string(&text));
    buf_free(&text);
}

/* --- registers ---------------------------------------------------------------------------------
 */

/* Magnitude in whole W, toward 0. False: not known whether there is a limit, or which. */
static bool read_register(const struct operator_input *input, enum point_id limit,
                          enum point_id active, bool *has, int32_t *watts) {
    double value = input->values[limit];
    *has = false;
    if (input->has[active]) {
        if (isnan(input->values[active]))
            return false;
        if (input->values[active] < 0.5)
            return true;
    }
    if (isnan(value) || value < 0)
        return false;
    *has = true;
    *watts = value < POWER_UNBOUNDED ? (int32_t)floor(value) : POWER_UNBOUNDED - 1;
    return true;
}

static void read_registers(const struct operator_input *input, struct operator_reading *reading) {
    struct operator_limit *limit = &reading->limit;
    bool consumption = input->has[POINT_CONSUMPTION_LIMIT];
    bool production = input->has[POINT_PRODUCTION_LIMIT];
    int32_t watts = 0;
    if (!consumption && !production) {
        snprintf(reading->silence, sizeof reading->silence,
                 "its driver has neither consumptionLimit nor productionLimit, and the site file "
                 "no contacts");
        return;
    }
    reading->states = true;
    if (consumption)
        reading->states =
            read_register(input, POINT_CONSUMPTION_LIMIT, POINT_CONSUMPTION_LIMIT_ACTIVE,
                          &limit->has_max, &limit->max);
    if (production && read_register(input, POINT_PRODUCTION_LIMIT, POINT_PRODUCTION_LIMIT_ACTIVE,
                                    &limit->has_min, &watts))
        limit->min = -watts;
    else if (production)
        reading->states = false;
    if (!reading->states)
        snprintf(reading->silence, sizeof reading->silence, "its limit is unknown");
    else
        snprintf(reading->text, sizeof reading->text, "its registers tell %s",
                 operator_limits_nothing(*limit) ? "no limit" : "a limit");
}

struct operator_reading operator_read(const struct operator_site *site,
                                      const struct operator_input *input) {
    struct operator_reading reading = {0};
    if (site->contact_count)
        read_contacts(site, input, &reading);
    else
        read_registers(input, &reading);
    if (!reading.states)
        reading.limit = (struct operator_limit){0};
    reading.heard = reading.states;
    if (!reading.heard || !input->has[POINT_HEARTBEAT])
        return reading;
    double beat = input->values[POINT_HEARTBEAT];
    if (!isnan(beat) && !isnan(input->heartbeat_before) && beat != input->heartbeat_before)
        return reading;
    reading.heard = false;
    if (isnan(beat))
        snprintf(reading.silence, sizeof reading.silence, "its heartbeat is unknown");
    else
        snprintf(reading.silence, sizeof reading.silence, "its heartbeat stands at %.0f", beat);
    return reading;
}
