#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "llm/chat_request.h"
#include "llm/dialect.h"
#include "llm/stops.h"
#include "llm/transcript.h"

/*
 * Where the answer of one backend goes on with that of the next: rewrites the events of the
 * later attempt so that the client sees one stream. Names (id, created, model,
 * system_fingerprint) stay the first ones, the role comes once, usage is that of the whole
 * answer, and what the client has already is left out. Each attempt after a break has its own;
 * only that attempt's events pass through it. Pure.
 *
 *      seam_init(&seam, &transcript, SEAM_CONTINUE, &request, &attempt_arena);
 *      reply_read_event(&reply, payload, &ev);
 *      seam_event(&seam, &reply.scratch, &ev);       → ERR_RANGE: not this way
 *      … send ev.chunk, ev.usage_chunk as ever …
 *      transcript_add(&transcript, &ev);
 */

enum seam_mode {
    SEAM_CONTINUE, /* only new text follows */
    SEAM_TAIL,     /* the same behind the white space that the partial ends in, which was not
                      sent along */
    SEAM_ECHO,     /* the partial is repeated first, then new text follows */
    SEAM_RESTART   /* the whole answer comes again */
};

struct seam_known {
    size_t at;  /* compared so far */
    size_t len; /* to be compared */
};

struct seam {
    const struct transcript *transcript; /* borrowed: outlives the seam, grows meanwhile */
    enum seam_mode mode;
    uint64_t spent;  /* completion tokens of the parts before */
    bool is_stopped; /* a stop string came across the seam: the answer is over */
    /* private: */
    bool role_sent;
    bool has_text; /* the client had some before */
    struct seam_known text;
    struct seam_known reasoning;
    struct seam_known calls;
    struct stops stops;
};

/* The transcript must not be lost. `q` is looked at for its stop strings; they and the arena
 * outlive the seam. */
void seam_init(struct seam *s, const struct transcript *t, enum seam_mode mode,
               const struct chat_request *q, struct arena *a);

/*
 * Rewrites the event in place; what is new in it lives as long as the arena (one event is
 * enough). Afterwards `chunk` and `usage_chunk` are what is to be sent, empty for nothing;
 * `content` and `reasoning` are what is new to the client; has_content stays, as it tells the
 * backend's progress. When a stop string is completed across the seam, the event becomes the
 * end: is_done with a finish reason, and the attempt has nothing more to say.
 *
 * ERR_RANGE: what came is not what the client has, or cannot be joined to it (reasoning where
 * text had begun, an end before all was repeated). Then nothing of the event may be sent and
 * the seam is of no more use.
 */
NODISCARD enum err seam_event(struct seam *s, struct arena *a, struct reply_event *ev);

/* Everything the client has was seen again, so that what comes now is new. */
bool seam_is_caught_up(const struct seam *s);
