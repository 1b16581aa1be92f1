#pragma once

#include <stdbool.h>

#include "sim_record.h"

/*
 * What the gateway asks of a backend, read by another parser than its own (jansson), and
 * compared with what the client asked: the same question in the backend's words, and behind it
 * what the client has been told so far, to the byte.
 */

/* Fills the ask (type, backend and model are set). False when something is wrong with it, which
 * has been recorded. *x is the exchange that it belongs to; NULL: a question of the gateway's
 * own, which `inquiry` answers. */
bool request_read(struct record *rec, const struct backend *b, const struct plan *inquiry,
                  struct str body, struct ask *k, struct sim_exchange **x);
