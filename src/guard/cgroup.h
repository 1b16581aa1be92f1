#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

/*
 * A cgroup (v2) for the backend alone, where we may make one: then nothing that it starts can
 * escape, all of it is killed by one write, and the kernel says whether it killed for memory.
 *
 *     <base>/guard     the guard itself, where it was in <base> (inner ones hold no processes)
 *     <base>/engine    the backend and all that it starts
 *
 * <base> is the guard's own cgroup where systemd has delegated it (Delegate=yes; it says so by
 * an extended attribute, our unit by CGROUP_DELEGATED), or a folder that the configuration
 * names. Nothing else is touched.
 */

enum { CGROUP_PATH_MAX = 1024 };

/* Set in the environment: whoever started us says that our cgroup is ours. */
#define CGROUP_DELEGATED "FALLTHROUGH_DELEGATED"

/* Zeroed: there is none. */
struct cgroup {
    bool is_on;
    char engine[CGROUP_PATH_MAX]; /* of the folder */
    const char *why;              /* not on: why not; static */
};

/* `choice`: "auto", "off" or the path of <base>. False: the path cannot be used. */
bool cgroup_open(struct cgroup *c, struct str choice);

/* Takes the folder away, if it is empty. */
void cgroup_close(struct cgroup *c);

/* Its cgroup.procs, for process_start; the caller's. -1: there is none. */
int cgroup_entrance(const struct cgroup *c);

/* Kills all that is in it. False: this kernel cannot (before 5.14), or there is none. */
bool cgroup_kill(const struct cgroup *c);

/* Up to `max` of the processes in it. */
size_t cgroup_pids(const struct cgroup *c, pid_t *pids, size_t max);

/* How often the kernel has killed in it for want of memory. False: it cannot be told. */
bool cgroup_oom_kills(const struct cgroup *c, uint64_t *count);

/* The same for the whole machine (/proc/vmstat), whatever cgroups there are. False: not told.
 */
bool cgroup_host_oom_kills(uint64_t *count);

/* Pure: the path of the v2 cgroup in the text of /proc/PID/cgroup ("0::/a/b"), empty if there
 * is none; and the folder where v2 is mounted (last), in the text of /proc/mounts. */
struct str cgroup_own_path(struct str text);
struct str cgroup_mount_point(struct str text);
/* Pure: the value of `key` in a flat keyed file such as memory.events. False: no such key. */
bool cgroup_figure(struct str text, struct str key, uint64_t *out);
