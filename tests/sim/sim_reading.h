#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"
#include "sim_record.h"

/*
 * An answer as the client's SDK would understand it: the texts, how they ended, and whatever is
 * not as the API promises (`flaw`).
 */

struct read_choice {
    struct str text;
    const char *flaw_of_logprobs; /* NULL: they tell of the text */
    bool has_all_logprobs;        /* every piece of text came with them */
    uint32_t roles;
    uint32_t finishes;
    struct str finish;
};

struct read_call {
    struct str id;
    struct str name;
    struct str arguments;
};

struct reading {
    const char *flaw; /* NULL: it is as it should be */
    bool is_stream;
    uint32_t done; /* [DONE] */
    bool has_error;
    struct str error_code;
    struct read_choice choice[PLAN_CHOICES_MAX];
    uint32_t choices; /* seen */
    struct str reasoning;
    struct read_call call[PLAN_CALLS_MAX];
    uint32_t calls;
    bool has_usage;
    uint64_t prompt_tokens;
    uint64_t completion_tokens;
    uint64_t total_tokens;
    struct str backend; /* _backend */
    bool is_resumed;    /* _resumed */
};

/* Of an answer with a head. Lives as long as the arena. */
void reading_make(struct reading *rd, const struct sim_exchange *x, struct arena *a);
