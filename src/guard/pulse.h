#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Does a READY backend still make tokens? Its health page says 200 while its engine hangs, so
 * that is judged by its own counters, and confirmed by a request for one token:
 *
 *     doubt     work in flight and no figure moves; or counters that were there are answered no
 *               more; or health does not answer 200
 *     hung      in doubt for hang_ms, and then a request for one token fails, too
 *
 * An answer that costs no work (429, a refusal) clears nobody and condemns nobody. A backend
 * without counters is asked for a token every hang_ms, and hung when that fails twice in a row.
 * So is one whose figures have not moved for PULSE_IDLE_FACTOR times hang_ms: those of vLLM are
 * what its engine told last, and an engine that came to a halt when it had nothing to do is
 * idle for ever. Pure.
 */

struct pulse_counters {
    uint64_t progress;  /* changes whenever any work is done */
    uint32_t in_flight; /* requests running or waiting */
    bool may_prefill;   /* a long prompt may be read before any figure moves … */
    bool is_computing;  /* … while its processes use the processor */
};

enum pulse_token {
    PULSE_TOKEN_CAME,
    PULSE_TOKEN_UNKNOWN, /* 429, 4xx, still loading: nothing was computed */
    PULSE_TOKEN_NONE     /* an error, silence, nobody there */
};

enum {
    PULSE_PREFILL_FACTOR = 3, /* so much longer is waited where may_prefill */
    PULSE_IDLE_FACTOR = 5     /* … and before somebody idle is asked */
};

struct pulse {
    uint32_t hang_ms; /* 0: hangs are not looked for */
    bool is_hung;
    bool is_probing;       /* a token has been asked for */
    bool is_accused;       /* by somebody else: the next token decides */
    bool has_counters;     /* they have been read at least once */
    uint64_t doubt_ms;     /* since when figures stand still; 0: they do not */
    uint64_t unwell_ms;    /* since when health is not 200; 0: it is */
    uint64_t still_ms;     /* since when no figure has moved, with or without work */
    uint64_t probe_due_ms; /* of a token without doubt */
    uint32_t failed;       /* probes in a row */
    /* private: */
    uint64_t progress;
    bool may_prefill;
    bool is_patient;
    bool is_silent; /* the doubt is about counters that are not answered */
};

/* When it has become READY. */
void pulse_start(struct pulse *p, uint32_t hang_ms, uint64_t now_ms);

void pulse_on_counters(struct pulse *p, const struct pulse_counters *c, uint64_t now_ms);
/* Its counters were asked for, and nothing of use has come. */
void pulse_on_silence(struct pulse *p, bool is_computing, uint64_t now_ms);
void pulse_on_health(struct pulse *p, bool is_well, uint64_t now_ms);

/* Somebody else (the GPU agent) says that it cannot work: a token is asked for at once. */
void pulse_accuse(struct pulse *p);

/* True: ask for one token now, then tell pulse_on_token. It counts as asked. */
bool pulse_wants_token(struct pulse *p, uint64_t now_ms);
void pulse_on_token(struct pulse *p, enum pulse_token t, uint64_t now_ms);

/* What it is suspected of, for people; "" when nothing. Static. */
const char *pulse_doubt(const struct pulse *p);
