#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ops/event_filter.h"
#include "tiers/event.h"

/*
 * Events in an SQLite file: opening and bringing its schema up to date, writing, finding,
 * forgetting. Write-ahead log with synchronous NORMAL: a process that is killed loses no
 * transaction that was ended, and a machine that loses power at most the last ones; neither
 * leaves a broken file. One thread at a time. Everything here may wait for the disk.
 */

enum {
    HISTORY_SCHEMA = 3
}; /* user_version of the file; from 3 on with ops/outbox_db's table */

struct history_db;

struct history_last {
    uint64_t event; /* the highest numbers in it; 0: none */
    uint64_t incident;
};

/* Makes the file where there is none. Where it fails, *why says so (`size` bytes). A file of a
 * newer schema is left alone. */
NODISCARD enum err history_db_open(const char *path, struct history_db **out,
                                   struct history_last *last, char *why, size_t size);
void history_db_close(struct history_db **db);

/* All of them or none. */
NODISCARD enum err history_db_write(struct history_db *db, const struct event *e, size_t count);

/* The oldest first, at most f->limit (out has room for them). */
NODISCARD enum err history_db_find(struct history_db *db, const struct event_filter *f,
                                   struct event *out, size_t *count);

/* Forgets some of what is older than `before_ms`, and, while the file is over max_bytes, of the
 * oldest. *more: there is more to forget. */
NODISCARD enum err history_db_forget(struct history_db *db, uint64_t before_ms,
                                     uint64_t max_bytes, bool *more);

/* About the last failure; lives until the next call. */
const char *history_db_why(const struct history_db *db);
