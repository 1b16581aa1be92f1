#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "sim_text.h"

/*
 * One exchange as it is meant: what the client asks, what the model would say to it, and how
 * the client behaves. Drawn once; every backend knows the same model, so its answer can be
 * begun by one and finished by another.
 */

enum { PLAN_CHOICES_MAX = 3, PLAN_CALLS_MAX = 2, PLAN_MESSAGES_MAX = 3 };

struct plan_call {
    struct str name;
    struct str arguments; /* JSON */
};

/* How a client goes before its answer is whole. */
enum leaving {
    LEAVE_NOT,
    LEAVE_CLOSE, /* closes after so many bytes of the answer */
    LEAVE_RESET,
    LEAVE_HALF,  /* closes its sending side then; that counts as gone, too */
    LEAVE_BEFORE /* closes before its request is whole */
};

struct plan {
    uint64_t number; /* of the exchange; stands in the prompt, so that a backend knows it */
    struct str body;
    struct str request_id;
    struct str messages[PLAN_MESSAGES_MAX];
    uint32_t message_count;
    bool is_prefilled; /* the last message is the assistant's */
    bool stream;
    bool wants_usage;
    bool wants_logprobs;
    bool has_tools;
    bool is_shaped; /* response_format */
    bool is_odd;    /* has a field that Ollama cannot express */
    uint32_t n;
    bool has_limit;
    uint64_t limit; /* max_tokens */

    struct str stop;   /* ends the answer of choice 0 where it comes; empty: none */
    uint32_t stop_at;  /* tokens before it */
    bool is_stop_late; /* its first token is given before a server sees that it is one */

    struct said content[PLAN_CHOICES_MAX];
    struct said reasoning;
    struct plan_call calls[PLAN_CALLS_MAX];
    uint32_t call_count;
    uint64_t prompt_tokens;
    bool is_counted; /* a chunk is a token, so that the gateway can count them; else a tokenizer
                        can, where one answers */
    bool has_halves; /* there may be chunks of half a character, tokens that nobody counts here
                      */
    bool is_huge;    /* a megabyte and more: many reads in a turn, and queues */

    enum leaving leaving;
    uint32_t leave_after; /* bytes of the answer, or of the request */
    bool is_slow;         /* reads little at a time, and late */
    uint32_t capacity;    /* bytes that wait for it unread */
};

/* `model` is the name to ask for. Text lives as long as the arena. */
void plan_make(struct plan *p, uint64_t number, struct str model, struct rand *r,
               struct arena *a);

/* What the model says to questions of the gateway's own (a probe that generates, a
 * calibration). */
void plan_make_inquiry(struct plan *p, struct rand *r, struct arena *a);

/* Tokens of choice 0 there are when a server that begins behind `from` ends by itself. What
 * ends in the half answer it does not see. */
uint32_t plan_end(const struct plan *p, uint32_t from);

/* Asks for something that Ollama has not. */
bool plan_is_too_much(const struct plan *p);

/* The number of the exchange that a prompt belongs to; false when it has none. */
bool plan_number_of(struct str prompt, uint64_t *number);
