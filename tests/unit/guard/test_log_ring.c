#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "guard/hush.h"
#include "guard/log_ring.h"

static void put(void *owner, struct str line)
{
    log_ring_put(owner, line);
}

static void keeps_the_last_200_in_order(void **state)
{
    struct log_ring *r = mem_alloc(sizeof(*r));
    char text[32];
    (void)state;
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(text, sizeof(text), "line %d", i);
        log_ring_put(r, str_from(text));
    }
    assert_int_equal(log_ring_count(r), LOG_RING_LINES);
    assert_true(str_eq(log_ring_at(r, 0), STR("line 800")));
    assert_true(str_eq(log_ring_at(r, LOG_RING_LINES - 1), STR("line 999")));
    free(r);
}

static void joins_pieces_at_every_split(void **state)
{
    static const char text[] = "one\ntwo\r\n\nthree\rfour";
    (void)state;
    for (size_t at = 0; at < sizeof(text); at++) {
        struct log_ring *r = mem_alloc(sizeof(*r));
        struct line_maker m = {.len = 0};
        line_maker_feed(&m, str_of(text, at), put, r);
        line_maker_feed(&m, str_of(text + at, sizeof(text) - 1 - at), put, r);
        assert_int_equal(log_ring_count(r), 3);
        line_maker_end(&m, put, r);
        line_maker_end(&m, put, r);
        assert_int_equal(log_ring_count(r), 4);
        assert_true(str_eq(log_ring_at(r, 0), STR("one")));
        assert_true(str_eq(log_ring_at(r, 1), STR("two")));
        assert_true(str_eq(log_ring_at(r, 2), STR("three")));
        assert_true(str_eq(log_ring_at(r, 3), STR("four")));
        free(r);
    }
}

static void cuts_a_line_without_end(void **state)
{
    struct log_ring *r = mem_alloc(sizeof(*r));
    struct line_maker m = {.len = 0};
    char piece[4096];
    (void)state;
    memset(piece, 'x', sizeof(piece));
    for (int i = 0; i < 100; i++) {
        line_maker_feed(&m, str_of(piece, sizeof(piece)), put, r);
    }
    line_maker_feed(&m, STR("\nnext\n"), put, r);
    assert_int_equal(log_ring_count(r), 2);
    assert_int_equal(log_ring_at(r, 0).len, LOG_RING_BYTES);
    assert_true(str_eq(log_ring_at(r, 1), STR("next")));
    free(r);
}

static void stars_out_what_it_knows(void **state)
{
    char words[][24] = {"vllm",        "--api-key", "sesame",       "--hf-token=open-up",
                        "--tokenizer", "gpt2",      "--max-tokens", "4096",
                        "--x-key"};
    char *command[9];
    struct hush h = {.count = 0};
    char line[] =
        "args: {'api_key': ['sesame', 'sesame'], 'tokenizer': 'gpt2'} open-up 4096 ses";
    (void)state;
    for (size_t i = 0; i < 9; i++) {
        command[i] = words[i];
    }
    hush_add(&h, STR("abc")); /* too short */
    hush_add(&h, STR(""));
    hush_add_words(&h, command, 9);
    hush_line(&h, line, strlen(line));
    assert_string_equal(
        line, "args: {'api_key': ['******', '******'], 'tokenizer': 'gpt2'} ******* 4096 ses");
    hush_line(&h, line, 0);
}

static void takes_no_more_secrets_than_it_has_room_for(void **state)
{
    struct hush h = {.count = 0};
    char line[] = "secret";
    (void)state;
    for (int i = 0; i < HUSH_MAX + 5; i++) {
        hush_add(&h, STR("secret"));
    }
    assert_int_equal(h.count, HUSH_MAX);
    hush_line(&h, line, strlen(line));
    assert_string_equal(line, "******");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_last_200_in_order),
        cmocka_unit_test(joins_pieces_at_every_split),
        cmocka_unit_test(cuts_a_line_without_end),
        cmocka_unit_test(stars_out_what_it_knows),
        cmocka_unit_test(takes_no_more_secrets_than_it_has_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
