#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "guard/gpu_word.h"

static const int64_t ours[] = {100, 200};

static enum err read_report(const char *body, struct gpu_word *g)
{
    struct gpu_query q = {.pids = ours, .pid_count = 2};
    return gpu_word_read(str_from(body), &q, g);
}

static struct gpu_word read_well(const char *body)
{
    struct gpu_word g;
    assert_int_equal(read_report(body, &g), ERR_OK);
    return g;
}

static void a_gpu_that_is_down_and_says_what_it_needs(void **state)
{
    static const char *const yes[] = {
        "{\"gpus\":[{\"uuid\":\"GPU-1\",\"state\":\"DOWN\",\"recovery_action\":1}]}",
        "{\"gpus\":[{\"state\":\"HEALTHY\"},{\"state\":\"down\",\"recovery_action\":1}]}",
        "{\"gpus\":[{\"state\":\"DOWN\",\"recovery_action\":2}]}",
        "{\"gpus\":[{\"state\":\"DOWN\",\"reason\":\"GPU has Fallen Off the bus\"}]}",
        "{\"gpus\":[{\"state\":\"DOWN\",\"recovery_action\":\"node_reboot\"}]}",
    };
    static const char *const no[] = {
        "{\"gpus\":[{\"state\":\"DOWN\",\"recovery_action\":0,\"reason\":\"too hot\"}]}",
        "{\"gpus\":[{\"state\":\"DOWN\",\"recovery_action\":\"none\"}]}",
        "{\"gpus\":[{\"state\":\"DOWN\",\"recovery_action\":null}]}",
        "{\"gpus\":[{\"state\":\"DEGRADED\",\"recovery_action\":\"gpu_reset\"}]}",
        "{\"gpu\":\"none\",\"state\":\"HEALTHY\",\"gpus\":[]}",
        "{\"gpu\":\"blind\"}",
        "{\"gpus\":[1,null,{},{\"state\":7,\"memory\":[]}]}",
        "{}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        struct gpu_word g = read_well(yes[i]);
        assert_true(g.needs_reset);
        assert_non_null(strstr(g.why, "needs a reset"));
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        assert_false(read_well(no[i]).needs_reset);
    }
}

static void memory_that_is_held_by_ours(void **state)
{
    (void)state;
    struct gpu_word g = read_well(
        "{\"gpus\":[{\"memory\":{\"used_bytes\":5,\"total\":9,\"processes\":[{\"pid\":7,"
        "\"used\":2}]}},{\"memory\":{\"used_bytes\":6,\"processes\":[{\"pid\":200}]}}]}");
    assert_true(g.holds_ours);
    assert_int_equal(g.holder, 200);
    assert_int_equal(g.used, 11);
    assert_true(g.has_processes);
    g = read_well(
        "{\"gpus\":[{\"memory\":{\"used_bytes\":5,\"processes\":[{\"pid\":7},{}]}}]}");
    assert_false(g.holds_ours);
    g = read_well("{\"gpus\":[{\"memory\":{\"used_bytes\":5,\"processes\":null}}]}");
    assert_false(g.has_processes);
}

static void the_most_free_memory_is_known_where_a_gpu_tells_both(void **state)
{
    (void)state;
    struct gpu_word g =
        read_well("{\"gpus\":[{\"memory\":{\"used\":5,\"total\":9}},{\"memory\":{\"used\":1,"
                  "\"total\":8}},{\"memory\":{\"used\":9,\"total\":8}}]}");
    assert_true(g.has_free);
    assert_int_equal(g.most_free, 7);
    assert_false(read_well("{\"gpus\":[{\"memory\":{\"used\":5}},{\"memory\":{\"total\":5}},"
                           "{\"memory\":null},{}]}")
                     .has_free);
}

static void only_the_gpus_named_count(void **state)
{
    struct str only[] = {STR_INIT("GPU-2")};
    struct gpu_query q = {.only = only, .only_count = 1};
    struct gpu_word g;
    (void)state;
    assert_int_equal(
        gpu_word_read(
            STR("{\"gpus\":[{\"uuid\":\"GPU-1\",\"state\":\"DOWN\",\"recovery_action\":"
                "1},{\"uuid\":\"gpu-2\",\"memory\":{\"used_bytes\":3}}]}"),
            &q, &g),
        ERR_OK);
    assert_false(g.needs_reset);
    assert_int_equal(g.used, 3);
}

static void hostile_texts_become_harmless(void **state)
{
    (void)state;
    struct gpu_word g = read_well("{\"gpus\":[{\"uuid\":\"\\u001b[31m\\nX\",\"state\":\"DOWN\","
                                  "\"recovery_action\":1,\"reason\":\"\\u0000\\u00fc\"}]}");
    assert_true(g.needs_reset);
    for (const char *at = g.why; *at != '\0'; at++) {
        assert_in_range(*at, ' ', '~');
    }
}

static void what_is_no_report_is_told(void **state)
{
    struct gpu_word g;
    (void)state;
    assert_int_equal(read_report("", &g), ERR_TYPE);
    assert_int_equal(read_report("<html>", &g), ERR_TYPE);
    assert_int_equal(read_report("[]", &g), ERR_TYPE);
    assert_int_equal(read_report("{\"gpus\":[", &g), ERR_TYPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gpu_that_is_down_and_says_what_it_needs),
        cmocka_unit_test(memory_that_is_held_by_ours),
        cmocka_unit_test(the_most_free_memory_is_known_where_a_gpu_tells_both),
        cmocka_unit_test(only_the_gpus_named_count),
        cmocka_unit_test(hostile_texts_become_harmless),
        cmocka_unit_test(what_is_no_report_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
