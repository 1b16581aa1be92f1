#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Signs of life of one backend, combined: what our own streams get from it, what its engine
 * counts, what came of a request for one token. A health request says nothing about all that:
 * the engines' servers answer it while no token comes out. Pure; time is an argument.
 *
 *                  no token for half the patience
 *   idle ⇄ flowing ⇄ busy ───────────────────────▶ suspect ── patience over, and a probe that
 *      ▲      ▲       ▲                               │        was begun in the silence failed
 *      └──────┴───────┴────── a token, anywhere ──────┴──────────────────▶ hung
 *
 * Silence is that of tokens and of work at prompts. It counts only while something is owed:
 * attempts of ours in flight, requests that run or wait in the engine, or a request that waited
 * in vain before (`is_doubted`). A late probe proves nothing while tokens move: it stands
 * behind the others.
 */

enum vital {
    VITAL_UNKNOWN, /* nobody looks */
    VITAL_IDLE,    /* nothing is owed */
    VITAL_FLOWING, /* work, and tokens */
    VITAL_BUSY,    /* saturated: requests wait or its memory is full; tokens move */
    VITAL_SUSPECT, /* work, and no token for half the patience */
    VITAL_HUNG     /* work, no token for all of it, and none for a probe; until a token comes */
};

/* "idle", …; NULL for VITAL_UNKNOWN. */
const char *vital_name(enum vital v);

struct vitals_policy {
    uint32_t hang_after_ms; /* the patience where the engine's counters can be trusted; 0: never
                               suspect, never hung */
    uint32_t prefill_ms;    /* at least so long where a long prompt may be what it is at: no
                               counters, or they say so */
    uint32_t stale_ms;      /* counters that are older are not known */
};

/* What the gateway itself has of it. */
struct stream_signs {
    uint32_t in_flight;  /* attempts now, without those whose client does not read */
    uint64_t content_ms; /* when content last came to one of them; 0: never */
    bool is_doubted;     /* a request waited in vain: a token is owed until one is seen */
    bool is_loading;     /* says that it loads its model: owes nothing yet */
};

/* What the engine says of itself. The counters only grow, except that a new process begins anew
 * and that some engines count what is in their slots: only growth is a sign of life. */
struct engine_counters {
    uint64_t generated; /* tokens */
    uint64_t prompt;    /* tokens */
    uint64_t steps;     /* forward passes; 0 where it does not tell */
    uint32_t running;
    uint32_t waiting;
    uint32_t slots;       /* the most that can run; 0: not told */
    uint32_t kv_permille; /* of its memory for prompts and answers; a change is a sign, too */
    bool has_kv;
    bool may_prefill; /* what runs may be at its prompt, where its counters stand still */
};

/* What others see of it: a word, and the engine's load. */
struct vital_view {
    enum vital vital;
    bool has_engine; /* the next three are known */
    bool has_kv;
    uint16_t kv_permille;
    uint32_t running;
    uint32_t waiting; /* it and `running`: at most VITAL_COUNT_MAX */
};
enum { VITAL_COUNT_MAX = 0xffffff };

/* In one word and back. */
uint64_t vital_pack(const struct vital_view *view);
struct vital_view vital_unpack(uint64_t word);

/* How a generation probe ended. */
enum probe_end {
    PROBE_TOKEN,     /* a token came */
    PROBE_SILENT,    /* none in time: it failed */
    PROBE_UNTOLD,    /* nothing that tells: an error, nobody there, loading */
    PROBE_UNASKABLE, /* the question was refused (4xx): no use in asking for a while */
};

struct vitals {
    enum vital word;
    uint64_t token_ms; /* when a token was last seen, anywhere; 0: never */
    struct engine_counters engine;
    bool has_engine; /* `engine` is known and not stale */
    /* private: */
    struct stream_signs streams;
    uint64_t sign_ms;   /* the last sign of life: a token, or work at a prompt */
    uint64_t owed_ms;   /* since when something is owed; UINT64_MAX: nothing is */
    uint64_t engine_ms; /* when it was seen last */
    uint64_t moved_ms;  /* when its counters last grew, or were first seen to count; 0: never */
    uint64_t hung_ms;   /* when the word became VITAL_HUNG */
    bool is_probing;
    uint64_t probe_ms;        /* when the last one began */
    uint64_t failed_probe_ms; /* when the last one that failed began; 0: none */
    uint32_t failed_probes;   /* in a row */
    uint64_t ask_again_ms;    /* no probe before this */
    uint64_t unaskable_until_ms;
};

void vitals_init(struct vitals *v);

/* Takes in what is known; then judge. */
void vitals_see_streams(struct vitals *v, const struct stream_signs *s, uint64_t now_ms);
void vitals_see_engine(struct vitals *v, const struct engine_counters *c, uint64_t now_ms);

/* Sets and returns the word. */
enum vital vitals_judge(struct vitals *v, const struct vitals_policy *p, uint64_t now_ms);

/* As last judged: whether a probe is to be sent now. Never two at once. */
bool vitals_wants_probe(const struct vitals *v, const struct vitals_policy *p, uint64_t now_ms);

/* How long it is waited for: so that it is over when the patience is. */
uint32_t vitals_probe_ms(const struct vitals *v, const struct vitals_policy *p,
                         uint64_t now_ms);

/* One at a time: every begin is followed by one end. */
void vitals_begin_probe(struct vitals *v, uint64_t now_ms);
void vitals_end_probe(struct vitals *v, const struct vitals_policy *p, enum probe_end end,
                      uint64_t now_ms);

/* It cannot be asked for a token: nobody may make its return depend on one. */
bool vitals_is_unaskable(const struct vitals *v, uint64_t now_ms);

/* What is to be published of it. */
struct vital_view vitals_view(const struct vitals *v);

/* True while it is saturated: requests wait, no slot is free, or memory is nearly full. */
bool engine_is_full(const struct engine_counters *c);
