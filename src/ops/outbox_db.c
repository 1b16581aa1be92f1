#include "ops/outbox_db.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ops/alert_pack.h"
#include "ops/history_db.h"

enum { BUSY_MS = 1000 };

struct outbox_db {
    sqlite3 *sql;
};

static const char *const STATES[OUTBOX_STATES] = {"waiting", "sent", "failed"};

static enum err run(struct outbox_db *db, const char *text)
{
    return sqlite3_exec(db->sql, text, NULL, NULL, NULL) == SQLITE_OK ? ERR_OK : ERR_IO;
}

/* The history makes the file, and brings it up to date. */
static enum err look_for_table(struct outbox_db *db)
{
    sqlite3_stmt *s = NULL;
    enum err e = ERR_IO;
    if (sqlite3_prepare_v2(db->sql, "PRAGMA user_version;", -1, &s, NULL) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW) {
        int version = sqlite3_column_int(s, 0);
        e = version < HISTORY_SCHEMA   ? ERR_AGAIN
            : version > HISTORY_SCHEMA ? ERR_UNSUPPORTED
                                       : ERR_OK;
    }
    sqlite3_finalize(s);
    return e;
}

enum err outbox_db_open(const char *path, struct outbox_db **out, char *why, size_t size)
{
    struct outbox_db *db = mem_alloc(sizeof(*db));
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    int code = sqlite3_open_v2(path, &db->sql, flags, NULL);
    enum err e = code == SQLITE_OK ? ERR_OK : code == SQLITE_CANTOPEN ? ERR_AGAIN : ERR_IO;
    if (e == ERR_OK) {
        (void)sqlite3_busy_timeout(db->sql, BUSY_MS);
        e = look_for_table(db);
    }
    e = e ? e : run(db, "PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;");
    if (e != ERR_OK) {
        (void)snprintf(why, size, "%s",
                       e == ERR_UNSUPPORTED ? "it was written by a newer version"
                                            : outbox_db_why(db));
        outbox_db_close(&db);
    }
    *out = db;
    return e;
}

void outbox_db_close(struct outbox_db **db)
{
    struct outbox_db *gone = *db;
    *db = NULL;
    if (gone) {
        sqlite3_close(gone->sql);
        free(gone);
    }
}

const char *outbox_db_why(const struct outbox_db *db)
{
    return db->sql ? sqlite3_errmsg(db->sql) : "out of memory";
}

/* --- writing --- */

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
    (void)sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *s, int at, uint64_t number)
{
    (void)sqlite3_bind_int64(s, at, (sqlite3_int64)number);
}

static enum err put_row(sqlite3_stmt *s, const struct outbox_row *row)
{
    char *packed = alert_pack(&row->alert);
    bind_number(s, 1, row->alert.number);
    bind_text(s, 2, row->channel);
    bind_text(s, 3, STATES[row->state]);
    bind_number(s, 4, row->tries);
    bind_number(s, 5, row->due_wall_ms);
    bind_number(s, 6, row->alert.incident);
    bind_text(s, 7, alert_moment_name(row->alert.moment));
    bind_text(s, 8, packed);
    bool fine = sqlite3_step(s) == SQLITE_DONE;
    (void)sqlite3_reset(s);
    (void)sqlite3_clear_bindings(s);
    free(packed);
    return fine ? ERR_OK : ERR_IO;
}

static enum err put_rows(struct outbox_db *db, const struct outbox_row *rows, size_t count)
{
    static const char text[] =
        "INSERT OR REPLACE INTO alerts (number, channel, state, tries, due_ms, incident,"
        " moment, alert) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    sqlite3_stmt *s = NULL;
    enum err e = sqlite3_prepare_v2(db->sql, text, -1, &s, NULL) == SQLITE_OK ? ERR_OK : ERR_IO;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        e = put_row(s, &rows[i]);
    }
    sqlite3_finalize(s);
    return e;
}

static enum err forget(struct outbox_db *db)
{
    char text[200];
    (void)snprintf(text, sizeof(text),
                   "DELETE FROM alerts WHERE state <> 'waiting' AND number <="
                   " (SELECT number FROM alerts WHERE state <> 'waiting'"
                   " ORDER BY number DESC LIMIT 1 OFFSET %d);",
                   OUTBOX_ROWS);
    return run(db, text);
}

enum err outbox_db_put(struct outbox_db *db, const struct outbox_row *rows, size_t count)
{
    enum err e = run(db, "BEGIN IMMEDIATE;");
    if (e != ERR_OK) {
        return e;
    }
    e = put_rows(db, rows, count);
    e = e ? e : forget(db);
    e = e ? e : run(db, "COMMIT;");
    if (e != ERR_OK && sqlite3_get_autocommit(db->sql) == 0) {
        (void)sqlite3_exec(db->sql, "ROLLBACK;", NULL, NULL, NULL);
    }
    return e;
}

/* --- reading --- */

#define COLUMNS "number, channel, state, tries, due_ms, alert"

static const char *column(sqlite3_stmt *s, int at)
{
    const char *text = (const char *)sqlite3_column_text(s, at);
    return text ? text : "";
}

/* False: it is none that this version can read. */
static bool read_row(sqlite3_stmt *s, struct outbox_row *out)
{
    unsigned state = 0;
    while (state < OUTBOX_STATES && strcmp(STATES[state], column(s, 2)) != 0) {
        state++;
    }
    if (state == OUTBOX_STATES || !alert_unpack(str_from(column(s, 5)), &out->alert)) {
        return false;
    }
    out->alert.number = (uint64_t)sqlite3_column_int64(s, 0);
    out->state = (enum outbox_state)state;
    out->tries = (uint32_t)sqlite3_column_int64(s, 3);
    out->due_wall_ms = (uint64_t)sqlite3_column_int64(s, 4);
    EVENT_PUT(out->channel, str_from(column(s, 1)));
    return true;
}

static enum err read_rows(struct outbox_db *db, const char *text, struct outbox_row *out,
                          size_t room, size_t *count)
{
    sqlite3_stmt *s = NULL;
    *count = 0;
    if (sqlite3_prepare_v2(db->sql, text, -1, &s, NULL) != SQLITE_OK) {
        return ERR_IO;
    }
    int step = sqlite3_step(s);
    while (step == SQLITE_ROW && *count < room) {
        *count += read_row(s, &out[*count]) ? 1 : 0;
        step = sqlite3_step(s);
    }
    sqlite3_finalize(s);
    return step == SQLITE_ROW || step == SQLITE_DONE ? ERR_OK : ERR_IO;
}

enum err outbox_db_waiting(struct outbox_db *db, struct outbox_row *out, size_t room,
                           size_t *count)
{
    return read_rows(db,
                     "SELECT " COLUMNS " FROM alerts WHERE state = 'waiting' ORDER BY number",
                     out, room, count);
}

/* What could not be sent was not told. */
enum err outbox_db_open_incidents(struct outbox_db *db, struct outbox_row *out, size_t room,
                                  size_t *count)
{
    return read_rows(db,
                     "SELECT " COLUMNS " FROM alerts AS a WHERE incident > 0"
                     " AND state <> 'failed' AND moment <> 'over' AND NOT EXISTS"
                     " (SELECT 1 FROM alerts AS b WHERE b.channel = a.channel"
                     "  AND b.incident = a.incident AND b.number > a.number"
                     "  AND b.state <> 'failed') ORDER BY number",
                     out, room, count);
}
