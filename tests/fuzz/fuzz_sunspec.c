/* The walk along a SunSpec chain in a device's registers, as they may be. The input is the
 * registers from base 40000 on; a first byte of the input says which reads are refused. */
#include "fuzz.h"

#include "sunspec.h"

#define BASE 40000U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct feed feed = {data, size};
    struct sunspec_walk walk;
    struct sunspec_read read;
    unsigned refuse = feed_byte(&feed), reads = 0;
    sunspec_start(&walk, NULL, 0);
    while (sunspec_next(&walk, &read)) {
        must(++reads <= 3 * (SUNSPEC_MAX_MODELS + 1));
        must(read.count >= 1 && read.count <= 125 && read.address + read.count <= 65536);
        uint16_t *words = calloc(read.count, sizeof *words); /* of exact size */
        must(words);
        for (unsigned i = 0; i < read.count; i++) {
            size_t at = 2 * ((size_t)read.address + i - BASE);
            if (read.address + i >= BASE && at + 1 < feed.size)
                words[i] = (uint16_t)(feed.data[at] << 8 | feed.data[at + 1]);
        }
        sunspec_take(&walk, refuse && reads % (refuse % 7 + 2) == 0 ? NULL : words);
        free(words);
    }
    must(walk.model_count <= SUNSPEC_MAX_MODELS);
    for (size_t i = 0; i < walk.model_count; i++) {
        uint16_t address = 0;
        must(walk.models[i].length > 0 && walk.models[i].id != 0xffff);
        must(walk.models[i].address + 1U + walk.models[i].length <= 65535);
        must(sunspec_find(&walk, walk.models[i].id, &address) && address == walk.models[i].address);
    }
    must(walk.model_count > 0 || walk.trouble[0]);
    return 0;
}
