/* The host's decide() on a line: reads cases on standard input, one per line, and prints what was
 * decided, one line each. tests/oracle/compare.py asks it and a decide() written independently.
 *
 * A case, separated by single spaces; whole numbers except the states of charge:
 *   soc ranges {lo hi} wishes {priority rank flags set min max minSoc maxSoc}
 * soc is "nan" when unknown; flags are letters, "-" for none: s, l, h: set, min, max are given;
 * g, G: minSoc, maxSoc are given; c clamp; x exclusive; m, M: that gate was closed. The wishes may
 * come in any order.
 *
 * The answer:
 *   hasSet set min max unmet limited walkedMin walkedMax setBy minBy maxBy ranges {lo hi}
 *   {rank outcome against gateMin gateMax minGateClosed maxGateClosed}
 * with what is left of the allowed ranges, and the wishes in the order of arbiter_order(); indices
 * count in that order. A line that is not a case ends the program with status 2. */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter.h"

#define LINE_MAXIMUM 65536

struct parse {
    const char *at;
    bool failed;
};

static double take_number(struct parse *parse) {
    char *end;
    double value = strtod(parse->at, &end);
    if (end == parse->at)
        parse->failed = true;
    parse->at = end;
    return value;
}

static int64_t take_whole(struct parse *parse, int64_t minimum, int64_t maximum) {
    char *end;
    long long value = strtoll(parse->at, &end, 10);
    if (end == parse->at || value < minimum || value > maximum)
        parse->failed = true;
    parse->at = end;
    return parse->failed ? minimum : value;
}

static int32_t take_power(struct parse *parse) {
    return (int32_t)take_whole(parse, -POWER_UNBOUNDED, POWER_UNBOUNDED);
}

static void take_flags(struct parse *parse, struct wish *wish) {
    while (*parse->at == ' ')
        parse->at++;
    size_t length = strcspn(parse->at, " \n");
    for (size_t i = 0; i < length; i++) {
        switch (parse->at[i]) {
        case 's':
            wish->has_set = true;
            break;
        case 'l':
            wish->has_min = true;
            break;
        case 'h':
            wish->has_max = true;
            break;
        case 'g':
            wish->has_min_soc = true;
            break;
        case 'G':
            wish->has_max_soc = true;
            break;
        case 'c':
            wish->on_conflict = ON_CONFLICT_CLAMP;
            break;
        case 'x':
            wish->exclusive = true;
            break;
        case 'm':
            wish->min_gate_closed = true;
            break;
        case 'M':
            wish->max_gate_closed = true;
            break;
        case '-':
            break;
        default:
            parse->failed = true;
        }
    }
    parse->at += length;
}

static void take_wish(struct parse *parse, struct wish *wish) {
    *wish = (struct wish){.on_conflict = ON_CONFLICT_DISCARD};
    wish->priority = (int32_t)take_whole(parse, PRIORITY_FALLBACK, PRIORITY_MAXIMUM);
    wish->rank = (uint64_t)take_whole(parse, 0, INT64_MAX);
    take_flags(parse, wish);
    wish->set = take_power(parse);
    wish->min = take_power(parse);
    wish->max = take_power(parse);
    wish->min_soc = take_number(parse);
    wish->max_soc = take_number(parse);
}

static int compare_wishes(const void *a, const void *b) {
    return arbiter_order(a, b);
}

/* A whole case; the number of wishes, or -1. */
static int take_case(const char *line, double *soc, struct ranges *allowed, struct wish *wishes) {
    struct parse parse = {.at = line};
    *soc = take_number(&parse);
    allowed->count = 0;
    int64_t ranges = take_whole(&parse, 1, RANGES_MAXIMUM);
    for (int64_t i = 0; i < ranges && !parse.failed; i++) {
        int32_t lo = take_power(&parse);
        int32_t hi = take_power(&parse);
        /* By hand and not through ranges_add(), which would join neighbours. */
        allowed->items[allowed->count++] = (struct range){lo, hi};
    }
    int64_t count = take_whole(&parse, 0, ARBITER_WISHES);
    for (int64_t i = 0; i < count && !parse.failed; i++)
        take_wish(&parse, &wishes[i]);
    return parse.failed || strcmp(parse.at, "\n") != 0 ? -1 : (int)count;
}

static void print_answer(const struct decision *decision, const struct wish *wishes,
                         const struct verdict *verdicts, int count) {
    printf("%d %" PRId32 " %" PRId32 " %" PRId32 " %d %d %" PRId32 " %" PRId32 " %d %d %d",
           decision->has_set, decision->has_set ? decision->set : 0, decision->min, decision->max,
           decision->unmet, decision->limited, decision->walked_min, decision->walked_max,
           decision->set_by, decision->min_by, decision->max_by);
    printf(" %zu", decision->within.count);
    for (size_t i = 0; i < decision->within.count && i < RANGES_MAXIMUM; i++)
        printf(" %" PRId32 " %" PRId32, decision->within.items[i].lo, decision->within.items[i].hi);
    for (int i = 0; i < count; i++)
        printf(" %" PRIu64 " %d %d %d %d %d %d", wishes[i].rank, (int)verdicts[i].outcome,
               verdicts[i].against, verdicts[i].gate_min, verdicts[i].gate_max,
               wishes[i].min_gate_closed, wishes[i].max_gate_closed);
    putchar('\n');
}

int main(void) {
    static char line[LINE_MAXIMUM];
    static struct wish wishes[ARBITER_WISHES];
    static struct verdict verdicts[ARBITER_WISHES];
    while (fgets(line, sizeof line, stdin)) {
        double soc;
        struct ranges allowed;
        int count = take_case(line, &soc, &allowed, wishes);
        if (count < 0) {
            fprintf(stderr, "arbiter_peer: this is not a case: %s", line);
            return 2;
        }
        if (count > 0)
            qsort(wishes, (size_t)count, sizeof wishes[0], compare_wishes);
        /* What decide() does not fill in must not look like an answer. */
        struct decision decision;
        memset(&decision, 0x55, sizeof decision);
        memset(verdicts, 0x55, sizeof verdicts[0] * (size_t)count);
        struct decide_input input = {
            .allowed = &allowed, .wishes = wishes, .wish_count = (size_t)count, .soc = soc};
        decide(&input, &decision, verdicts);
        print_answer(&decision, wishes, verdicts, count);
    }
    return 0;
}
