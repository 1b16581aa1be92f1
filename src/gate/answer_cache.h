#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/*
 * Answers that were given, for identical requests when no backend can answer
 * (gate/exchange_last_resort.c). One for all workers: an answer that one gave can be given by
 * another. Bounded in bytes of everything it holds; what was not used for longest goes first.
 * A request is known by a salted hash only, so its text is not kept.
 *
 * One lock, held for a look-up or a change of links, never while text is copied or freed. Time
 * is an argument. Any thread may call anything here.
 */

struct answer_cache;

/* `max_bytes` >= 1 MiB. */
struct answer_cache *answer_cache_new(size_t max_bytes);

/* Nobody holds an answer any more. */
void answer_cache_free(struct answer_cache **c);

struct answer_key {
    uint64_t half[2];
};

/* `client` names who asks, so that nobody gets another's answer; `essence` is the request
 * (llm/essence.h). */
struct answer_key answer_cache_key(const struct answer_cache *c, struct str client,
                                   struct str essence);

/* The greatest answer that is kept: a sixteenth of the whole. */
size_t answer_cache_most(const struct answer_cache *c);

/* Keeps a copy of the body until `until_ms`, in place of an older one of that key. One that is
 * too large is not kept. */
void answer_cache_put(struct answer_cache *c, const struct answer_key *key, struct str body,
                      uint64_t now_ms, uint64_t until_ms);

struct kept_answer {
    struct str body;
    uint64_t made_ms;
};

/* NULL: there is none, or none that is young enough. Until answer_cache_release it stays as it
 * is, whatever others do; nobody writes to it. */
struct kept_answer *answer_cache_get(struct answer_cache *c, const struct answer_key *key,
                                     uint64_t now_ms);
void answer_cache_release(struct answer_cache *c, struct kept_answer **a);

/* What it holds now, its own tables included. */
size_t answer_cache_bytes(struct answer_cache *c);
size_t answer_cache_count(struct answer_cache *c);
