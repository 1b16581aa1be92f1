#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "gate/exchange.h"
#include "gate/settings.h"
#include "llm/client_reply.h"
#include "wire/http_head.h"

/*
 * Who a client is and what his request's head asks for, beside the model: his key, how
 * important it is, which backend he would like to meet again.
 */

/* The key that he sent as `Authorization: Bearer …` or `x-api-key` (what Anthropic clients
 * send), or NULL. Every key is compared, so that the time does not tell which one was near. */
const struct client_key *admission_key(const struct settings *s, const struct http_request *q);

/* The configured name of the key that he sent; empty without `keys`. */
struct str admission_name(const struct settings *s, const struct http_request *q);

/* Sets priority and affinity of a request that is understood. False: *e is why it is refused.
 */
bool admission_read(struct exchange *x, struct client_error *e);
