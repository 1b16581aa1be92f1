#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "gate/answer_cache.h"

enum { MAX = 1 << 20 };

static int set_up(void **state)
{
    *state = answer_cache_new(MAX);
    return 0;
}

static int tear_down(void **state)
{
    struct answer_cache *c = *state;
    answer_cache_free(&c);
    assert_null(c);
    answer_cache_free(&c);
    return 0;
}

static struct answer_key key_of(const struct answer_cache *c, uint64_t number)
{
    return answer_cache_key(c, STR("client"), str_of((const char *)&number, sizeof(number)));
}

/* The length of what there is, 0 for nothing. */
static size_t length_of(struct answer_cache *c, uint64_t number, uint64_t now_ms)
{
    struct answer_key key = key_of(c, number);
    struct kept_answer *a = answer_cache_get(c, &key, now_ms);
    size_t len = a ? a->body.len : 0;
    if (a) {
        answer_cache_release(c, &a);
        assert_null(a);
    }
    return len;
}

static void put(struct answer_cache *c, uint64_t number, size_t len, uint64_t until_ms)
{
    struct answer_key key = key_of(c, number);
    char *body = mem_alloc(len + 1);
    answer_cache_put(c, &key, str_of(body, len), 1000, until_ms);
    free(body);
}

static void what_was_put_is_there_until_its_time_is_over(void **state)
{
    struct answer_cache *c = *state;
    size_t empty = answer_cache_bytes(c);
    struct answer_key key = answer_cache_key(c, STR("k"), STR("{}"));
    assert_null(answer_cache_get(c, &key, 1000));
    answer_cache_put(c, &key, STR("answer"), 1000, 3000);
    struct kept_answer *a = answer_cache_get(c, &key, 2999);
    assert_non_null(a);
    assert_true(str_eq(a->body, STR("answer")));
    assert_int_equal(a->made_ms, 1000);
    answer_cache_release(c, &a);
    assert_null(answer_cache_get(c, &key, 3000));
    assert_int_equal(answer_cache_count(c), 0);
    assert_int_equal(answer_cache_bytes(c), empty);
}

static void client_and_request_both_make_the_key(void **state)
{
    struct answer_cache *c = *state;
    struct answer_key key = answer_cache_key(c, STR("ab"), STR("{}"));
    struct answer_key same = answer_cache_key(c, STR("ab"), STR("{}"));
    assert_memory_equal(&key, &same, sizeof(key));
    static const struct str others[][2] = {{STR_INIT("a"), STR_INIT("b{}")},
                                           {STR_INIT(""), STR_INIT("ab{}")},
                                           {STR_INIT("ab"), STR_INIT("{} ")},
                                           {STR_INIT("ac"), STR_INIT("{}")}};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct answer_key other = answer_cache_key(c, others[i][0], others[i][1]);
        assert_memory_not_equal(&key, &other, sizeof(key));
    }
}

static void each_cache_has_a_salt_of_its_own(void **state)
{
    struct answer_cache *c = *state;
    struct answer_cache *other = answer_cache_new(MAX);
    struct answer_key key = answer_cache_key(c, STR("k"), STR("{}"));
    struct answer_key salted = answer_cache_key(other, STR("k"), STR("{}"));
    assert_memory_not_equal(&key, &salted, sizeof(key));
    answer_cache_free(&other);
}

static void the_newest_takes_the_place_of_the_older(void **state)
{
    struct answer_cache *c = *state;
    put(c, 1, 100, 9000);
    size_t one = answer_cache_bytes(c);
    put(c, 1, 100, 9000);
    assert_int_equal(answer_cache_bytes(c), one);
    put(c, 1, 50, 9000);
    assert_int_equal(answer_cache_count(c), 1);
    assert_int_equal(length_of(c, 1, 2000), 50);
}

static void it_never_grows_over_its_size_and_the_least_used_go(void **state)
{
    struct answer_cache *c = *state;
    for (uint64_t i = 0; i < 1000; i++) {
        put(c, i, 10000, 9000);
        assert_true(answer_cache_bytes(c) <= MAX);
        assert_int_equal(length_of(c, 0, 2000), 10000); /* it is used all the time */
    }
    assert_in_range(answer_cache_count(c), 90, 104);
    assert_int_equal(length_of(c, 1, 2000), 0);
    assert_int_equal(length_of(c, 999, 2000), 10000);
}

static void small_answers_are_counted_with_all_that_holds_them(void **state)
{
    struct answer_cache *c = *state;
    for (uint64_t i = 0; i < 100000; i++) {
        put(c, i, 1, 9000);
    }
    assert_true(answer_cache_bytes(c) <= MAX);
    assert_true(answer_cache_count(c) < MAX / 100);
}

static void one_answer_is_a_sixteenth_at_most(void **state)
{
    struct answer_cache *c = *state;
    put(c, 1, answer_cache_most(c), 9000);
    assert_int_equal(length_of(c, 1, 2000), MAX / 16);
    put(c, 2, answer_cache_most(c) + 1, 9000);
    put(c, 3, 0, 9000);
    assert_int_equal(answer_cache_count(c), 1);
}

static void what_is_too_old_goes_when_something_comes(void **state)
{
    struct answer_cache *c = *state;
    struct answer_key key = key_of(c, 9);
    put(c, 1, 100, 2000);
    put(c, 2, 100, 9000);
    answer_cache_put(c, &key, STR("x"), 5000, 9000);
    assert_int_equal(answer_cache_count(c), 2);
}

static void who_holds_an_answer_keeps_it(void **state)
{
    struct answer_cache *c = *state;
    struct answer_key key = key_of(c, 1);
    answer_cache_put(c, &key, STR("first"), 1000, 9000);
    struct kept_answer *a = answer_cache_get(c, &key, 1000);
    struct kept_answer *b = answer_cache_get(c, &key, 1000);
    answer_cache_put(c, &key, STR("second"), 1000, 9000);
    assert_true(str_eq(a->body, STR("first")));
    answer_cache_release(c, &a);
    assert_true(str_eq(b->body, STR("first")));
    answer_cache_release(c, &b);
    assert_int_equal(length_of(c, 1, 1000), 6);
}

enum { THREADS = 4, ROUNDS = 5000, KEYS = 200 };

/* Every answer holds its own key, so a wrong one would show. */
static void *work(void *arg)
{
    struct answer_cache *c = arg;
    uint64_t body[1500] = {0};
    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t number = i * 7919 % KEYS;
        struct answer_key key = key_of(c, number);
        body[0] = number;
        answer_cache_put(c, &key, str_of((const char *)body, sizeof(body)), i, i + 1000);
        key = key_of(c, i % KEYS);
        struct kept_answer *a = answer_cache_get(c, &key, i);
        if (a) {
            memcpy(body, a->body.ptr, sizeof(body[0]));
            assert_int_equal(body[0], i % KEYS);
            answer_cache_release(c, &a);
        }
    }
    return NULL;
}

static void many_threads_share_it(void **state)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, *state), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_true(answer_cache_bytes(*state) <= MAX);
}

int main(void)
{
#define CACHE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CACHE_TEST(what_was_put_is_there_until_its_time_is_over),
        CACHE_TEST(client_and_request_both_make_the_key),
        CACHE_TEST(each_cache_has_a_salt_of_its_own),
        CACHE_TEST(the_newest_takes_the_place_of_the_older),
        CACHE_TEST(it_never_grows_over_its_size_and_the_least_used_go),
        CACHE_TEST(small_answers_are_counted_with_all_that_holds_them),
        CACHE_TEST(one_answer_is_a_sixteenth_at_most),
        CACHE_TEST(what_is_too_old_goes_when_something_comes),
        CACHE_TEST(who_holds_an_answer_keeps_it),
        CACHE_TEST(many_threads_share_it),
    };
    return cmocka_run_group_tests_name("gate/answer_cache", tests, NULL, NULL);
}
