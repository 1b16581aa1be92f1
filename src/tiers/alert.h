#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tiers/event.h"

/*
 * What people are told of an incident, neutral of how it gets to them: one plain struct, which
 * the rules (tiers/alert_rules) fill in, the outbox keeps and the channels render. Texts are
 * copies that end with a NUL and hold no control characters (event_put), but may hold anything
 * else: each channel quotes by its own rules. Pure.
 */

enum alert_moment {
    ALERT_OPENED,   /* an incident has lasted for `for` */
    ALERT_WORSENED, /* a tier further down, nobody left, or severer */
    ALERT_OVER,     /* all has been well for `settle` */
    ALERT_DIGEST,   /* several of these in one, because there were too many to tell singly */
    ALERT_TEST      /* somebody wants to know whether the channel works */
};

const char *alert_moment_name(enum alert_moment m); /* "opened", "worsened", "over", "digest",
                                                       "test" */

/* What users felt of it since it opened. */
struct alert_felt {
    uint64_t requests; /* all that ended meanwhile, of the models concerned */
    uint64_t moved;    /* to another backend, before their first content */
    uint64_t resumed;  /* after it */
    uint64_t degraded; /* answered by a weaker backend, and told so */
    uint64_t failed;   /* cut, or without an answer */
};

enum { ALERT_LINES = 12, ALERT_LINE = 240 };

struct alert {
    uint64_t
        number; /* given by the outbox, unique in it over restarts, grows; 0: not given yet */
    uint64_t incident; /* 0 for a digest and a test */
    enum alert_moment moment;
    enum severity severity; /* of the worst of it; of ALERT_OVER: that of the incident */
    uint64_t wall_ms;       /* when this was decided */
    uint64_t opened_wall_ms;
    uint64_t closed_wall_ms;  /* 0 before ALERT_OVER */
    char gateway[EVENT_NAME]; /* this gateway's name: the host's */
    char subject[EVENT_NAME]; /* the backend or model that the incident belongs to */
    bool subject_is_model;    /* else a backend */
    char from[EVENT_NAME];    /* the backend that served before; "": not known */
    char to[EVENT_NAME];      /* that serves now; "": nobody */
    uint32_t from_tier;       /* from 1; 0: not known */
    uint32_t to_tier;         /* 0: nobody */
    char error[EVENT_CAUSE];  /* what is wrong, in words */
    char action[EVENT_CAUSE]; /* what the gateway does about it, in words */
    struct alert_felt felt;   /* of a digest: of all in it together */
    uint32_t line_count;      /* of a digest: the newest of it, one a line; else what has
                                 happened, the oldest first */
    uint32_t lines_left_out;  /* more of them */
    char lines[ALERT_LINES][ALERT_LINE];
};
