#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "history_file.h"
#include "ops/history_db.h"

enum { ROOM = 1000, MIB = 1 << 20 };

static struct history_last last;
static struct event out[ROOM];
static size_t count;

static struct history_db *open_it(void)
{
    struct history_db *db = NULL;
    enum err e = history_db_open(path, &db, &last, why, sizeof(why));
    if (e != ERR_OK) {
        fail_msg("%s: %s", path, why);
    }
    return db;
}

static void execute(const char *text)
{
    sqlite3 *sql = NULL;
    assert_int_equal(sqlite3_open(path, &sql), SQLITE_OK);
    assert_int_equal(sqlite3_exec(sql, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(sql), SQLITE_OK);
}

static int64_t ask(const char *text)
{
    sqlite3 *sql = NULL;
    sqlite3_stmt *s = NULL;
    assert_int_equal(sqlite3_open(path, &sql), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(sql, text, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(sql);
    return number;
}

static struct event numbered(uint64_t id)
{
    struct event e = event_of(EVENT_KIND_failover, 1000 * id, 5);
    e.id = id;
    e.times = 3;
    e.incident = id % 2 == 0 ? 9 : 0;
    e.numbers[0] = -4;
    e.numbers[1] = 44;
    EVENT_PUT(e.backend, STR("b"));
    EVENT_PUT(e.other, STR("o"));
    EVENT_PUT(e.model, STR("m'; DROP TABLE events; --"));
    EVENT_PUT(e.word, STR("w"));
    EVENT_PUT(e.was, STR("p"));
    EVENT_PUT(e.cause, STR("\xC3\xA4"));
    return e;
}

static void write_numbered(struct history_db *db, uint64_t from, uint64_t to)
{
    for (uint64_t id = from; id <= to; id++) {
        struct event e = numbered(id);
        assert_int_equal(history_db_write(db, &e, 1), ERR_OK);
    }
}

static struct event_filter all(void)
{
    return (struct event_filter){.until_ms = UINT64_MAX, .kind = EVENT_KINDS, .limit = ROOM};
}

static void what_is_written_is_found_as_it_was(void **state)
{
    struct history_db *db = open_it();
    struct event_filter f = all();
    struct event e = numbered(2);
    (void)state;
    assert_int_equal(last.event + last.incident, 0);
    assert_int_equal(history_db_write(db, &e, 1), ERR_OK);
    assert_int_equal(history_db_find(db, &f, out, &count), ERR_OK);
    assert_int_equal(count, 1);
    e.mono_ms = 0; /* of another process, perhaps */
    assert_int_equal(out[0].id, e.id);
    assert_int_equal(out[0].wall_ms, e.wall_ms);
    assert_int_equal(out[0].incident, 9);
    assert_int_equal(out[0].times, 3);
    assert_int_equal(out[0].kind, e.kind);
    assert_int_equal(out[0].severity, e.severity);
    assert_memory_equal(out[0].numbers, e.numbers, sizeof(e.numbers));
    assert_string_equal(out[0].backend, e.backend);
    assert_string_equal(out[0].other, e.other);
    assert_string_equal(out[0].model, e.model);
    assert_string_equal(out[0].word, e.word);
    assert_string_equal(out[0].was, e.was);
    assert_string_equal(out[0].cause, e.cause);
    history_db_close(&db);
    assert_null(db);
}

static void a_second_opening_knows_the_last_numbers(void **state)
{
    struct history_db *db = open_it();
    (void)state;
    write_numbered(db, 1, 5);
    history_db_close(&db);
    db = open_it();
    assert_int_equal(last.event, 5);
    assert_int_equal(last.incident, 9);
    history_db_close(&db);
}

static void finds_by_each_key_as_the_filter_does(void **state)
{
    static const struct event_filter WISHES[] = {
        {.until_ms = UINT64_MAX, .kind = EVENT_KINDS, .limit = 10},
        {.until_ms = UINT64_MAX, .kind = EVENT_KINDS, .limit = 10, .is_forward = true},
        {.until_ms = UINT64_MAX, .kind = EVENT_KINDS, .limit = ROOM, .after = 33},
        {.until_ms = UINT64_MAX, .kind = EVENT_KINDS, .limit = ROOM, .incident = 9},
        {.until_ms = UINT64_MAX,
         .kind = EVENT_KINDS,
         .limit = 7,
         .incident = 9,
         .is_forward = true},
        {.until_ms = UINT64_MAX, .kind = EVENT_KINDS, .limit = 7, .incident = 8},
        {.until_ms = 9000, .since_ms = 3000, .kind = EVENT_KINDS, .limit = ROOM},
        {.until_ms = UINT64_MAX, .kind = EVENT_KIND_state, .limit = ROOM},
        {.until_ms = UINT64_MAX, .kind = EVENT_KIND_failover, .limit = ROOM},
        {.until_ms = UINT64_MAX, .kind = EVENT_KINDS, .severity = SEVERITY_WARN, .limit = ROOM},
        {.until_ms = UINT64_MAX, .kind = EVENT_KINDS, .backend = STR_INIT("b"), .limit = ROOM},
        {.until_ms = UINT64_MAX, .kind = EVENT_KINDS, .backend = STR_INIT("o"), .limit = ROOM},
        {.until_ms = UINT64_MAX, .kind = EVENT_KINDS, .model = STR_INIT("b"), .limit = ROOM},
    };
    struct history_db *db = open_it();
    (void)state;
    write_numbered(db, 1, 50);
    for (size_t i = 0; i < sizeof(WISHES) / sizeof(WISHES[0]); i++) {
        const struct event_filter *f = &WISHES[i];
        uint64_t expected[ROOM];
        size_t matching = 0;
        for (uint64_t id = 1; id <= 50; id++) {
            struct event e = numbered(id);
            if (event_filter_matches(f, &e)) {
                expected[matching++] = id;
            }
        }
        size_t skip = !f->is_forward && matching > f->limit ? matching - f->limit : 0;
        assert_int_equal(history_db_find(db, f, out, &count), ERR_OK);
        assert_int_equal(count, matching < f->limit ? matching : f->limit);
        for (size_t k = 0; k < count; k++) {
            assert_int_equal(out[k].id, expected[skip + k]);
        }
    }
    history_db_close(&db);
}

static void a_batch_is_written_whole_or_not_at_all(void **state)
{
    struct history_db *db = open_it();
    struct event batch[] = {numbered(1), numbered(2), numbered(1)};
    struct event_filter f = all();
    (void)state;
    assert_int_equal(history_db_write(db, batch, 3), ERR_IO);
    assert_true(strlen(history_db_why(db)) > 0);
    assert_int_equal(history_db_find(db, &f, out, &count), ERR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(history_db_write(db, batch, 2), ERR_OK);
    history_db_close(&db);
}

static void an_older_file_is_brought_up_to_date(void **state)
{
    struct history_db *db = open_it();
    struct event_filter f = all();
    (void)state;
    write_numbered(db, 1, 3);
    history_db_close(&db);
    execute("DROP TABLE alerts; DROP INDEX events_at; DROP INDEX events_incident;"
            " PRAGMA user_version = 1;");
    db = open_it();
    assert_int_equal(history_db_find(db, &f, out, &count), ERR_OK);
    assert_int_equal(count, 3);
    history_db_close(&db);
    assert_int_equal(ask("PRAGMA user_version"), HISTORY_SCHEMA);
    assert_int_equal(
        ask("SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name LIKE "
            "'events%'"),
        2);
}

static void a_migration_that_fails_changes_nothing(void **state)
{
    struct history_db *db = open_it();
    (void)state;
    history_db_close(&db);
    execute(
        "DROP INDEX events_incident; PRAGMA user_version = 1;"); /* events_at is in the way */
    assert_int_equal(history_db_open(path, &db, &last, why, sizeof(why)), ERR_IO);
    assert_null(db);
    assert_true(strlen(why) > 0);
    assert_int_equal(ask("PRAGMA user_version"), 1);
}

static void a_newer_file_is_left_alone(void **state)
{
    struct history_db *db = open_it();
    (void)state;
    history_db_close(&db);
    execute("PRAGMA user_version = 99;");
    assert_int_equal(history_db_open(path, &db, &last, why, sizeof(why)), ERR_UNSUPPORTED);
    assert_null(db);
    assert_string_equal(why, "it was written by a newer version");
    assert_int_equal(ask("PRAGMA user_version"), 99);
}

static void a_file_that_is_no_database_is_left_alone(void **state)
{
    struct history_db *db = NULL;
    FILE *f = fopen(path, "w");
    (void)state;
    assert_non_null(f);
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(fputs("not a database\n", f) >= 0);
    }
    assert_int_equal(fclose(f), 0);
    assert_int_not_equal(history_db_open(path, &db, &last, why, sizeof(why)), ERR_OK);
    assert_non_null(strstr(why, "not a database"));
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_size, 15000);
}

static void a_row_of_a_later_kind_is_passed_over(void **state)
{
    struct history_db *db = open_it();
    struct event_filter f = all();
    (void)state;
    write_numbered(db, 1, 3);
    execute("UPDATE events SET kind = 'of-the-future' WHERE id = 2;");
    assert_int_equal(history_db_find(db, &f, out, &count), ERR_OK);
    assert_int_equal(count, 2);
    assert_int_equal(out[1].id, 3);
    history_db_close(&db);
}

static void forgets_what_is_too_old(void **state)
{
    struct history_db *db = open_it();
    struct event_filter f = all();
    bool more = true;
    (void)state;
    write_numbered(db, 1, 50);
    while (more) {
        assert_int_equal(history_db_forget(db, 31000, 256 * MIB, &more), ERR_OK);
    }
    assert_int_equal(history_db_find(db, &f, out, &count), ERR_OK);
    assert_int_equal(count, 20);
    assert_int_equal(out[0].id, 31);
    history_db_close(&db);
}

static void forgets_the_oldest_while_the_file_is_too_large(void **state)
{
    static struct event batch[ROOM];
    struct history_db *db = open_it();
    struct stat s;
    bool more = true;
    (void)state;
    for (uint64_t first = 1; first <= 19001; first += ROOM) {
        for (uint64_t i = 0; i < ROOM; i++) {
            batch[i] = numbered(first + i);
        }
        assert_int_equal(history_db_write(db, batch, ROOM), ERR_OK);
    }
    while (more) {
        assert_int_equal(history_db_forget(db, 0, 2 * MIB, &more), ERR_OK);
    }
    history_db_close(&db);
    assert_int_equal(stat(path, &s), 0);
    assert_in_range(s.st_size, MIB / 2, 2 * MIB);
    assert_true(ask("SELECT max(id) FROM events") > 18000);
    assert_true(ask("SELECT min(id) FROM events") > 5000);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_found_as_it_was),
        TEST(a_second_opening_knows_the_last_numbers),
        TEST(finds_by_each_key_as_the_filter_does),
        TEST(a_batch_is_written_whole_or_not_at_all),
        TEST(an_older_file_is_brought_up_to_date),
        TEST(a_migration_that_fails_changes_nothing),
        TEST(a_newer_file_is_left_alone),
        TEST(a_file_that_is_no_database_is_left_alone),
        TEST(a_row_of_a_later_kind_is_passed_over),
        TEST(forgets_what_is_too_old),
        TEST(forgets_the_oldest_while_the_file_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
