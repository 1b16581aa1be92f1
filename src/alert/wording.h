#pragma once

#include "base/mem.h"
#include "base/str.h"
#include "tiers/alert.h"

/*
 * An alert in words: the title, one sentence and the facts as rows, neutral of where they are
 * shown. Mail and chat render the same words, so that people find the same thing everywhere.
 * All texts are clean (alert/clean), end with a NUL that does not count and live as long as the
 * arena. Pure.
 */

enum { FACTS_MAX = 8 };

struct fact {
    const char *name; /* "From", "What users felt" */
    struct str value;
};

struct wording {
    struct str title;    /* "[ALERT] LLM Failover: gpu1 -> gpu2" */
    struct str headline; /* a sentence */
    struct fact facts[FACTS_MAX];
    size_t fact_count;
    const char *lines_title; /* above the lines */
    struct str lines[ALERT_LINES];
    size_t line_count;
    uint32_t lines_left_out; /* more of them */
};

void wording_make(const struct alert *alert, struct arena *a, struct wording *out);

/* "4 min 12 s", "2 h 5 min", "3 d 4 h", "0.8 s": the two largest units. */
struct str wording_duration(uint64_t ms, struct arena *a);

/* "2026-11-21 05:24:02 UTC" of a wall time. */
struct str wording_time(uint64_t wall_ms, struct arena *a);

/* "812 requests: 40 moved to another backend, …". */
struct str wording_felt(const struct alert_felt *felt, struct arena *a);

/* How long the incident has lasted, or lasted. */
uint64_t wording_lasted_ms(const struct alert *alert);
