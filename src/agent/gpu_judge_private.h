#pragma once

#include "agent/gpu_judge.h"

/* What the parts of agent/gpu_judge share. */

enum { SHARE_SW, SHARE_HW, SHARE_BRAKE, SHARE_CAP };

/* Makes it active, or tells more of one that is. */
struct ailment *judge_enter(struct gpu_judge *j, enum ailment_kind kind, uint64_t now_ms,
                            const char *format, ...) __attribute__((format(printf, 4, 5)));
void judge_leave(struct gpu_judge *j, enum ailment_kind kind, uint64_t now_ms);

static inline bool judge_has(const struct gpu_judge *j, enum ailment_kind kind)
{
    return j->ailment[kind].is_active;
}

/* A reset was seen. */
void judge_forget_reset(struct gpu_judge *j, uint64_t now_ms);
