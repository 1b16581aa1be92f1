#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "tiers/catalog.h"

/*
 * What others tell of a backend: the agent of its GPUs (or dcgm-exporter), and the guard of its
 * process. Whoever tells has the hysteresis; here is what their words mean for traffic, and the
 * book where the last word of each backend stands. Silence and nonsense are GPUS_UNKNOWN, which
 * changes nothing.
 *
 *   its words ──▶ counsel ──▶ the board ──▶ picker: bears less, or is a reserve only
 *                                      └──▶ workers: answers there go on elsewhere (CUT)
 *
 * A counsel alone never makes a backend unusable where nobody else is: see tiers/picker.h.
 */

enum counsel {
    COUNSEL_NONE,  /* nothing is known, or all is well */
    COUNSEL_SPARE, /* it bears a SPARED_PART of its weight */
    COUNSEL_CHECK, /* the same, and its engine is asked for a token */
    COUNSEL_DRAIN, /* nothing new, while anybody else is usable */
    COUNSEL_CUT    /* the same, and what runs there goes on elsewhere at once */
};
enum { SPARED_PART = 4 };

/* "none", "spare", …; static. */
const char *counsel_name(enum counsel c);

/* What the board publishes of all that. */
struct advice {
    enum counsel counsel;
    bool is_starting; /* its guard starts it: a probe that fails finds it loading */
};

static inline bool advice_spares(struct advice a)
{
    return a.counsel == COUNSEL_SPARE || a.counsel == COUNSEL_CHECK;
}

static inline bool advice_drains(struct advice a)
{
    return a.counsel >= COUNSEL_DRAIN;
}

static inline uint64_t advice_pack(struct advice a)
{
    return (uint64_t)a.counsel | (uint64_t)a.is_starting << 8;
}

static inline struct advice advice_unpack(uint64_t word)
{
    return (struct advice){.counsel = (enum counsel)(word & 0xff),
                           .is_starting = (word >> 8 & 1) != 0};
}

/* --- GPUs --- */

enum gpu_health { GPUS_UNKNOWN, GPUS_HEALTHY, GPUS_DEGRADED, GPUS_DOWN };
enum { GPU_HEALTHS = 4 };
const char *gpu_health_name(enum gpu_health h); /* "unknown", "HEALTHY", … */

/* What is told of one GPU; slices. An `advice` that is not known, or none, is made from the
 * state; one that the state does not allow is brought into its bounds. */
struct gpu_line {
    struct str state; /* "HEALTHY", "DEGRADED", "DOWN" */
    struct str advice;
    struct str reason; /* a word */
    struct str why;    /* a sentence */
};

enum { NEWS_REASON_SIZE = 32, NEWS_WHY_SIZE = 128 };

/* Of all GPUs of a backend: the worst. Texts are printable ASCII. */
struct gpu_news {
    enum gpu_health health;
    enum counsel counsel;
    char reason[NEWS_REASON_SIZE];
    char why[NEWS_WHY_SIZE];
};

/* A zeroed one is unknown. False, and nothing is taken: its state is no word that we know. */
bool gpu_news_take(struct gpu_news *n, const struct gpu_line *line);

/* --- the guard --- */

enum guard_word {
    GUARD_SAYS_UNKNOWN,
    GUARD_SAYS_READY,
    GUARD_SAYS_STARTING,
    GUARD_SAYS_LOADING,
    GUARD_SAYS_STOPPING,
    GUARD_SAYS_RESTARTING,
    GUARD_SAYS_NEEDS_RESET,
    GUARD_SAYS_GAVE_UP,
    GUARD_SAYS_UNKILLABLE
};
enum { GUARD_WORDS = 9 };
const char *guard_word_name(enum guard_word w); /* "unknown", "READY", … */

/* GUARD_SAYS_UNKNOWN for a word that we do not know. */
enum guard_word guard_word_find(struct str name);

struct guard_news {
    enum guard_word word;
    bool has_restarts;
    uint64_t restarts; /* as it counts them */
    char why[NEWS_WHY_SIZE];
};

/* Copies what is printable. */
void guard_news_set(struct guard_news *n, enum guard_word word, struct str why);

/* --- what follows --- */

struct advice telemetry_advice(const struct gpu_news *gpu, const struct guard_news *guard);

/* --- the book: any thread, one short lock a backend --- */

struct telemetry;

/* The catalog must outlive it. */
struct telemetry *telemetry_new(const struct catalog *c);
void telemetry_free(struct telemetry **t);

struct telemetry_view {
    struct gpu_news gpu;
    uint64_t gpu_since_ms; /* when health, counsel or reason last changed; 0: never */
    struct guard_news guard;
    uint64_t guard_since_ms;
};
void telemetry_read(const struct telemetry *t, uint32_t backend, struct telemetry_view *out);

/* True when that changed more than the sentence. */
bool telemetry_set_gpu(struct telemetry *t, uint32_t backend, const struct gpu_news *n,
                       uint64_t now_ms);
bool telemetry_set_guard(struct telemetry *t, uint32_t backend, const struct guard_news *n,
                         uint64_t now_ms);
