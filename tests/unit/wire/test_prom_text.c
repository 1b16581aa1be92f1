#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "wire/prom_text.h"

static void assert_reads(const char *text, const char *expected)
{
    char notes[512] = "";
    struct str in = str_from(text);
    struct prom_sample s;
    while (prom_next(&in, &s)) {
        size_t used = strlen(notes);
        snprintf(notes + used, sizeof(notes) - used, "%.*s{%.*s}=%g;", STR_FMT(s.name),
                 STR_FMT(s.labels), s.value);
    }
    assert_int_equal(in.len, 0);
    assert_string_equal(notes, expected);
}

static void reads_names_labels_and_values(void **state)
{
    (void)state;
    assert_reads("a 1\n", "a{}=1;");
    assert_reads("a_b:c9 -2.5e3", "a_b:c9{}=-2500;");
    assert_reads("a{} 1\n", "a{}=1;");
    assert_reads("a{x=\"1\",y=\"z\"} 7\nb 2\n", "a{x=\"1\",y=\"z\"}=7;b{}=2;");
    assert_reads("a\t3\n", "a{}=3;");
}

static void a_brace_or_quote_in_a_label_ends_nothing(void **state)
{
    (void)state;
    assert_reads("a{x=\"}\"} 1\n", "a{x=\"}\"}=1;");
    assert_reads("a{x=\"\\\"}\"} 1\n", "a{x=\"\\\"}\"}=1;");
    assert_reads("a{x=\"\\\\\"} 1\n", "a{x=\"\\\\\"}=1;");
}

static void takes_timestamps_exemplars_and_crlf(void **state)
{
    (void)state;
    assert_reads("a 1 1700000000\r\nb 2 # {trace=\"x\"} 1\r\n", "a{}=1;b{}=2;");
}

static void skips_what_is_no_sample(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "# HELP a text\n", "# TYPE a gauge\n", "\n",      "a\n",           "a{x=\"1\" 1\n",
        "a{x=\"1} 1\n",    "a NaN\n",          "a Inf\n", "a +Inf\n",      "a 1e999\n",
        "a 1.2.3\n",       "a 0x10\n",         "{} 1\n",  "a{x=\"1\"}1\n", "a-b 1\n",
        "<html>\n",        "a 1,5\n"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[64];
        snprintf(text, sizeof(text), "%sb 2\n", rows[i]);
        assert_reads(text, "b{}=2;");
    }
}

static void an_endless_number_is_none(void **state)
{
    (void)state;
    char text[256];
    memset(text, '1', sizeof(text));
    memcpy(text, "a ", 2);
    memcpy(text + 200, "\nb 2\n", 6);
    assert_reads(text, "b{}=2;");
}

static void nothing_holds_nothing(void **state)
{
    (void)state;
    assert_reads("", "");
    assert_reads("\r\n\n", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_names_labels_and_values),
        cmocka_unit_test(a_brace_or_quote_in_a_label_ends_nothing),
        cmocka_unit_test(takes_timestamps_exemplars_and_crlf),
        cmocka_unit_test(skips_what_is_no_sample),
        cmocka_unit_test(an_endless_number_is_none),
        cmocka_unit_test(nothing_holds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
