#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

/*
 * All processes that descend from the guard, found by a walk through /proc: what a backend has
 * started, and (as the guard is a subreaper) what its dead parents have left behind. Without a
 * cgroup this is the only way to find those that have called setsid.
 */

struct stat_line { /* of /proc/PID/stat */
    pid_t pid;
    pid_t parent;
    pid_t group;
    char state;     /* R S D Z T … */
    uint64_t ticks; /* processor time used, in clock ticks */
    uint64_t born; /* clock ticks from the start of the machine: tells it from one that gets its
                      pid later */
};

/* Pure. The name may contain spaces and parentheses. False: malformed. */
bool stat_line_parse(struct str text, struct stat_line *out);

struct offspring {
    pid_t *pids;    /* alive; a zombie only while threads of it go on */
    uint64_t *born; /* of each */
    size_t count;
    size_t stuck;   /* of them, those with a thread in uninterruptible sleep (D) */
    uint64_t ticks; /* processor time of all of them */
    /* private: */
    size_t room;
};

/* A process that does not count, nor its group, nor their descendants. */
struct offspring_other {
    pid_t pid;
    uint64_t born; /* it counts again when its pid belongs to another one; 0: it cannot */
};

struct offspring_query {
    pid_t root; /* whose descendants; it is not counted itself */
    const struct offspring_other *others;
    size_t other_count;
};

/* Begins anew. Zeroed at first; offspring_fini in the end. */
void offspring_scan(struct offspring *o, const struct offspring_query *q);
/* Adds a process that was found in another way (a cgroup); once. Gone ones are not added. */
void offspring_add(struct offspring *o, pid_t pid);
/* Only to those that are still the ones that were found. */
void offspring_signal(const struct offspring *o, int number);
void offspring_fini(struct offspring *o);
