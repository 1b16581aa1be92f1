#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "wire/json.h"
#include "wire/json_wide.h"

/*
 * Every way of skipping is compared with the portable one, and so is the whole check, on texts
 * in which each kind of byte stands at each place of a step, and on random ones.
 */

enum { PLAIN_MAX = 700, STEP_MAX = 128 };

/* Memory of exactly this size, so that ASan sees a read past it. */
static char *copy_of(const char *text, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    return copy;
}

#ifdef __SSE2__
static void check_way(const char *(*way)(const char *p, const char *end), ptrdiff_t step,
                      const char *p, const char *end)
{
    const char *odd = scan_plain_portable(p, end);
    const char *at = way(p, end);
    assert_true(at <= odd);
    assert_int_equal((at - p) % step, 0);
    assert_true(odd - at < step);
}

static const char *skip_both(const char *p, const char *end)
{
    return wide_skip(p, end);
}

static void check_ways(const char *p, const char *end)
{
    check_way(wide_skip_sse2, 4 * (ptrdiff_t)SCAN_WIDTH, p, end);
    check_way(skip_both, 4 * (ptrdiff_t)SCAN_WIDTH, p, end);
    if (__builtin_cpu_supports("avx2")) {
        check_way(wide_skip_avx2, 4 * (ptrdiff_t)WIDE_WIDTH, p, end);
    }
}
#else
static void check_ways(const char *p, const char *end)
{
    assert_true(scan_plain_portable(p, end) <= end);
}
#endif

static void check_whole(const char *text, size_t len)
{
    char *copy = copy_of(text, len);
    size_t at = SIZE_MAX;
    size_t portable_at = SIZE_MAX;
    enum err e = json_check(str_of(copy, len), &at);
    assert_int_equal(e, json_check_portable(str_of(copy, len), &portable_at));
    assert_int_equal(at, portable_at);
    free(copy);
}

static void stops_at_each_byte_that_is_not_plain_wherever_it_stands(void **state)
{
    (void)state;
    char text[3 * STEP_MAX];
    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t place = 0; place <= 2 * STEP_MAX; place++) {
            memset(text, 'a' + (int)(byte % 26), sizeof(text));
            text[place] = (char)(unsigned char)byte;
            check_ways(text, text + sizeof(text));
        }
    }
}

static void never_reads_behind_the_end(void **state)
{
    (void)state;
    char text[PLAIN_MAX];
    memset(text, 'x', sizeof(text));
    for (size_t len = 0; len < sizeof(text); len++) {
        char *copy = copy_of(text, len);
        check_ways(copy, copy + len);
        free(copy);
    }
}

/* What may stand in a long string, and what may not. */
static const struct {
    const char *bytes;
    size_t len;
} inserts[] = {
    {"\"", 1},
    {"\\n", 2},
    {"\\", 1},
    {"\\\"", 2},
    {"\\u00e4", 6},
    {"\\ud83d\\ude00", 12},
    {"\\ud83d", 6},
    {"\x1f", 1},
    {"\x00", 1},
    {"\x7f", 1},
    {"\xc3\xa4", 2},
    {"\xe4\xbd\xa0", 3},
    {"\xf0\x9f\x98\x80", 4},
    {"\x80", 1},
    {"\xc3", 1},
    {"\xc0\x80", 2},
    {"\xed\xa0\x80", 3},
    {"\xf4\x90\x80\x80", 4},
    {"\xe4\xbd", 2},
    {"\xf0\x9f\x98", 3},
    {"\xff", 1},
};

/* `"xxx…INSERTxxx…"` with `before` and `after` plain bytes, whole and cut before its quote. */
static void check_insert(size_t which, size_t before, size_t after)
{
    char text[2 * PLAIN_MAX];
    size_t len = 0;
    text[len++] = '"';
    memset(text + len, 'x', before);
    len += before;
    memcpy(text + len, inserts[which].bytes, inserts[which].len);
    len += inserts[which].len;
    memset(text + len, 'y', after);
    len += after;
    check_whole(text, len);
    text[len++] = '"';
    check_whole(text, len);
}

static void judges_long_strings_as_the_portable_way_does(void **state)
{
    (void)state;
    static const size_t afters[] = {0, 1, 3, 15, 16, 63, 64, 127, 128, 300};
    for (size_t which = 0; which < sizeof(inserts) / sizeof(inserts[0]); which++) {
        for (size_t before = 240; before < 240 + 3 * STEP_MAX; before++) {
            for (size_t i = 0; i < sizeof(afters) / sizeof(afters[0]); i++) {
                check_insert(which, before, afters[i]);
            }
        }
    }
}

static uint32_t draw(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(*seed >> 33);
}

static void judges_random_texts_as_the_portable_way_does(void **state)
{
    (void)state;
    uint64_t seed = 20261121;
    char text[2 * PLAIN_MAX];
    for (int round = 0; round < 20000; round++) {
        size_t len = 2 + draw(&seed) % (sizeof(text) - 2);
        memset(text, ' ' + (int)(2 + draw(&seed) % 26), len);
        text[0] = '"';
        text[len - 1] = '"';
        for (uint32_t left = draw(&seed) % 4; left > 0; left--) {
            const char *bytes = inserts[draw(&seed) % 12].bytes;
            size_t room = strlen(bytes);
            size_t place = 1 + draw(&seed) % len;
            if (place + room < len) {
                memcpy(text + place, bytes, room);
            }
        }
        check_ways(text + 1, text + len);
        check_whole(text, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_at_each_byte_that_is_not_plain_wherever_it_stands),
        cmocka_unit_test(never_reads_behind_the_end),
        cmocka_unit_test(judges_long_strings_as_the_portable_way_does),
        cmocka_unit_test(judges_random_texts_as_the_portable_way_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
