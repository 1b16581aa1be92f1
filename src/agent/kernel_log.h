#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/kernel_record.h"
#include "net/loop.h"

/*
 * Reads the kernel's log: /dev/kmsg, or a FIFO or file with records in its format (tests).
 * Never blocks. Records that were overwritten before they could be read are counted.
 */

struct kernel_log;

struct kernel_log_conf {
    struct loop *loop;
    const char *path;
    uint64_t
        after_seq; /* what is not beyond it is skipped, in the part that is there already */
    void *owner;
    /* age_ms: since the record was written; is_old: it was there when the log was opened */
    void (*on_record)(void *owner, const struct kernel_record *r, uint64_t age_ms, bool is_old);
};

/* Reads what is there at once, then follows. NULL with *why when it cannot be opened. */
struct kernel_log *kernel_log_open(const struct kernel_log_conf *conf, const char **why);
void kernel_log_close(struct kernel_log **k);

/* Where the source cannot be waited for (a plain file) this reads on. */
void kernel_log_tick(struct kernel_log *k);
uint64_t kernel_log_overrun(const struct kernel_log *k);
