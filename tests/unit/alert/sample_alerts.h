#pragma once

#include "tiers/alert.h"

/* What the tests of the alert room tell of. */

static inline struct alert sample_alert(enum alert_moment moment)
{
    struct alert a = {.number = 42,
                      .incident = 17,
                      .moment = moment,
                      .severity = SEVERITY_ERROR,
                      .wall_ms = 1795239847123,        /* 2026-11-21T05:44:07.123Z */
                      .opened_wall_ms = 1795239842000, /* 5 s before */
                      .from_tier = 1,
                      .to_tier = 2,
                      .felt = {.requests = 812, .moved = 40, .resumed = 3, .degraded = 12}};
    EVENT_PUT(a.gateway, STR("gw.example.com"));
    EVENT_PUT(a.subject, STR("gpu1"));
    EVENT_PUT(a.from, STR("gpu1"));
    EVENT_PUT(a.to, STR("gpu2"));
    EVENT_PUT(a.error, STR("connection refused"));
    EVENT_PUT(a.action, STR("traffic moved to gpu2 (tier 2)"));
    if (moment == ALERT_OVER) {
        a.closed_wall_ms = a.opened_wall_ms + 252000;
        a.wall_ms = a.closed_wall_ms;
        a.number = 43;
    }
    return a;
}

static inline struct alert sample_digest(void)
{
    struct alert a = sample_alert(ALERT_DIGEST);
    a.incident = 0;
    a.line_count = ALERT_LINES;
    a.lines_left_out = 8;
    a.subject[0] = a.from[0] = a.to[0] = a.error[0] = a.action[0] = '\0';
    for (uint32_t i = 0; i < a.line_count; i++) {
        EVENT_PUT(a.lines[i], STR("05:24:02 [ALERT] LLM Failover: gpu1 -> gpu2"));
    }
    return a;
}
