#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "history_file.h"
#include "ops/history_db.h"
#include "ops/outbox_db.h"

enum { ROOM = OUTBOX_ROWS };

static struct outbox_row out[ROOM];
static size_t count;

static struct history_db *make_history(void)
{
    struct history_db *h = NULL;
    struct history_last last;
    assert_int_equal(history_db_open(path, &h, &last, why, sizeof(why)), ERR_OK);
    return h;
}

static struct outbox_db *open_it(void)
{
    struct outbox_db *db = NULL;
    struct history_db *h = make_history();
    history_db_close(&h);
    assert_int_equal(outbox_db_open(path, &db, why, sizeof(why)), ERR_OK);
    return db;
}

static struct outbox_row row(uint64_t number, const char *channel, uint64_t incident,
                             enum alert_moment moment, enum outbox_state state)
{
    struct outbox_row r = {.state = state, .tries = 2, .due_wall_ms = 99};
    r.alert.number = number;
    r.alert.incident = incident;
    r.alert.moment = moment;
    EVENT_PUT(r.channel, str_from(channel));
    return r;
}

static void put(struct outbox_db *db, struct outbox_row r)
{
    assert_int_equal(outbox_db_put(db, &r, 1), ERR_OK);
}

static void execute(const char *text)
{
    sqlite3 *sql = NULL;
    assert_int_equal(sqlite3_open(path, &sql), SQLITE_OK);
    assert_int_equal(sqlite3_exec(sql, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(sql), SQLITE_OK);
}

static void the_history_makes_the_file_and_the_table(void **state)
{
    (void)state;
    struct outbox_db *db = NULL;
    assert_int_equal(outbox_db_open(path, &db, why, sizeof(why)), ERR_AGAIN);
    assert_null(db);
    struct history_db *h = make_history();
    history_db_close(&h);
    execute("DROP TABLE alerts; PRAGMA user_version = 2;");
    assert_int_equal(outbox_db_open(path, &db, why, sizeof(why)), ERR_AGAIN);
    h = make_history(); /* brings it up to date */
    history_db_close(&h);
    assert_int_equal(outbox_db_open(path, &db, why, sizeof(why)), ERR_OK);
    outbox_db_close(&db);
    outbox_db_close(&db);
    execute("PRAGMA user_version = 99;");
    assert_int_equal(outbox_db_open(path, &db, why, sizeof(why)), ERR_UNSUPPORTED);
    assert_string_equal(why, "it was written by a newer version");
}

static void what_waits_comes_back_after_a_restart(void **state)
{
    (void)state;
    struct outbox_db *db = open_it();
    put(db, row(12, "mail", 1, ALERT_OPENED, OUTBOX_WAITING));
    put(db, row(11, "hook", 1, ALERT_OPENED, OUTBOX_WAITING));
    put(db, row(13, "hook", 1, ALERT_OVER, OUTBOX_WAITING));
    put(db, row(12, "mail", 1, ALERT_OPENED, OUTBOX_SENT)); /* in the place of the first */
    outbox_db_close(&db);
    db = open_it();
    assert_int_equal(outbox_db_waiting(db, out, ROOM, &count), ERR_OK);
    assert_int_equal(count, 2);
    assert_int_equal(out[0].alert.number, 11);
    assert_string_equal(out[0].channel, "hook");
    assert_int_equal(out[0].tries, 2);
    assert_int_equal(out[0].due_wall_ms, 99);
    assert_int_equal(out[1].alert.moment, ALERT_OVER);
    assert_int_equal(outbox_db_waiting(db, out, 1, &count), ERR_OK);
    assert_int_equal(count, 1);
    outbox_db_close(&db);
}

static void incidents_that_were_told_and_are_not_over_are_found(void **state)
{
    (void)state;
    struct outbox_db *db = open_it();
    put(db, row(1, "mail", 5, ALERT_OPENED, OUTBOX_SENT));
    put(db, row(2, "mail", 5, ALERT_WORSENED, OUTBOX_SENT));
    put(db, row(3, "hook", 5, ALERT_OPENED, OUTBOX_SENT));
    put(db, row(4, "hook", 5, ALERT_OVER, OUTBOX_WAITING));  /* it will be told */
    put(db, row(5, "mail", 6, ALERT_OPENED, OUTBOX_FAILED)); /* it never was */
    put(db, row(6, "mail", 0, ALERT_DIGEST, OUTBOX_SENT));
    put(db, row(7, "mail", 7, ALERT_OPENED, OUTBOX_SENT));
    put(db, row(8, "mail", 7, ALERT_OVER, OUTBOX_FAILED)); /* nobody knows that it is over */
    assert_int_equal(outbox_db_open_incidents(db, out, ROOM, &count), ERR_OK);
    assert_int_equal(count, 2);
    assert_int_equal(out[0].alert.number, 2);
    assert_string_equal(out[0].channel, "mail");
    assert_int_equal(out[1].alert.number, 7);
    outbox_db_close(&db);
}

static void what_is_done_is_forgotten_when_there_is_much_of_it(void **state)
{
    (void)state;
    struct outbox_db *db = open_it();
    put(db, row(1, "mail", 1, ALERT_DIGEST, OUTBOX_WAITING));
    for (uint64_t n = 2; n < 2 + OUTBOX_ROWS; n += 100) {
        static struct outbox_row rows[100];
        for (uint64_t i = 0; i < 100; i++) {
            rows[i] = row(n + i, "mail", 0, ALERT_DIGEST, OUTBOX_SENT);
        }
        assert_int_equal(outbox_db_put(db, rows, 100), ERR_OK);
    }
    put(db, row(5000, "mail", 0, ALERT_DIGEST, OUTBOX_SENT));
    put(db, row(5001, "mail", 0, ALERT_DIGEST, OUTBOX_FAILED));
    outbox_db_close(&db);
    sqlite3 *sql = NULL;
    sqlite3_stmt *s = NULL;
    assert_int_equal(sqlite3_open(path, &sql), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(sql, "SELECT count(*), min(number) FROM alerts", -1, &s, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(s, 0), OUTBOX_ROWS + 1);
    assert_int_equal(sqlite3_column_int(s, 1), 1);
    sqlite3_finalize(s);
    sqlite3_close(sql);
}

static void rows_that_cannot_be_read_are_passed_over(void **state)
{
    (void)state;
    struct outbox_db *db = open_it();
    put(db, row(2, "mail", 5, ALERT_OPENED, OUTBOX_WAITING));
    execute("INSERT INTO alerts VALUES (1, 'mail', 'waiting', 0, 0, 5, 'opened', 'no JSON')");
    assert_int_equal(outbox_db_waiting(db, out, ROOM, &count), ERR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(out[0].alert.number, 2);
    outbox_db_close(&db);
}

static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    TEST(the_history_makes_the_file_and_the_table),
    TEST(what_waits_comes_back_after_a_restart),
    TEST(incidents_that_were_told_and_are_not_over_are_found),
    TEST(what_is_done_is_forgotten_when_there_is_much_of_it),
    TEST(rows_that_cannot_be_read_are_passed_over),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
