#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tiers/alert.h"

/*
 * The alerts in the history's file: those that wait to be sent, and the last that were, so that
 * a restart neither forgets one nor tells it twice. A connection of its own beside the
 * history's (write-ahead log: neither waits for the other's reading). One thread at a time.
 * Everything here may wait for the disk.
 */

enum outbox_state { OUTBOX_WAITING, OUTBOX_SENT, OUTBOX_FAILED };
enum { OUTBOX_STATES = 3, OUTBOX_ROWS = 1000 };

struct outbox_row {
    struct alert alert; /* by its number */
    char channel[EVENT_NAME];
    enum outbox_state state;
    uint32_t tries;
    uint64_t due_wall_ms;
};

struct outbox_db;

/* ERR_AGAIN: the history has not made the file or the table yet. Where it fails, *why says so
 * (`size` bytes). */
NODISCARD enum err outbox_db_open(const char *path, struct outbox_db **out, char *why,
                                  size_t size);
void outbox_db_close(struct outbox_db **db);

/* All of them or none; in the place of what is there by that number. Keeps OUTBOX_ROWS that are
 * done. */
NODISCARD enum err outbox_db_put(struct outbox_db *db, const struct outbox_row *rows,
                                 size_t count);

/* Those that wait, the oldest first. */
NODISCARD enum err outbox_db_waiting(struct outbox_db *db, struct outbox_row *out, size_t room,
                                     size_t *count);

/* What each channel was told last of each incident that it was not told to be over. */
NODISCARD enum err outbox_db_open_incidents(struct outbox_db *db, struct outbox_row *out,
                                            size_t room, size_t *count);

/* About the last failure; lives until the next call. */
const char *outbox_db_why(const struct outbox_db *db);
