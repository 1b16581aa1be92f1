#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/top_frame.h"

struct fixture {
    struct arena arena;
    struct top_view view;
    json_t *status;
    json_t *events;
    struct top_frame frame;
};

static json_t *make_backend(const char *name, const char *state, int in_flight)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:f,s:i,s:f,s:i,s:i}", "name", name, "state", state,
                     "reason", "a_word", "why", "a sentence that says why it is as it is",
                     "for_s", 61.0, "in_flight", in_flight, "tokens_per_s", 12.5,
                     "first_token_p50_ms", 120, "first_token_p99_ms", 900);
}

static json_t *make_model(const char *name, bool can_serve, const char *first,
                          const char *second)
{
    return json_pack("{s:s,s:b,s:i,s:i,s:[{s:[{s:s,s:s}]},{s:[{s:s,s:s}]}]}", "name", name,
                     "can_serve", can_serve, "waiting", 0, "queue", 100, "tiers", "backends",
                     "name", "gpu1", "status", first, "backends", "name", "cpu", "status",
                     second);
}

static void add_backends(struct fixture *f, int count)
{
    json_t *all = json_object_get(f->status, "backends");
    for (int i = 0; i < count; i++) {
        struct str name = arena_printf(&f->arena, "spare%02d", i);
        json_array_append_new(all, make_backend(name.ptr, "HEALTHY", i));
    }
}

static int set_up(void **state)
{
    static struct fixture f;
    f = (struct fixture){.view = {.columns = 80,
                                  .rows = 24,
                                  .is_utf8 = true,
                                  .gateway = STR("http://h"),
                                  .clock = STR("05:24:02")}};
    arena_init(&f.arena);
    f.status = json_pack("{s:s,s:f,s:i,s:b,s:[o,o],s:[o,o,o]}", "version", "9.9", "uptime_s",
                         61.5, "connections", 3, "draining", 0, "models",
                         make_model("well", true, "usable", "usable"),
                         make_model("lost", false, "down", "down"), "backends",
                         make_backend("gpu1", "HEALTHY", 5), make_backend("cpu", "DEGRADED", 7),
                         make_backend("bad", "DOWN", 0));
    f.events = json_pack("{s:[{s:s,s:s,s:s,s:s,s:i}]}", "events", "at",
                         "2026-11-21T05:24:02.391Z", "kind", "state", "severity", "error",
                         "text", "bad went from HEALTHY to DOWN", "times", 2);
    *state = &f;
    return setlocale(LC_CTYPE, "C.UTF-8") && f.status && f.events ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    json_decref(f->status);
    json_decref(f->events);
    arena_fini(&f->arena);
    return 0;
}

static void make(struct fixture *f)
{
    f->frame = top_frame_make(f->status, f->events, &f->view, &f->arena);
}

static const char *line(const struct fixture *f, size_t at)
{
    assert_true(at < f->frame.count);
    return arena_printf((struct arena *)(uintptr_t)&f->arena, "%.*s",
                        STR_FMT(f->frame.lines[at].text))
        .ptr;
}

/* SIZE_MAX: no line begins like that. */
static size_t find(const struct fixture *f, const char *start)
{
    for (size_t i = 0; i < f->frame.count; i++) {
        if (str_starts(f->frame.lines[i].text, str_from(start))) {
            return i;
        }
    }
    return SIZE_MAX;
}

static void the_important_is_in_a_window_of_80_by_24(void **state)
{
    struct fixture *f = *state;
    make(f);
    assert_int_equal(f->frame.count, 24);
    assert_string_equal(line(f, 0), "fallthrough 9.9 at http://h, up 1m01s, 3 connections     "
                                    "               05:24:02");
    assert_string_equal(line(f, 1),
                        "3 backends: 1 DOWN, 1 DEGRADED, 1 HEALTHY; 12 in flight, 37.5 "
                        "tokens/s");
    assert_string_equal(line(f, 3), "lost              nobody");
    assert_true(str_starts(f->frame.lines[4].text, STR("well              tier 1: gpu1")));
    assert_string_equal(line(f, 5), "BACKEND          STATE     SINCE  FLIGHT   TOK/S  p50ms  "
                                    "p99ms  WHY             ");
    assert_string_equal(line(f, 6), "bad              DOWN      1m01s       0    12.5    120  "
                                    "  900  a_word          ");
    assert_true(find(f, "cpu ") == 7 && find(f, "gpu1 ") == 8);
    assert_string_equal(line(f, 22), "05:24:02 state       bad went from HEALTHY to DOWN (2 "
                                     "times)                    ");
    assert_true(str_starts(f->frame.lines[23].text, STR("q quit  p pause")));
}

static void no_line_is_wider_than_any_window(void **state)
{
    struct fixture *f = *state;
    add_backends(f, 30);
    for (size_t columns = 0; columns < 200; columns += 3) {
        for (size_t rows = 0; rows < 60; rows += 4) {
            f->view.columns = columns;
            f->view.rows = rows;
            make(f);
            assert_int_equal(f->frame.count, rows);
            for (size_t i = 0; i < rows; i++) {
                assert_true(f->frame.lines[i].width <= columns);
            }
        }
    }
}

static void a_small_window_keeps_title_and_backends(void **state)
{
    struct fixture *f = *state;
    f->view.columns = 40;
    f->view.rows = 10;
    make(f);
    assert_true(find(f, "BACKEND      STATE     SINCE  FLIGHT") == 2);
    assert_true(find(f, "bad          DOWN") == 3);
    assert_true(find(f, "MODEL") == SIZE_MAX);
    f->view.rows = 3;
    make(f);
    assert_true(find(f, "BACKEND") == 1 && find(f, "bad ") == 2);
}

static void a_large_window_has_the_whole_reason(void **state)
{
    struct fixture *f = *state;
    f->view.columns = 140;
    make(f);
    assert_non_null(strstr(line(f, 6), "a sentence that says why it is as it is"));
}

static void what_does_not_fit_is_counted_and_can_be_scrolled_to(void **state)
{
    struct fixture *f = *state;
    add_backends(f, 30);
    make(f);
    assert_int_equal(f->view.page, 13);
    assert_true(find(f, "20 more below") == 19);
    assert_true(top_view_keys(&f->view, STR("jj\033[B")));
    make(f);
    assert_int_equal(f->view.scroll, 3);
    assert_true(find(f, "17 more below, 3 above") == 19);
    assert_true(find(f, "bad ") == SIZE_MAX);
    assert_true(top_view_keys(&f->view, STR("k\033OA")));
    make(f);
    assert_int_equal(f->view.scroll, 1);
    assert_true(top_view_keys(&f->view, STR("G")));
    make(f);
    assert_int_equal(f->view.scroll, 20);
    assert_true(find(f, "0 more below, 20 above") == 19 && find(f, "spare29") == 18);
    assert_true(top_view_keys(&f->view, STR("\033[5~")));
    assert_int_equal(f->view.scroll, 7);
    assert_true(top_view_keys(&f->view, STR(" g")));
    assert_int_equal(f->view.scroll, 0);
    f->view.rows = 60;
    assert_true(top_view_keys(&f->view, STR("G")));
    make(f);
    assert_int_equal(f->view.scroll, 0);
    assert_true(find(f, "spare29") != SIZE_MAX && find(f, "0 more") == SIZE_MAX);
}

static void more_models_than_fit_are_counted(void **state)
{
    struct fixture *f = *state;
    json_t *all = json_object_get(f->status, "models");
    for (int i = 0; i < 6; i++) {
        json_array_append_new(all, make_model("m", true, "down", "usable"));
    }
    make(f);
    assert_string_equal(line(f, 3), "lost              nobody");
    assert_true(str_starts(f->frame.lines[4].text, STR("m                 tier 2: cpu")));
    assert_string_equal(line(f, 6), "5 more models");
    assert_true(find(f, "BACKEND") == 7);
}

static void it_sorts_as_asked_for(void **state)
{
    struct fixture *f = *state;
    static const char *const first[TOP_SORTS] = {"bad ", "bad ", "cpu ", "gpu1 ", "gpu1 "};
    for (size_t i = 0; i < TOP_SORTS; i++) {
        make(f);
        assert_true(find(f, first[i]) == 6);
        assert_non_null(strstr(line(f, 23), top_sort_name(f->view.sort)));
        assert_true(top_view_keys(&f->view, STR("s")));
    }
    assert_int_equal(f->view.sort, TOP_WORST);
}

static void keys_pause_and_leave_and_others_do_nothing(void **state)
{
    struct fixture *f = *state;
    assert_true(top_view_keys(&f->view, STR("p")));
    make(f);
    assert_non_null(strstr(line(f, 0), "paused at 05:24:02"));
    assert_true(top_view_keys(&f->view, STR("p\033x\033[1;5Cé\n")));
    assert_false(f->view.is_paused);
    assert_false(top_view_keys(&f->view, STR("q")));
    assert_false(top_view_keys(&f->view, STR("xQ")));
}

static void a_gateway_that_is_away_is_told_beside_the_old_figures(void **state)
{
    struct fixture *f = *state;
    f->view.problem = STR("connection refused");
    f->view.problem_since_s = 5;
    make(f);
    assert_non_null(strstr(line(f, 0), "no answer since 05:24:02 (5s)"));
    assert_true(find(f, "connection refused") == 23);
    assert_true(find(f, "gpu1 ") == 8);
}

static void color_is_only_there_where_it_is_wanted(void **state)
{
    struct fixture *f = *state;
    make(f);
    for (size_t i = 0; i < f->frame.count; i++) {
        assert_false(str_has(f->frame.lines[i].text, STR("\033")));
    }
    f->view.in_color = true;
    make(f);
    assert_non_null(strstr(line(f, 6), "\033[31mDOWN\033[0m"));
    assert_int_equal(f->frame.lines[6].width, 80);
}

static void what_others_have_written_cannot_steer_the_terminal(void **state)
{
    struct fixture *f = *state;
    json_t *all = json_object_get(f->status, "backends");
    json_array_append_new(all, make_backend("\033[2Jx", "\r\033]0;title\a", 1));
    json_object_set_new(f->status, "version", json_string("1\n2"));
    make(f);
    for (size_t i = 0; i < f->frame.count; i++) {
        struct str text = f->frame.lines[i].text;
        for (size_t k = 0; k < text.len; k++) {
            assert_true((unsigned char)text.ptr[k] >= ' ');
        }
    }
    assert_true(find(f, "\\x1b[2Jx") != SIZE_MAX);
}

static void any_shape_of_an_answer_does_no_harm(void **state)
{
    struct fixture *f = *state;
    static const char *const shapes[] = {
        "{}", "{\"models\":1,\"backends\":\"x\"}",
        "{\"models\":[1,null,{\"tiers\":[3,{\"backends\":[1,{}]}]}],\"backends\":[null,1,{},[]]"
        "}",
        "{\"backends\":[{\"name\":1,\"state\":2,\"for_s\":\"x\",\"in_flight\":1e300,"
        "\"tokens_per_s\":-1,\"max_concurrent\":{}}]}"};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        json_decref(f->status);
        f->status = json_loads(shapes[i], 0, NULL);
        assert_non_null(f->status);
        make(f);
        assert_int_equal(f->frame.count, 24);
    }
    f->frame = top_frame_make(NULL, NULL, &f->view, &f->arena);
    assert_int_equal(f->frame.count, 24);
}

int main(void)
{
#define FRAME_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        FRAME_TEST(the_important_is_in_a_window_of_80_by_24),
        FRAME_TEST(no_line_is_wider_than_any_window),
        FRAME_TEST(a_small_window_keeps_title_and_backends),
        FRAME_TEST(a_large_window_has_the_whole_reason),
        FRAME_TEST(what_does_not_fit_is_counted_and_can_be_scrolled_to),
        FRAME_TEST(more_models_than_fit_are_counted),
        FRAME_TEST(it_sorts_as_asked_for),
        FRAME_TEST(keys_pause_and_leave_and_others_do_nothing),
        FRAME_TEST(a_gateway_that_is_away_is_told_beside_the_old_figures),
        FRAME_TEST(color_is_only_there_where_it_is_wanted),
        FRAME_TEST(what_others_have_written_cannot_steer_the_terminal),
        FRAME_TEST(any_shape_of_an_answer_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
