#include "ops/history_db.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

enum { BUSY_MS = 1000, FORGET_ROWS = 500, WAL_PAGES = 256, WAL_BYTES = 1 << 20 };

struct history_db {
    sqlite3 *sql;
    sqlite3_stmt *insert;
    bool has_forgotten; /* and the files have not been cut yet */
};

/* Statement n brings a file of schema n to n + 1. */
static const char *const migrations[HISTORY_SCHEMA] = {
    "CREATE TABLE events ("
    " id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind TEXT NOT NULL,"
    " severity INTEGER NOT NULL, incident INTEGER NOT NULL, times INTEGER NOT NULL,"
    " backend TEXT NOT NULL, other TEXT NOT NULL, model TEXT NOT NULL, word TEXT NOT NULL,"
    " was TEXT NOT NULL, cause TEXT NOT NULL,"
    " number1 INTEGER NOT NULL, number2 INTEGER NOT NULL, number3 INTEGER NOT NULL);",
    "CREATE INDEX events_at ON events (at_ms);"
    "CREATE INDEX events_incident ON events (incident) WHERE incident > 0;",
    "CREATE TABLE alerts ("
    " number INTEGER PRIMARY KEY, channel TEXT NOT NULL, state TEXT NOT NULL,"
    " tries INTEGER NOT NULL, due_ms INTEGER NOT NULL, incident INTEGER NOT NULL,"
    " moment TEXT NOT NULL, alert TEXT NOT NULL);"
    "CREATE INDEX alerts_incident ON alerts (channel, incident);"};

static enum err run(struct history_db *db, const char *text)
{
    return sqlite3_exec(db->sql, text, NULL, NULL, NULL) == SQLITE_OK ? ERR_OK : ERR_IO;
}

/* The one number that a statement answers. */
static enum err ask(struct history_db *db, const char *text, uint64_t *out)
{
    sqlite3_stmt *s = NULL;
    bool fine = sqlite3_prepare_v2(db->sql, text, -1, &s, NULL) == SQLITE_OK &&
                sqlite3_step(s) == SQLITE_ROW;
    if (fine) {
        *out = (uint64_t)sqlite3_column_int64(s, 0);
    }
    sqlite3_finalize(s);
    return fine ? ERR_OK : ERR_IO;
}

/* --- the schema --- */

static enum err migrate_one(struct history_db *db, uint64_t from)
{
    char version[48];
    (void)snprintf(version, sizeof(version), "PRAGMA user_version = %u;", (unsigned)from + 1);
    enum err e = run(db, "BEGIN IMMEDIATE;");
    e = e ? e : run(db, migrations[from]);
    e = e ? e : run(db, version);
    e = e ? e : run(db, "COMMIT;");
    return e; /* what was begun ends with the connection */
}

static enum err migrate(struct history_db *db)
{
    uint64_t version = 0;
    enum err e = ask(db, "PRAGMA user_version;", &version);
    if (e == ERR_OK && version > HISTORY_SCHEMA) {
        return ERR_UNSUPPORTED;
    }
    while (e == ERR_OK && version < HISTORY_SCHEMA) {
        e = migrate_one(db, version);
        version++;
    }
    return e;
}

static enum err prepare(struct history_db *db, struct history_last *last)
{
    char wal[96];
    (void)sqlite3_busy_timeout(db->sql, BUSY_MS);
    (void)snprintf(wal, sizeof(wal),
                   "PRAGMA wal_autocheckpoint = %d; PRAGMA journal_size_limit = %d;", WAL_PAGES,
                   WAL_BYTES);
    /* The vacuum is chosen before the first table is made. */
    enum err e = run(db, "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
                         "PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;");
    e = e ? e : run(db, wal);
    e = e ? e : migrate(db);
    e = e ? e : ask(db, "SELECT coalesce(max(id), 0) FROM events;", &last->event);
    return e ? e : ask(db, "SELECT coalesce(max(incident), 0) FROM events;", &last->incident);
}

enum err history_db_open(const char *path, struct history_db **out, struct history_last *last,
                         char *why, size_t size)
{
    struct history_db *db = mem_alloc(sizeof(*db));
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    enum err e = sqlite3_open_v2(path, &db->sql, flags, NULL) == SQLITE_OK ? ERR_OK : ERR_IO;
    e = e ? e : prepare(db, last);
    if (e == ERR_UNSUPPORTED) {
        (void)snprintf(why, size, "it was written by a newer version");
    } else if (e != ERR_OK) {
        (void)snprintf(why, size, "%s", history_db_why(db));
    }
    if (e != ERR_OK) {
        history_db_close(&db);
    }
    *out = db;
    return e;
}

void history_db_close(struct history_db **db)
{
    struct history_db *gone = *db;
    *db = NULL;
    if (gone) {
        sqlite3_finalize(gone->insert);
        sqlite3_close(gone->sql);
        free(gone);
    }
}

const char *history_db_why(const struct history_db *db)
{
    return db->sql ? sqlite3_errmsg(db->sql) : "out of memory";
}

/* --- writing --- */

static const char insert_text[] =
    "INSERT INTO events (id, at_ms, kind, severity, incident, times, backend, other, model,"
    " word, was, cause, number1, number2, number3)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
    (void)sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *s, int at, uint64_t number)
{
    (void)sqlite3_bind_int64(s, at, (sqlite3_int64)number);
}

static enum err insert(struct history_db *db, const struct event *e)
{
    sqlite3_stmt *s = db->insert;
    bind_number(s, 1, e->id);
    bind_number(s, 2, e->wall_ms);
    bind_text(s, 3, event_row(e->kind)->name);
    bind_number(s, 4, (uint64_t)e->severity);
    bind_number(s, 5, e->incident);
    bind_number(s, 6, e->times);
    bind_text(s, 7, e->backend);
    bind_text(s, 8, e->other);
    bind_text(s, 9, e->model);
    bind_text(s, 10, e->word);
    bind_text(s, 11, e->was);
    bind_text(s, 12, e->cause);
    for (int i = 0; i < EVENT_NUMBERS; i++) {
        (void)sqlite3_bind_int64(s, 13 + i, e->numbers[i]);
    }
    bool fine = sqlite3_step(s) == SQLITE_DONE;
    (void)sqlite3_reset(s);
    return fine ? ERR_OK : ERR_IO;
}

enum err history_db_write(struct history_db *db, const struct event *e, size_t count)
{
    if (!db->insert && sqlite3_prepare_v3(db->sql, insert_text, -1, SQLITE_PREPARE_PERSISTENT,
                                          &db->insert, NULL) != SQLITE_OK) {
        return ERR_IO;
    }
    enum err failed = run(db, "BEGIN IMMEDIATE;");
    if (failed != ERR_OK) {
        return failed;
    }
    for (size_t i = 0; i < count && failed == ERR_OK; i++) {
        failed = insert(db, &e[i]);
    }
    failed = failed ? failed : run(db, "COMMIT;");
    if (failed != ERR_OK && sqlite3_get_autocommit(db->sql) == 0) {
        (void)sqlite3_exec(db->sql, "ROLLBACK;", NULL, NULL, NULL);
    }
    return failed;
}

/* --- finding --- */

#define COLUMNS                                                                            \
    "id, at_ms, kind, severity, incident, times, backend, other, model, word, was, cause," \
    " number1, number2, number3"
#define FINDING                                                                    \
    "SELECT " COLUMNS " FROM events WHERE id > ?1 AND at_ms >= ?2 AND at_ms <= ?3" \
    " AND (?4 = 0 OR incident = ?4) AND (?5 = '' OR kind = ?5) AND severity >= ?6" \
    " AND (?7 = '' OR backend = ?7 OR other = ?7) AND (?8 = '' OR model = ?8)"

static const char forward_text[] = FINDING " ORDER BY id LIMIT ?9";
static const char backward_text[] =
    "SELECT * FROM (" FINDING " ORDER BY id DESC LIMIT ?9) ORDER BY id";
/* The index on incidents is used only where the condition is a plain one. */
static const char incident_text[] =
    "SELECT * FROM (" FINDING " AND incident = ?4 AND incident > 0 ORDER BY id DESC LIMIT ?9)"
    " ORDER BY id";

static void bind_filter(sqlite3_stmt *s, const struct event_filter *f)
{
    uint64_t until_ms = f->until_ms < INT64_MAX ? f->until_ms : INT64_MAX;
    bind_number(s, 1, f->after);
    bind_number(s, 2, f->since_ms);
    bind_number(s, 3, until_ms);
    bind_number(s, 4, f->incident);
    bind_text(s, 5, f->kind == EVENT_KINDS ? "" : event_row(f->kind)->name);
    bind_number(s, 6, (uint64_t)f->severity);
    (void)sqlite3_bind_text(s, 7, str_chars(f->backend), str_precision(f->backend),
                            SQLITE_STATIC);
    (void)sqlite3_bind_text(s, 8, str_chars(f->model), str_precision(f->model), SQLITE_STATIC);
    bind_number(s, 9, f->limit);
}

static struct str column(sqlite3_stmt *s, int at)
{
    return str_from((const char *)sqlite3_column_text(s, at));
}

/* False: of a kind that this version does not know. */
static bool read_row(sqlite3_stmt *s, struct event *e)
{
    int severity = sqlite3_column_int(s, 3);
    enum event_kind kind = event_kind_find(column(s, 2));
    if (kind == EVENT_KINDS) {
        return false;
    }
    *e = event_of(kind, (uint64_t)sqlite3_column_int64(s, 1), 0);
    e->id = (uint64_t)sqlite3_column_int64(s, 0);
    e->severity =
        severity < 0 || severity >= SEVERITIES ? SEVERITY_ERROR : (enum severity)severity;
    e->incident = (uint64_t)sqlite3_column_int64(s, 4);
    e->times = (uint32_t)sqlite3_column_int64(s, 5);
    EVENT_PUT(e->backend, column(s, 6));
    EVENT_PUT(e->other, column(s, 7));
    EVENT_PUT(e->model, column(s, 8));
    EVENT_PUT(e->word, column(s, 9));
    EVENT_PUT(e->was, column(s, 10));
    EVENT_PUT(e->cause, column(s, 11));
    for (int i = 0; i < EVENT_NUMBERS; i++) {
        e->numbers[i] = sqlite3_column_int64(s, 12 + i);
    }
    return true;
}

enum err history_db_find(struct history_db *db, const struct event_filter *f, struct event *out,
                         size_t *count)
{
    sqlite3_stmt *s = NULL;
    const char *text = f->is_forward     ? forward_text
                       : f->incident > 0 ? incident_text
                                         : backward_text;
    *count = 0;
    if (sqlite3_prepare_v2(db->sql, text, -1, &s, NULL) != SQLITE_OK) {
        return ERR_IO;
    }
    bind_filter(s, f);
    int step = sqlite3_step(s);
    while (step == SQLITE_ROW && *count < f->limit) {
        *count += read_row(s, &out[*count]) ? 1 : 0;
        step = sqlite3_step(s);
    }
    sqlite3_finalize(s);
    return step == SQLITE_ROW || step == SQLITE_DONE ? ERR_OK : ERR_IO;
}

/* --- forgetting --- */

static enum err size_of(struct history_db *db, uint64_t *bytes)
{
    uint64_t pages = 0;
    uint64_t unused = 0;
    uint64_t page = 0;
    enum err e = ask(db, "PRAGMA page_count;", &pages);
    e = e ? e : ask(db, "PRAGMA freelist_count;", &unused);
    e = e ? e : ask(db, "PRAGMA page_size;", &page);
    *bytes = pages > unused ? (pages - unused) * page : 0;
    return e;
}

/* The lowest by this column, below `below`. */
static enum err forget(struct history_db *db, const char *by, uint64_t below)
{
    char text[160];
    (void)snprintf(text, sizeof(text),
                   "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE %s < %llu"
                   " ORDER BY %s LIMIT %d);",
                   by, (unsigned long long)below, by, FORGET_ROWS);
    return run(db, text);
}

enum err history_db_forget(struct history_db *db, uint64_t before_ms, uint64_t max_bytes,
                           bool *more)
{
    uint64_t bytes = 0;
    enum err e = forget(db, "at_ms", before_ms);
    bool was_old = sqlite3_changes(db->sql) > 0;
    e = e ? e : size_of(db, &bytes);
    /* The log beside the file counts too. */
    bool is_large = e == ERR_OK && bytes + WAL_BYTES > max_bytes && bytes > WAL_BYTES / 4;
    if (is_large) {
        e = forget(db, "id", INT64_MAX);
    }
    if (e == ERR_OK && (was_old || is_large)) {
        e = run(db, "PRAGMA incremental_vacuum(256);");
    }
    *more = e == ERR_OK && (was_old || (is_large && sqlite3_changes(db->sql) > 0));
    if (e == ERR_OK && !*more && db->has_forgotten) {
        (void)run(db,
                  "PRAGMA wal_checkpoint(TRUNCATE);"); /* not while others read: next time */
    }
    db->has_forgotten = *more;
    return e;
}
