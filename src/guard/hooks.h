#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guard/guard_settings.h"

/*
 * The operator's commands, run when something happens. Their output goes to our standard error;
 * each has HOOK_LIMIT_MS, then it is killed. What happened stands in their environment:
 * FALLTHROUGH_EVENT (down, needs_reset, gave_up), FALLTHROUGH_REASON, FALLTHROUGH_CAUSE,
 * FALLTHROUGH_BACKEND (its URL).
 */

enum { HOOK_LIMIT_MS = 30000, HOOKS_AT_ONCE = 8 };

struct hook_run {
    pid_t pid;
    uint64_t due_ms;
    enum guard_hook hook;
};

/* Zeroed at first. */
struct hooks {
    struct hook_run run[HOOKS_AT_ONCE];
    size_t count;
};

struct hook_news {
    enum guard_hook hook;
    const char *reason;
    const char *cause;
};

void hooks_start(struct hooks *h, const struct guard_settings *s, const struct hook_news *news,
                 uint64_t now_ms);

/* A child of ours has ended. True: it was a hook. */
bool hooks_on_exit(struct hooks *h, pid_t pid, int wait_status);

/* Kills those that take too long; UINT64_MAX: all. */
void hooks_on_tick(struct hooks *h, uint64_t now_ms);

/* Their process groups, for offspring_query; `out` holds HOOKS_AT_ONCE. */
size_t hooks_pids(const struct hooks *h, pid_t *out);
