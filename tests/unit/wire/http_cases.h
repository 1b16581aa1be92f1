#pragma once

#include <stdlib.h>

#include "base/str.h"
#include "wire/http_head.h"

/*
 * For the tests of HTTP heads: judges a head from a copy that ends exactly where the head ends,
 * so that a sanitizer sees every byte read too far.
 */

struct http_case {
    const char *what;
    struct str head;
    int status; /* 0: accepted */
};

/* 0, the fault's status, or -1 when http_head_find does not take the whole text for one head.
 */
static inline int judge_request(struct str text)
{
    struct http_request request;
    struct http_fault fault = {.status = 0};
    size_t scanned = 0;
    char *copy = malloc(text.len > 0 ? text.len : 1);
    memcpy(copy, text.ptr, text.len);
    struct str head = str_of(copy, text.len);
    int status = -1;
    if (http_head_find(head, &scanned) == text.len) {
        enum err e = http_request_parse(head, &request, &fault);
        status = e == ERR_OK ? 0 : fault.status;
    }
    free(copy);
    return status;
}

/* ERR_OK or the parser's refusal. */
static inline enum err judge_response(struct str text, bool to_head)
{
    struct http_response response;
    const char *why = NULL;
    char *copy = malloc(text.len > 0 ? text.len : 1);
    memcpy(copy, text.ptr, text.len);
    enum err e = http_response_parse(str_of(copy, text.len), to_head, &response, &why);
    free(copy);
    return e;
}

#define assert_cases(cases)                                                                  \
    do {                                                                                     \
        for (size_t i = 0; i < sizeof(cases) / sizeof((cases)[0]); i++) {                    \
            int status = judge_request((cases)[i].head);                                     \
            if (status != (cases)[i].status) {                                               \
                fail_msg("%s: got %d, want %d", (cases)[i].what, status, (cases)[i].status); \
            }                                                                                \
        }                                                                                    \
    } while (0)

#define assert_text(got, want) assert_true(str_eq((got), STR(want)))
