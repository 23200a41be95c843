/* A webhook as it stands in the store, which may be damaged: what is read, written and read again
 * is the same. */
#include "fuzz.h"

#include "webhooks/webhook.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct webhook first, second;
    static const char id[] = "0f8fad5b-d9cb-469f-a165-70867728950e";
    char *text = text_copy(data, size);
    if (webhook_read(id, "owner", text, &first)) {
        char *written = webhook_write(&first);
        must(written);
        must(webhook_read(id, "owner", written, &second));
        char *again = webhook_write(&second);
        must(again && strcmp(written, again) == 0);
        must(first.filter.cluster_count <= EVENT_FILTER_IDS &&
             first.filter.device_count <= EVENT_FILTER_IDS);
        must(strlen(first.url) < sizeof first.url && strlen(first.secret) < sizeof first.secret);
        free(written);
        free(again);
    }
    free(text);
    return 0;
}
