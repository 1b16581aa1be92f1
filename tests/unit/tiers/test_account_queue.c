#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "tiers/account_queue.h"

enum { THREADS = 4, EACH = 2000 };

static struct account *made(int status)
{
    return account_copy(&(struct account){.status = status});
}

static void count_wake(void *arg)
{
    (*(unsigned *)arg)++;
}

static void gives_them_in_order(void **state)
{
    struct account_queue *q = account_queue_new(10);
    (void)state;
    for (int i = 1; i <= 5; i++) {
        account_queue_put(q, made(i));
    }
    for (int i = 1; i <= 5; i++) {
        struct account *r = account_queue_take(q);
        assert_int_equal(r->status, i);
        free(r);
    }
    assert_null(account_queue_take(q));
    account_queue_free(&q);
    assert_null(q);
}

static void what_finds_no_room_is_lost_and_counted(void **state)
{
    const struct account_attempt attempts[2] = {{.tier = 1}, {.tier = 2}};
    struct account_queue *q = account_queue_new(2);
    (void)state;
    for (int i = 0; i < 5; i++) {
        account_queue_put(
            q, account_copy(&(struct account){.attempt = attempts, .attempt_count = 2}));
    }
    assert_int_equal(account_queue_lost(q), 3);
    assert_int_equal(account_queue_lost_spans(q), 9);
    free(account_queue_take(q));
    account_queue_put(q, made(1)); /* there is room again */
    assert_int_equal(account_queue_lost(q), 3);
    account_queue_free(&q); /* with two in it */
}

static void the_reader_is_told_once_until_he_has_taken_all(void **state)
{
    struct account_queue *q = account_queue_new(10);
    unsigned wakes = 0;
    (void)state;
    account_queue_set_reader(q, &(struct account_reader){count_wake, &wakes, 3});
    account_queue_put(q, made(1));
    account_queue_put(q, made(2));
    assert_int_equal(wakes, 0);
    account_queue_put(q, made(3));
    account_queue_put(q, made(4));
    assert_int_equal(wakes, 1);
    for (int i = 0; i < 4; i++) {
        free(account_queue_take(q));
        assert_int_equal(wakes, 1);
    }
    assert_null(account_queue_take(q));
    for (int i = 0; i < 3; i++) {
        account_queue_put(q, made(i));
    }
    assert_int_equal(wakes, 2);
    account_queue_free(&q);
}

static void *put_many(void *arg)
{
    for (int i = 0; i < EACH; i++) {
        account_queue_put(arg, made(i));
    }
    return NULL;
}

static void many_may_put_while_one_takes(void **state)
{
    struct account_queue *q = account_queue_new(100);
    pthread_t threads[THREADS];
    uint64_t taken = 0;
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, q), 0);
    }
    for (int i = 0; i < THREADS * EACH; i++) {
        struct account *r = account_queue_take(q);
        taken += r ? 1 : 0;
        free(r);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    struct account *r = account_queue_take(q);
    while (r) {
        taken++;
        free(r);
        r = account_queue_take(q);
    }
    assert_int_equal(taken + account_queue_lost(q), THREADS * EACH);
    account_queue_free(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_them_in_order),
        cmocka_unit_test(what_finds_no_room_is_lost_and_counted),
        cmocka_unit_test(the_reader_is_told_once_until_he_has_taken_all),
        cmocka_unit_test(many_may_put_while_one_takes),
    };
    return cmocka_run_group_tests_name("tiers/account_queue", tests, NULL, NULL);
}
