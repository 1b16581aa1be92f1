#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/*
 * What happens to the backends and models and is worth telling later: one table of kinds, one
 * plain struct for all of them. Names are copied in, so that an event outlives the
 * configuration it came from. Pure.
 *
 * Of the words of a kind, $b is the backend, $o the other backend, $m the model, $s backend or
 * model (whichever there is), $w the word, $p the word before it, $c the cause and $1 … $3 the
 * numbers.
 */

enum severity { SEVERITY_INFO, SEVERITY_WARN, SEVERITY_ERROR };
enum { SEVERITIES = 3 };

const char *severity_name(enum severity s); /* "info", "warning", "error" */

/* EVENT_CHANGE has room of its own on its way and is never thrown away for EVENT_COUNT. Equal
 * ones of EVENT_COUNT are told once a second with their number: a storm makes many of them. */
enum event_flow { EVENT_CHANGE, EVENT_COUNT };

/* X(kind, flow, severity unless it says otherwise, names of its numbers, words) */
#define EVENT_LIST(X)                                                                      \
    X(state, CHANGE, INFO, "", "", "", "$b went from $p to $w: $c")                        \
    X(breaker, CHANGE, INFO, "relapses", "wait_ms", "", "the breaker of $b for $m $w: $c") \
    X(failover, COUNT, INFO, "status", "after_ms", "", "$b failed for $m: $c; $w")         \
    X(resume, COUNT, INFO, "gap_ms", "", "",                                               \
      "an answer of $m broke at $b and was resumed by $o after $1 ms")                     \
    X(cut, COUNT, WARN, "status", "", "", "an answer of $m was cut: $w ($c)")              \
    X(unserved, COUNT, ERROR, "status", "took_ms", "", "a request for $m failed: $w ($c)") \
    X(last_resort, COUNT, WARN, "age_s", "took_ms", "",                                    \
      "a request for $m was answered as a last resort by $w ($c)")                         \
    X(queue, COUNT, WARN, "status", "took_ms", "", "a request for $m was turned away: $w") \
    X(budget, COUNT, WARN, "refused", "status", "",                                        \
      "the retry budget of $m is exhausted: $w ($c)")                                      \
    X(restart, CHANGE, WARN, "restarts", "", "", "the process of $b $w: $c")               \
    X(gpu, CHANGE, WARN, "", "", "", "the GPUs of $b are $w: $c")                          \
    X(operator, CHANGE, INFO, "in_flight", "", "", "$b was $w by the operator: $c")        \
    X(key, COUNT, WARN, "status", "", "", "a client was refused: $c")                      \
    X(reload, CHANGE, INFO, "changes", "", "", "the configuration was $w: $c")             \
    X(alert_sent, CHANGE, INFO, "tries", "", "", "an alert was sent by $w: $c")            \
    X(alert_failed, CHANGE, WARN, "tries", "", "", "an alert could not be sent by $w: $c") \
    X(gateway, CHANGE, INFO, "workers", "", "", "the gateway $w: $c")                      \
    X(closed, CHANGE, INFO, "lasted_ms", "events", "",                                     \
      "the incident of $s is over: well since $w ($c)")                                    \
    X(lost, CHANGE, WARN, "events", "", "", "$1 events were lost: $c")

enum event_kind {
#define EVENT_ENUM(name, flow, severity, n1, n2, n3, words) EVENT_KIND_##name,
    EVENT_LIST(EVENT_ENUM)
#undef EVENT_ENUM
        EVENT_KINDS
};

enum { EVENT_NAME = 72, EVENT_WORD = 48, EVENT_CAUSE = 168, EVENT_NUMBERS = 3 };
enum { EVENT_TEXT = 512 }; /* room for event_text */

struct event {
    uint64_t id;       /* from 1, without gaps; 0: not given yet */
    uint64_t incident; /* that it belongs to; 0: none */
    uint64_t wall_ms;
    uint64_t mono_ms; /* of this process; not kept */
    enum event_kind kind;
    enum severity severity;
    uint32_t times; /* equal ones that this stands for, from 1 */
    int64_t numbers[EVENT_NUMBERS];
    char backend[EVENT_NAME]; /* each ends with a NUL; "": none */
    char other[EVENT_NAME];
    char model[EVENT_NAME]; /* a breaker's: as the backend knows it */
    char word[EVENT_WORD];
    char was[EVENT_WORD];
    char cause[EVENT_CAUSE];
};

struct event_row {
    const char *name;
    enum event_flow flow;
    enum severity severity;
    const char *numbers[EVENT_NUMBERS]; /* "": it has no such number */
    const char *words;
};

const struct event_row *event_row(enum event_kind kind);

/* EVENT_KINDS: none has that name. */
enum event_kind event_kind_find(struct str name);

/* Empty but for its kind, severity, times and when. */
struct event event_of(enum event_kind kind, uint64_t wall_ms, uint64_t mono_ms);

/* Copies text into a field of an event, cut where it is long, never within a character.
 * Control characters become '?'. */
void event_put(char *field, size_t size, struct str text);
#define EVENT_PUT(field, text) event_put((field), sizeof(field), (text))

/* The sentence without a full stop. */
void event_text(const struct event *e, char out[EVENT_TEXT]);
