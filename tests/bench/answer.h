#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/*
 * One HTTP answer as the load generator reads it: framing is followed to the end, events are
 * counted, and what must be in a whole completion is looked for. It shares no code with the
 * gateway's own codecs, so a fault of theirs cannot hide behind itself.
 */

enum { ANSWER_LINE_MAX = 4096, ANSWER_TAIL = 32 };

enum answer_state {
    ANSWER_HEAD,
    ANSWER_LENGTH,    /* a body of known length */
    ANSWER_SIZE,      /* the line before a chunk */
    ANSWER_CHUNK,     /* in a chunk */
    ANSWER_CHUNK_END, /* the line end behind a chunk */
    ANSWER_TRAILER,
    ANSWER_WHOLE
};

struct answer {
    uint64_t events; /* "data: " seen: the role chunk, tokens, the finish and [DONE] */
    int status;
    bool has_finish; /* a finish_reason that is not null */
    bool has_done;   /* data: [DONE] */
    bool is_closing; /* the server said `connection: close` */
    /* private: */
    enum answer_state state;
    uint64_t left; /* bytes of the body or chunk still to come */
    size_t line_len;
    size_t tail_len;
    char last;
    char line[ANSWER_LINE_MAX]; /* the head, or the current line of the framing */
    char tail[ANSWER_TAIL];     /* the end of what was looked at, for finds across two reads */
};

void answer_init(struct answer *a);

/* Takes what was read. ERR_OK: whole; ERR_AGAIN: more must come; ERR_SYNTAX, ERR_TOO_LARGE:
 * broken. */
NODISCARD enum err answer_feed(struct answer *a, struct str bytes);

/* Why a whole answer is not a good one, or NULL. `events` > 0: exactly so many are wanted. */
const char *answer_fault(const struct answer *a, bool is_stream, uint64_t events);
