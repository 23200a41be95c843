#include "token.h"

#include <stdio.h>
#include <string.h>

#define SEPARATORS ", "

enum token_end token_end_at(const struct token *token, struct now now) {
    if (token->expires_at.ms == 0)
        return TOKEN_LIVES;
    if (now.wall.ms >= token->expires_at.ms) /* also when it is a lower bound only */
        return TOKEN_EXPIRED;
    return now.trusted ? TOKEN_LIVES : TOKEN_UNDECIDED;
}

bool token_has(const struct token *token, enum token_scope scope) {
    return token->scopes >> scope & 1;
}

void token_scopes_format(unsigned scopes, const char *separator,
                         char text[TOKEN_SCOPES_TEXT_SIZE]) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < TOKEN_SCOPE_COUNT && used < TOKEN_SCOPES_TEXT_SIZE; i++)
        if (scopes >> i & 1)
            used += (size_t)snprintf(text + used, TOKEN_SCOPES_TEXT_SIZE - used, "%s%s",
                                     used ? separator : "", token_scope_name((enum token_scope)i));
    if (used == 0)
        snprintf(text, TOKEN_SCOPES_TEXT_SIZE, "none");
}

bool token_scopes_parse(const char *text, unsigned *scopes, char *wrong, size_t wrong_size) {
    *scopes = 0;
    snprintf(wrong, wrong_size, "%s", "");
    for (text += strspn(text, SEPARATORS); *text; text += strspn(text, SEPARATORS)) {
        char word[32];
        size_t length = strcspn(text, SEPARATORS);
        enum token_scope scope;
        snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word),
                 text);
        text += length;
        if (strcmp(word, "all") == 0) {
            *scopes = TOKEN_SCOPES_ALL;
        } else if (token_scope_parse(word, &scope)) {
            *scopes |= 1U << scope;
        } else {
            snprintf(wrong, wrong_size, "%s", word);
            return false;
        }
    }
    return *scopes != 0;
}

bool token_covers(const struct token *token, const struct token *other, char *why,
                  size_t why_size) {
    char scopes[TOKEN_SCOPES_TEXT_SIZE];
    unsigned beyond = other->scopes & ~token->scopes;
    if (beyond) {
        token_scopes_format(beyond, ", ", scopes);
        snprintf(why, why_size, "it has scopes (%s) that the one that asks does not have", scopes);
        return false;
    }
    if (other->max_priority > token->max_priority) {
        snprintf(why, why_size, "it may set priorities up to %d, the one that asks only up to %d",
                 (int)other->max_priority, (int)token->max_priority);
        return false;
    }
    if (token->cluster_count > 0 && other->cluster_count == 0) {
        snprintf(why, why_size,
                 "it is for every cluster of its account, the one that asks only for some");
        return false;
    }
    return true;
}

bool token_outlives(const struct token *token, const struct token *other) {
    return token->expires_at.ms == 0 ||
           (other->expires_at.ms != 0 && other->expires_at.ms <= token->expires_at.ms);
}
