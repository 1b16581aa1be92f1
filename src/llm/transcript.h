#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "llm/dialect.h"

/*
 * What the client has been given so far, so that its answer can go on elsewhere: the text in
 * canonical escaped form (canonical.h), the names that must not change, and how much was spent.
 * One for each exchange; it grows over all attempts. Pure.
 */

struct transcript {
    struct str id; /* of the first chunk, as JSON values; empty: it had none */
    struct str created;
    struct str model;
    struct str fingerprint;
    bool is_begun; /* some chunk was given */
    bool is_lost;  /* it grew over its maximum: cannot be resumed */
    bool role_sent;
    bool has_logprobs; /* with the first text */
    bool has_reasoning;
    bool has_other; /* kinds that are not kept: a refusal, audio, another choice, pieces of tool
                       calls that were not held back */
    uint64_t pieces; /* chunks with something in them */
    /* private: */
    uint64_t untold; /* pieces since the last usage that came */
    size_t left;     /* bytes that the three together may still take */
    struct buf text;
    struct buf reasoning;
    struct buf calls;
    size_t max;    /* of the three together, and of the names */
    char *names;   /* owned: memory of the first four */
    uint64_t told; /* completion tokens by the last usage */
    /* public again: */
    const char *reasoning_name; /* of its member in the deltas; NULL: none was given */
    uint64_t prompt_tokens;     /* 0: not told yet */
};

void transcript_init(struct transcript *t, size_t max);
void transcript_fini(struct transcript *t); /* usable again as after init with the same max */

/* Call for every event in its order once it is certain that the client gets it (before commit:
 * when it is kept for it). What seam_event changed is added as it was changed. Over the maximum
 * the transcript is lost, which is no error for the stream. */
void transcript_add(struct transcript *t, const struct reply_event *ev);

/* The text between the quotes of a JSON string; until the next transcript_add. */
struct str transcript_text(const struct transcript *t);
struct str transcript_reasoning(const struct transcript *t);
struct str transcript_calls(const struct transcript *t); /* records, as reply_event.calls */

size_t transcript_text_len(const struct transcript *t); /* bytes, escaped */

/* Completion tokens behind it: as the backends told, by chunks where they have not. */
uint64_t transcript_spent(const struct transcript *t);

/* True while some of them are only counted by chunks. */
bool transcript_is_estimate(const struct transcript *t);

/* A tokenizer has found so many in it. Believed where chunks say less, as a busy backend merges
 * tokens; where they say more, what was made is not what a tokenizer would make of the text. */
void transcript_count(struct transcript *t, uint64_t tokens);

/* A chunk of choices: [] that tells the usage of the whole answer. */
struct str transcript_usage(const struct transcript *t, uint64_t prompt_tokens,
                            uint64_t completion_tokens, struct arena *a);

/* A chunk that ends choice 0: `reason` is plain ASCII ("stop", "length"). */
struct str transcript_finish(const struct transcript *t, const char *reason, struct arena *a);
