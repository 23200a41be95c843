/* A driver's spec and recorded fixtures: plain Lua data, in one form.
 *
 *   return {                                     -- drivers/spec/NAME.lua
 *     driver = "acme_meter",
 *     fixtures = {
 *       { name = "the example of the manual", source = "Acme M1 manual 2.3, page 12",
 *         registers = { input = { [52] = { 0x4491, 0xF000 } } },
 *         models = { [103] = { [14] = 5000, [15] = 0 } },   -- SunSpec: from the model's ID
 *         parameters = { ratedPower = 5000 },
 *         expect = { activePower = 1167.5, state = false } } } -- false: unknown
 *   }
 *
 * Drivers that speak otherwise have answers in place of registers:
 *
 *       http = { ["GET /status"] = { power = 5 },                 -- JSON; or a text; or
 *                ["POST /set"] = { status = 400, body = "no" } },
 *       udp = { ["report 2"] = "...", ["curr *"] = "TCH-OK" }, line = { ["P?"] = "5" },
 *       mqtt = { ["kit/power"] = "5", ["tele/kit/SENSOR"] = { power = 5 } },  -- the link's is
 * "kit"
 *
 * and their orders say what is sent beside what is asked anyway: `sent` = { "curr 6000" }, for HTTP
 * and MQTT { { "POST /set", body }, { topic, payload } }; a table is compared as JSON.
 *
 * With parts, `expect` has one table for each part. `orders` say what a constraint writes: { part,
 * activePower, minActivePower, maxActivePower, writes = { { address, words... }, ... } }; with
 * `model = N` an address counts from that model's ID. A recording has the fixture's fields at its
 * top, with `recorded`. */
#ifndef DERD_KIT_SPEC_H
#define DERD_KIT_SPEC_H

#include <jansson.h>
#include <stddef.h>

#include "base/report.h"
#include "driver.h"
#include "kit/mirror.h"
#include "kit/registers.h"

struct spec {
    json_t *tree;
    json_t *fixtures; /* array, one reference */
};

#define SPEC_FILE_MAXIMUM (1U << 20)

/* A spec or a recording; false with mistakes. */
bool spec_load(struct spec *spec, const char *path, struct report *report);
void spec_free(struct spec *spec);
/* The registers of one fixture, with the SunSpec chain that `models` ask for. `chain` is that one.
 */
bool spec_registers(const json_t *fixture, const struct driver *driver, struct mirror_chain *chain,
                    struct registers *registers, struct report *report);

/* How the simulated device of this driver speaks: LINK_TCP is registers. */
enum link_kind spec_kind(const struct driver *driver);
/* The answers of a fixture for the simulated device of that kind (kit/talk.h); new reference. */
json_t *spec_answers(const json_t *fixture, enum link_kind kind);

#endif
