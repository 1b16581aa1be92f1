#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/field_line.h"
#include "base/str.h"
#include "tiers/account_queue.h"

/*
 * The access log: a line for each request (ops/access_line), written by a thread of its own,
 * the only one that ever waits for the disk or for whoever reads the pipe. What finds no room
 * in the queue meanwhile is lost, as is what cannot be written (full disk); both are counted. A
 * file is opened again when it is no longer the one at its path, so that it may be moved away
 * at any time (logrotate without copytruncate); looked at once a second.
 */

enum { ACCESS_LOG_END_MS = 2000 }; /* of what is left, at the end */

struct access_log_conf {
    struct account_queue *queue; /* borrowed */
    struct str file;             /* "stdout", "stderr" or a path */
    enum log_format format;
};

struct access_log;

/* ERR_OK, or why the file cannot be opened. */
NODISCARD enum err access_log_start(const struct access_log_conf *conf,
                                    struct access_log **out);

/* Writes what is there, for ACCESS_LOG_END_MS at most. NULL: nothing. */
void access_log_stop(struct access_log **log);

/* Lines since the start; any thread. */
uint64_t access_log_written(const struct access_log *log);
uint64_t access_log_dropped(const struct access_log *log);
