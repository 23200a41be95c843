/* RFC 9457: the one form of every answer that is not a success, {type, title, status, detail,
 * instance, requestId, errors: [{pointer, detail}]}. Type and title follow from the status; the
 * detail is a sentence for people; errors holds all mistakes of a body at once. */
#ifndef DERD_API_PROBLEM_H
#define DERD_API_PROBLEM_H

#include "api/json.h"
#include "base/report.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"
#define PROBLEM_DETAIL_SIZE  400

struct problem {
    int status;
    char detail[PROBLEM_DETAIL_SIZE];
    const char *instance;        /* path of the request, NULL: not known */
    const char *request_id;      /* NULL: none */
    const struct report *report; /* places are JSON pointers; NULL: none */
};

/* "Not Found"; "Error" for a status that is not listed. Also the reason phrase of the head. */
const char *problem_title(int status);
/* The whole document. Values of the caller's own may follow between open and close. */
void problem_write(const struct problem *problem, struct buf *out);
/* The members alone, into an object that is open. */
void problem_put(const struct problem *problem, struct json *json);

#endif
