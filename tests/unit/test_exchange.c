#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/exchange.h"

static const struct api_settings settings;
static int released;

static void release(void *context) {
    free(context);
    released++;
}

/* What a request leaves behind in every kind of field. */
static void serve(struct exchange *x, size_t body) {
    struct json *json = exchange_json(x, 200);
    json_array_open(json);
    for (size_t i = 0; i < body; i++)
        json_write_integer(json, 7);
    json_array_close(json);
    exchange_header(x, "ETag", "\"secret\"");
    snprintf(x->path, sizeof x->path, "/v1/clusters/other");
    snprintf(x->request.text, sizeof x->request.text, "other");
    snprintf(x->request_id, sizeof x->request_id, "mine");
    snprintf(x->version, sizeof x->version, "17");
    snprintf(x->token.account, sizeof x->token.account, "other");
    snprintf(x->step_text, sizeof x->step_text, "other");
    x->request.segments[x->request.segment_count++] = x->request.text;
    x->request.method = METHOD_DELETE;
    x->request.authorization = "Bearer other";
    x->step_cluster = x->request.text;
    x->authenticated = x->by_session = x->keyed = x->page_file = true;
    x->tree = json_object();
    x->receipt.body = strdup("{}");
    x->token.scopes = TOKEN_SCOPES_ALL;
}

/* The memory that is kept is no difference, nor is when they began, nor what stands behind the end
 * of the two texts. */
static void take_out(struct exchange *x) {
    memset(x->request.text, 0, sizeof x->request.text);
    memset(x->path, 0, sizeof x->path);
    x->began_us = 0;
    x->headers.data = x->body.data = x->out.data = NULL;
    x->headers.capacity = x->body.capacity = x->out.capacity = 0;
}

static void a_renewed_exchange_is_as_a_new_one(void **state) {
    (void)state;
    struct exchange *x = exchange_new(&settings);
    struct exchange *fresh = exchange_new(&settings);
    static struct exchange copy;
    assert_true(x && fresh);
    for (int i = 0; i < 3; i++) {
        serve(x, 10);
        x->pour_context = malloc(1);
        x->pour_free = release;
        exchange_render(x, false);
        exchange_renew(x);
        assert_int_equal(released, i + 1);
        assert_string_equal(x->path, "");
        assert_string_equal(x->request.text, "");
        assert_string_equal(buf_string(&x->headers), "");
        assert_string_equal(buf_string(&x->body), "");
        assert_non_null(x->body.data); /* its memory is what it is renewed for */
        memcpy(&copy, x, sizeof copy);
        take_out(&copy);
        take_out(fresh);
        assert_memory_equal(&copy, fresh, sizeof copy);
    }
    exchange_free(x);
    exchange_free(fresh);
}

static void a_large_answer_leaves_no_large_memory(void **state) {
    (void)state;
    struct exchange *x = exchange_new(&settings);
    assert_non_null(x);
    serve(x, 100000);
    exchange_render(x, false);
    assert_true(x->out.length > 200000);
    exchange_renew(x);
    assert_true(x->body.capacity + x->out.capacity + x->headers.capacity <= (size_t)3 * 16 * 1024);
    exchange_free(x);
}

/* What did not fit, or found no memory, is over with its request. */
static void a_failed_answer_is_forgotten(void **state) {
    (void)state;
    struct exchange *x = exchange_new(&settings);
    assert_non_null(x);
    serve(x, REPLY_MAXIMUM);
    assert_true(x->body.failed);
    exchange_renew(x);
    assert_false(x->body.failed);
    serve(x, 1);
    exchange_render(x, true);
    assert_false(x->out.failed);
    assert_non_null(strstr(buf_string(&x->out), "\r\n\r\n[7]"));
    exchange_free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_renewed_exchange_is_as_a_new_one),
        cmocka_unit_test(a_large_answer_leaves_no_large_memory),
        cmocka_unit_test(a_failed_answer_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
