#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/*
 * The operator's word on a backend, which counts more than all that is measured: no request
 * goes there while it stands. Pure.
 */

enum operator_word {
    OPERATOR_NONE,     /* enabled */
    OPERATOR_DRAINING, /* what runs there may end there */
    OPERATOR_DISABLED  /* what runs there leaves at once */
};
enum { OPERATOR_WORDS = 3 };

/* The word, and since when it stands: by the board's clock; 0 for OPERATOR_NONE. */
struct operator_view {
    enum operator_word word;
    uint64_t since_ms;
};

/* In one word, so that one load tells both: 56 bits of milliseconds are two million years. */
static inline uint64_t operator_pack(struct operator_view v)
{
    return (uint64_t)v.word | v.since_ms << 8;
}

static inline struct operator_view operator_unpack(uint64_t word)
{
    return (struct operator_view){.word = (enum operator_word)(word & 0xff),
                                  .since_ms = word >> 8};
}

/* "draining", "disabled", as in JSON; NULL for OPERATOR_NONE. */
const char *operator_word_name(enum operator_word w);

/* "DRAINING", "DISABLED", as a state is told; NULL likewise. */
const char *operator_word_state(enum operator_word w);

/* "enabled", "drained", "disabled": what was done to the backend. */
const char *operator_word_deed(enum operator_word w);

/* The word that a command gives: "enable", "drain", "disable". False: it is none. */
bool operator_word_find(struct str command, enum operator_word *out);
