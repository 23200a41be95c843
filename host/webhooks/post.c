#include "webhooks/post.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_MAXIMUM ((size_t)64 << 10)
#define HEADER_SIZE    320
#define DAY_S          INT64_C(86400)

struct post {
    CURL *easy;
    struct curl_slist *headers;
    const struct reachable *reachable;
    char *body;
    char url[POST_URL_SIZE];
    size_t got;        /* bytes of the answer */
    char refused[240]; /* why its address was */
    char error[CURL_ERROR_SIZE];
    struct mono started;
};

static curl_socket_t open_socket(void *context, curlsocktype purpose,
                                 struct curl_sockaddr *address) {
    struct post *post = context;
    if (purpose != CURLSOCKTYPE_IPCXN ||
        !address_reachable(&address->addr, post->url, post->reachable, post->refused,
                           sizeof post->refused))
        return CURL_SOCKET_BAD;
    post->refused[0] = '\0';
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t take_answer(char *data, size_t size, size_t count, void *context) {
    struct post *post = context;
    (void)data;
    post->got += size * count;
    return post->got > ANSWER_MAXIMUM ? 0 : size * count;
}

static bool add_header(struct post *post, const char *format, ...) printf_like(2, 3);

static bool add_header(struct post *post, const char *format, ...) {
    char line[HEADER_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    struct curl_slist *longer =
        length > 0 && (size_t)length < sizeof line ? curl_slist_append(post->headers, line) : NULL;
    if (longer)
        post->headers = longer;
    return longer != NULL;
}

static bool sign(struct post *post, const struct post_order *order) {
    char signature[SIGNATURE_SIZE];
    char old[SIGNATURE_SIZE + 1] = " ";
    int64_t seconds = order->now.ms / 1000;
    if (!signature_make(order->secret, order->message_id, seconds, order->body, signature) ||
        (order->old_secret[0] &&
         !signature_make(order->old_secret, order->message_id, seconds, order->body, old + 1)))
        return false;
    return add_header(post, "webhook-id: %s", order->message_id) &&
           add_header(post, "webhook-timestamp: %" PRId64, seconds) &&
           add_header(post, "webhook-signature: %s%s", signature, old[1] ? old : "") &&
           add_header(post, "Content-Type: application/json") &&
           add_header(post, "User-Agent: derd/%s", DERD_VERSION) && add_header(post, "Expect:");
}

/* True when libcurl took every option. */
static bool set_up(struct post *post) {
    CURL *easy = post->easy;
    int wrong = curl_easy_setopt(easy, CURLOPT_URL, post->url) != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_PROXY, "") != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)POST_TIMEOUT_MS) != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_POST, 1L) != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_POSTFIELDS, post->body) != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(post->body)) != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, post->headers) != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer) != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, post) != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, post) != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, post->error) != CURLE_OK;
    wrong |= curl_easy_setopt(easy, CURLOPT_PRIVATE, post) != CURLE_OK;
    return !wrong;
}

struct post *post_new(const struct post_order *order) {
    struct post *post = calloc(1, sizeof *post);
    if (!post)
        return NULL;
    snprintf(post->url, sizeof post->url, "%s", order->url);
    post->reachable = order->reachable;
    post->started = clock_mono();
    post->body = strdup(order->body);
    post->easy = curl_easy_init();
    if (!post->body || !post->easy || !sign(post, order) || !set_up(post)) {
        post_free(post);
        return NULL;
    }
    return post;
}

CURL *post_handle(const struct post *post) {
    return post->easy;
}

void post_outcome(const struct post *post, CURLcode code, struct post_outcome *outcome) {
    long status = 0;
    curl_off_t after_s = 0;
    *outcome = (struct post_outcome){.duration_ms = clock_mono().ms - post->started.ms};
    curl_easy_getinfo(post->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(post->easy, CURLINFO_RETRY_AFTER, &after_s);
    outcome->status = (int)status;
    /* Who has answered has taken it, whatever became of the answer's body. */
    bool answered = status >= 200 && (code == CURLE_OK || code == CURLE_WRITE_ERROR);
    outcome->delivered = answered && status < 300;
    outcome->gone = answered && status == 410;
    outcome->retry_after_ms = after_s > 0 && after_s < DAY_S ? after_s * 1000 : 0;
    if (outcome->delivered)
        return;
    if (answered)
        snprintf(outcome->error, sizeof outcome->error, "the receiver answered %ld", status);
    else
        snprintf(outcome->error, sizeof outcome->error, "%s",
                 post->refused[0] ? post->refused
                 : post->error[0] ? post->error
                                  : curl_easy_strerror(code));
}

void post_free(struct post *post) {
    if (!post)
        return;
    curl_easy_cleanup(post->easy);
    curl_slist_free_all(post->headers);
    free(post->body);
    free(post);
}
