#pragma once

#include "agent/gpu_judge.h"
#include "agent/kernel_record.h"

/* What the tests of agent/gpu_judge share; cmocka.h comes before it. A second of the virtual
 * clock passes with every reading. */

struct judging {
    struct gpu_policy policy;
    struct gpu_judge judge;
    struct gpu_reading reading;
    uint64_t now_ms;
};

static inline void set_up(struct judging *t)
{
    gpu_policy_set_defaults(&t->policy);
    t->now_ms = 1000000;
    gpu_judge_init(&t->judge, &t->policy, t->now_ms);
    reading_clear(&t->reading);
    t->reading.v[READING_TEMP] = 60;
    t->reading.v[READING_LIMIT_SLOWDOWN] = 90;
    t->reading.v[READING_LIMIT_SHUTDOWN] = 95;
    t->reading.v[READING_ECC_UNCORRECTED] = 0;
    t->reading.v[READING_ENERGY_MJ] = 1000;
}

static inline void pass(struct judging *t, uint64_t ms)
{
    t->now_ms += ms;
    gpu_judge_tick(&t->judge, t->now_ms);
}

static inline void read_times(struct judging *t, int times)
{
    for (int i = 0; i < times; i++) {
        t->now_ms += 1000;
        t->reading.at_ms = t->now_ms;
        gpu_judge_reading(&t->judge, &t->reading, t->now_ms);
    }
}

static inline struct xid_event event_of(uint32_t xid)
{
    return (struct xid_event){.xid = xid,
                              .source = XID_FROM_KERNEL,
                              .pid = -1,
                              .instance = -1,
                              .compute = -1,
                              .action = -1,
                              .text = "text"};
}

static inline void see_xid(struct judging *t, uint32_t xid)
{
    struct xid_event e = event_of(xid);
    gpu_judge_xid(&t->judge, &e, true, false, t->now_ms);
}

static inline void expect(const struct judging *t, enum gpu_state state, const char *word)
{
    struct gpu_verdict v = gpu_judge_verdict(&t->judge);
    assert_string_equal(v.word, word);
    assert_int_equal(v.state, state);
}
