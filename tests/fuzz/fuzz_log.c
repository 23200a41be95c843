/* Lines of the log: whatever a device or a client says, a line is one line, and JSON where it is to
 * be. First line: the subject, second: the request, the rest: the text. */
#include "fuzz.h"

#include <jansson.h>

#include "base/log_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char line[LOG_LINE_SIZE];
    struct feed feed = {data, size};
    unsigned kind = feed_byte(&feed);
    char *subject = feed_line(&feed), *request = feed_line(&feed);
    char *text = text_copy(feed.data, feed.size);
    const struct log_entry entry = {.at = {(int64_t)kind << 40},
                                    .level = (enum log_level)(kind % 4),
                                    .subject = subject,
                                    .text = text,
                                    .request_id = kind & 4 ? request : NULL,
                                    .repeated = kind & 8 ? kind : 0,
                                    .repeated_s = 60};
    for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JOURNAL; format++) {
        size_t length = log_line_render((enum log_format)format, &entry, line);
        must(length < LOG_LINE_SIZE && strlen(line) == length);
        must(strchr(line, '\n') == line + length - 1);
        json_t *whole = json_stringn(line, length); /* NULL: no UTF-8 */
        must(whole);
        json_decref(whole);
        for (size_t i = 0; i + 1 < length; i++)
            must((unsigned char)line[i] >= ' ' && line[i] != 0x7f);
        if (format != LOG_FORMAT_JSON)
            continue;
        json_t *tree = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
        must(json_is_string(json_object_get(tree, "text")));
        must((json_object_get(tree, "requestId") != NULL) == (entry.request_id != NULL));
        must(json_integer_value(json_object_get(tree, "repeated")) == entry.repeated);
        json_decref(tree);
    }
    free(subject), free(request), free(text);
    return 0;
}
