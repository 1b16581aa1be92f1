#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * What the kernel says about this process. Any thread; takes microseconds, on kernels
 * before 6.2 also one system call for some hundred open descriptors.
 */

struct process_figures {
    uint64_t cpu_us; /* user and system, all threads */
    uint64_t resident_bytes;
    uint64_t open_fds;
    uint64_t max_fds;
    bool has_resident, has_open_fds, has_max_fds; /* else the kernel does not say */
};

void process_figures_read(struct process_figures *out);
