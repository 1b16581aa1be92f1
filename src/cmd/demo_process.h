#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/mem.h"
#include "base/str.h"

/*
 * One child of the demo, in a process group of its own, with its output in a log file. It does
 * not outlive us, however we end. Ended by its pid only, which is ours until it is reaped here.
 */
struct demo_process {
    const char *name;
    struct str folder; /* borrowed; its log is NAME.log in there */
    pid_t pid;         /* 0: not running */
};

/* argv[0] is looked up in PATH. A program that cannot be run ends with status 127. False: no
 * process could be made, errno says why. */
bool demo_process_start(struct demo_process *p, const char *const argv[]);

/* False when it has ended; then it is reaped. */
bool demo_process_is_running(struct demo_process *p);

/* Its exit status, or -1 when it was ended by a signal or, after limit_ms, by us. */
int demo_process_result(struct demo_process *p, uint32_t limit_ms);

/* kill -9. */
void demo_process_kill(struct demo_process *p);

/* SIGTERM, and after limit_ms kill -9. Nothing when it is not running. */
void demo_process_stop(struct demo_process *p, uint32_t limit_ms);

/* The first complete line of its log with `needle` in it, from there on, without the line end;
 * empty: none yet. Lives as long as the arena. */
struct str demo_process_said(const struct demo_process *p, struct str needle, struct arena *a);

/* The end of its log, to standard error. */
void demo_process_show_log(const struct demo_process *p);

/* NAME.log in the folder. Lives as long as the arena. */
struct str demo_process_log(const struct demo_process *p, struct arena *a);
