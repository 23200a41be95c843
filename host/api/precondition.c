#include "api/precondition.h"

#include <sodium.h>
#include <string.h>

/* Poly1305 with a key that nobody knows, and SipHash with another one of its 16 bytes, so that no
 * tag tells of the first key: whoever can choose what an answer says can still not make two of one
 * tag. Four times as fast as a hash without a key that could be relied on so. */
#define HASH_BYTES crypto_shorthash_siphashx24_BYTES

_Static_assert(sizeof((struct exchange *)0)->version + (size_t)2 * HASH_BYTES + sizeof "\"\"" <=
                   TAG_SIZE,
               "the longest tag fits with its quotes");
_Static_assert(EXCHANGE_TAG_KEY ==
                   crypto_onetimeauth_poly1305_KEYBYTES + crypto_shorthash_siphashx24_KEYBYTES,
               "a key of each");

/* --- lists of tags --------------------------------------------------------------------------- */

/* etagc of RFC 9110: any visible character but the quote, and bytes above. */
static bool tag_character(char c) {
    unsigned char byte = (unsigned char)c;
    return byte == 0x21 || (byte >= 0x23 && byte != 0x7f);
}

static bool tag_is(const char *opaque, size_t length, const char *tag, bool version) {
    size_t wanted = strlen(tag);
    return length >= wanted && strncmp(opaque, tag, wanted) == 0 &&
           (length == wanted || (version && opaque[wanted] == '.'));
}

enum tags tags_look(const char *list, const char *tag, bool weak, bool version) {
    const char *at = list + strspn(list, " \t");
    bool found = false;
    bool any = false;
    if (at[0] == '*')
        return at[1 + strspn(at + 1, " \t")] ? TAGS_MALFORMED : TAGS_ANY;
    while (*at) {
        at += strspn(at, " \t,"); /* empty elements are to be taken (section 5.6.1.2) */
        if (!*at)
            break;
        bool is_weak = strncmp(at, "W/", 2) == 0;
        at += is_weak ? 2 : 0;
        if (*at++ != '"')
            return TAGS_MALFORMED;
        size_t length = 0;
        while (tag_character(at[length]))
            length++;
        if (at[length] != '"')
            return TAGS_MALFORMED;
        any = true;
        found = found || ((weak || !is_weak) && tag && tag_is(at, length, tag, version));
        at += length + 1;
        at += strspn(at, " \t");
        if (*at && *at != ',')
            return TAGS_MALFORMED;
    }
    if (!any)
        return TAGS_MALFORMED;
    return found ? TAGS_MATCH : TAGS_NONE;
}

/* --- reads ----------------------------------------------------------------------------------- */

static void put_tag(struct exchange *x, const char *tag) {
    char quoted[TAG_SIZE];
    size_t length = strnlen(tag, sizeof quoted - 3);
    quoted[0] = '"';
    memcpy(quoted + 1, tag, length);
    memcpy(quoted + 1 + length, "\"", 2);
    exchange_header(x, "ETag", quoted);
}

static void refuse_form(struct exchange *x, const char *header) {
    exchange_problem(
        x, 400,
        "%s must be * or a list of entity tags like \"33a64df5\", parted by commas, as "
        "the header ETag gave them.",
        header);
}

void precondition_answer(struct exchange *x) {
    unsigned char sum[crypto_onetimeauth_poly1305_BYTES];
    unsigned char hash[HASH_BYTES];
    char tag[TAG_SIZE];
    size_t version = strlen(x->version);
    if (x->status != 200 || x->pour || x->body.failed || x->headers.failed)
        return;
    crypto_onetimeauth_poly1305(sum, (const unsigned char *)buf_string(&x->body), x->body.length,
                                x->tag_key);
    crypto_shorthash_siphashx24(hash, sum, sizeof sum,
                                x->tag_key + crypto_onetimeauth_poly1305_KEYBYTES);
    memcpy(tag, x->version, version);
    if (version)
        tag[version++] = '.';
    sodium_bin2hex(tag + version, sizeof tag - version, hash, sizeof hash);
    const char *held = x->request.if_none_match;
    switch (held ? tags_look(held, tag, true, false) : TAGS_NONE) {
    case TAGS_MALFORMED:
        refuse_form(x, "If-None-Match");
        return;
    case TAGS_MATCH:
    case TAGS_ANY:
        exchange_empty(x, 304);
        break;
    case TAGS_NONE:
        break;
    }
    put_tag(x, tag);
}

/* --- changes --------------------------------------------------------------------------------- */

void precondition_failed(struct exchange *x, const char *version) {
    if (version)
        exchange_problem(x, 412,
                         "It is not as the request expects it: its ETag is now \"%s\". Read it "
                         "again and decide anew.",
                         version);
    else
        exchange_problem(x, 412,
                         "It is not as the request expects it: there is no such thing now.");
    if (version)
        precondition_tell(x, version);
}

bool precondition_check(struct exchange *x, const char *version) {
    const char *must = x->request.if_match;
    const char *must_not = x->request.if_none_match;
    enum tags has = must ? tags_look(must, version, false, true) : TAGS_MATCH;
    enum tags has_not = must_not ? tags_look(must_not, version, true, true) : TAGS_NONE;
    if (has == TAGS_MALFORMED || has_not == TAGS_MALFORMED) {
        refuse_form(x, has == TAGS_MALFORMED ? "If-Match" : "If-None-Match");
        return false;
    }
    bool holds = (has == TAGS_MATCH || (has == TAGS_ANY && version)) &&
                 !(has_not == TAGS_MATCH || (has_not == TAGS_ANY && version));
    if (!holds)
        precondition_failed(x, version);
    return holds;
}

void precondition_tell(struct exchange *x, const char *version) {
    put_tag(x, version);
}

void precondition_version(const void *content, size_t length, char version[VERSION_SIZE]) {
    unsigned char hash[crypto_generichash_BYTES_MIN];
    crypto_generichash(hash, sizeof hash, content, length, NULL, 0);
    sodium_bin2hex(version, VERSION_SIZE, hash, (VERSION_SIZE - 1) / 2);
}
