#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "ops/exposition.h"

static const struct family PLAIN = {
    .name = "x_things", .kind = METRIC_GAUGE, .help = "Things."};
static const struct family LABELLED = {
    .name = "x_total", .kind = METRIC_COUNTER, .labels = {"a", "b"}, .help = "Counts."};
static const struct family TIMES = {
    .name = "x_seconds", .kind = METRIC_HISTOGRAM, .labels = {"a"}, .help = "Times."};
static const struct family BARE_TIMES = {
    .name = "x_seconds", .kind = METRIC_HISTOGRAM, .help = "Times."};

/* Compares what follows the family's two head lines; ends e. */
static void assert_samples(struct exposition *e, const char *expected)
{
    struct str text = buf_str(&e->out);
    (void)str_cut(&text, '\n');
    (void)str_cut(&text, '\n');
    assert_false(e->is_cut);
    if (!str_eq(text, str_from(expected))) {
        print_error("expected\n%s\ngot\n%.*s\n", expected, STR_FMT(text));
        fail();
    }
    exposition_fini(e);
}

static void begin(struct exposition *e, const struct family *f)
{
    exposition_init(e, 1 << 16);
    exposition_begin(e, f);
}

static void each_family_begins_with_help_and_type(void **state)
{
    struct exposition e;
    (void)state;
    begin(&e, &PLAIN);
    exposition_begin(&e, &LABELLED);
    exposition_begin(&e, &TIMES);
    assert_true(str_eq(buf_str(&e.out), STR("# HELP x_things Things.\n"
                                            "# TYPE x_things gauge\n"
                                            "# HELP x_total Counts.\n"
                                            "# TYPE x_total counter\n"
                                            "# HELP x_seconds Times.\n"
                                            "# TYPE x_seconds histogram\n")));
    exposition_fini(&e);
}

static void escapes_line_ends_and_backslashes_in_help_but_no_quotes(void **state)
{
    struct exposition e;
    struct family f = PLAIN;
    (void)state;
    f.help = "Two\nlines, a \\ and \"quotes\".";
    begin(&e, &f);
    assert_true(
        str_has(buf_str(&e.out), STR("# HELP x_things Two\\nlines, a \\\\ and \"quotes\".\n")));
    exposition_fini(&e);
}

static void a_metric_without_labels_has_no_braces(void **state)
{
    struct exposition e;
    (void)state;
    begin(&e, &PLAIN);
    exposition_put(&e, NULL, (struct figure){7, 0});
    assert_samples(&e, "x_things 7\n");
}

static void escapes_label_values(void **state)
{
    static const struct {
        struct str value;
        const char *written;
    } rows[] = {
        {STR_INIT(""), ""},
        {STR_INIT("gpu1"), "gpu1"},
        {STR_INIT("a\"b"), "a\\\"b"},
        {STR_INIT("a\\b"), "a\\\\b"},
        {STR_INIT("a\nb"), "a\\nb"},
        {STR_INIT("\"\\\n"), "\\\"\\\\\\n"},
        {STR_INIT("\\n"), "\\\\n"},
        {STR_INIT("\xc3\xbc{},= \xf0\x9f\x98\x80"), "\xc3\xbc{},= \xf0\x9f\x98\x80"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct exposition e;
        char expected[128];
        begin(&e, &LABELLED);
        exposition_put(&e, (const struct str[]){rows[i].value, STR("z")},
                       (struct figure){1, 0});
        assert_in_range(snprintf(expected, sizeof(expected), "x_total{a=\"%s\",b=\"z\"} 1\n",
                                 rows[i].written),
                        1, sizeof(expected) - 1);
        assert_samples(&e, expected);
    }
}

static void numbers_have_no_more_digits_than_they_need(void **state)
{
    static const struct {
        struct figure f;
        const char *written;
    } rows[] = {
        {{0, 0}, "0"},
        {{0, 3}, "0"},
        {{1, 3}, "0.001"},
        {{1500, 3}, "1.5"},
        {{2000, 3}, "2"},
        {{10, 0}, "10"},
        {{1234567, 6}, "1.234567"},
        {{100000001, 9}, "0.100000001"},
        {{UINT64_MAX, 0}, "18446744073709551615"},
        {{UINT64_MAX, 3}, "18446744073709551.615"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct exposition e;
        char expected[64];
        begin(&e, &PLAIN);
        exposition_put(&e, NULL, rows[i].f);
        assert_in_range(snprintf(expected, sizeof(expected), "x_things %s\n", rows[i].written),
                        1, sizeof(expected) - 1);
        assert_samples(&e, expected);
    }
}

static void buckets_are_cumulative_and_infinity_is_the_count(void **state)
{
    static const uint64_t most_ms[] = {1, 20, 1000, UINT64_MAX};
    static const uint64_t count[] = {3, 0, 4, 2};
    struct exposition e;
    (void)state;
    begin(&e, &TIMES);
    exposition_put_times(&e, (const struct str[]){STR("q\"")},
                         &(struct histogram){most_ms, count, 4, 12345, 3});
    assert_samples(&e, "x_seconds_bucket{a=\"q\\\"\",le=\"0.001\"} 3\n"
                       "x_seconds_bucket{a=\"q\\\"\",le=\"0.02\"} 3\n"
                       "x_seconds_bucket{a=\"q\\\"\",le=\"1\"} 7\n"
                       "x_seconds_bucket{a=\"q\\\"\",le=\"+Inf\"} 9\n"
                       "x_seconds_sum{a=\"q\\\"\"} 12.345\n"
                       "x_seconds_count{a=\"q\\\"\"} 9\n");
}

static void buckets_with_one_bound_are_written_once(void **state)
{
    static const uint64_t most_ms[] = {0, 1, 1, 5, UINT64_MAX, UINT64_MAX};
    static const uint64_t count[] = {1, 2, 4, 8, 16, 32};
    struct exposition e;
    (void)state;
    begin(&e, &BARE_TIMES);
    exposition_put_times(&e, NULL, &(struct histogram){most_ms, count, 6, 0, 3});
    assert_samples(&e, "x_seconds_bucket{le=\"0\"} 1\n"
                       "x_seconds_bucket{le=\"0.001\"} 7\n"
                       "x_seconds_bucket{le=\"0.005\"} 15\n"
                       "x_seconds_bucket{le=\"+Inf\"} 63\n"
                       "x_seconds_sum 0\n"
                       "x_seconds_count 63\n");
}

static void an_empty_histogram_is_all_zeros(void **state)
{
    static const uint64_t most_ms[] = {1, UINT64_MAX};
    static const uint64_t count[] = {0, 0};
    struct exposition e;
    (void)state;
    begin(&e, &BARE_TIMES);
    exposition_put_times(&e, NULL, &(struct histogram){most_ms, count, 2, 0, 3});
    assert_samples(&e, "x_seconds_bucket{le=\"0.001\"} 0\n"
                       "x_seconds_bucket{le=\"+Inf\"} 0\n"
                       "x_seconds_sum 0\n"
                       "x_seconds_count 0\n");
}

static void says_when_it_would_become_too_long(void **state)
{
    struct exposition e;
    (void)state;
    exposition_init(&e, 60);
    exposition_begin(&e, &PLAIN);
    assert_false(e.is_cut);
    exposition_put(&e, NULL, (struct figure){1, 0});
    exposition_put(&e, NULL, (struct figure){2, 0});
    assert_true(e.is_cut);
    assert_true(buf_len(&e.out) <= 60);
    exposition_fini(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_family_begins_with_help_and_type),
        cmocka_unit_test(escapes_line_ends_and_backslashes_in_help_but_no_quotes),
        cmocka_unit_test(a_metric_without_labels_has_no_braces),
        cmocka_unit_test(escapes_label_values),
        cmocka_unit_test(numbers_have_no_more_digits_than_they_need),
        cmocka_unit_test(buckets_are_cumulative_and_infinity_is_the_count),
        cmocka_unit_test(buckets_with_one_bound_are_written_once),
        cmocka_unit_test(an_empty_histogram_is_all_zeros),
        cmocka_unit_test(says_when_it_would_become_too_long),
    };
    return cmocka_run_group_tests_name("ops/exposition", tests, NULL, NULL);
}
