#pragma once

#include <stdbool.h>

#include "net/http_server.h"
#include "ops/status.h"

/*
 * The operator's word by HTTP: POST /backends/NAME/drain, /disable, /enable (NAME
 * percent-encoded). Whoever is let in on the admin port may say it; but a page of somebody
 * else's, open in the operator's browser, may not: each request needs a header
 * X-Fallthrough-Action (any value; no form can send one, and no script without our leave), and
 * an Origin, where there is one, must be ours. A body is not looked at. The same word twice is
 * no error.
 *
 *     200 {"name","operator","state","in_flight","changed"}
 *     404 {"error":{"message","code"},"backends":[names]}
 *
 * One thread: the control loop's.
 */

/* What becomes of it; false: the word stood already. */
typedef bool order_fn(void *arg, const struct backend *b, enum operator_word word,
                      uint64_t now_ms);

/* Whether the path is one of these, whatever its backend. */
bool orders_own(struct str path);

/* Answers by an error what is not to be carried out; true: nothing is answered yet. For a
 * request of which the head is there, with a path of ours. */
bool orders_admit(const struct status_source *s, struct http_conn *c);

/* Carries out what was admitted, and answers. */
void orders_serve(const struct status_source *s, struct http_conn *c, order_fn *give, void *arg,
                  uint64_t now_ms);
