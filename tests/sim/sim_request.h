#pragma once

#include <stdbool.h>

#include "sim_record.h"

/*
 * What the gateway asks of a backend, read by another parser than its own (jansson), and
 * compared with what the client asked: the same question in the backend's words, and behind it
 * what the client has been told so far, to the byte.
 */

/* The exchange that it belongs to, with its ask (type and backend are set) filled; NULL: none,
 * which has been recorded as wrong. */
struct sim_exchange *request_read(struct record *rec, const struct backend *b, struct str body,
                                  struct ask *k);
