#include "seam_client.h"

#include <stdlib.h>

/* Tokens of the first server; another may cut the text otherwise. */
static const char *const pieces[] = {"H\xc3\xa9",
                                     "llo",
                                     " \"wor",
                                     "ld\"\n",
                                     "a/b",
                                     " \\back",
                                     " \xf0\x9f\x98\x80",
                                     "\xe4\xbd\xa0",
                                     "\t",
                                     "<\x01>",
                                     "/",
                                     " ha",
                                     " ha",
                                     " ha",
                                     " \xf0\x9f\x98\x80\xf0\x9f\x98\x80 end."};
enum { PIECES = sizeof(pieces) / sizeof(pieces[0]), PROMPT = 20 };

static const struct dialect *const dialects[] = {&dialect_vllm, &dialect_llamacpp,
                                                 &dialect_ollama};

static struct str join_pieces(size_t from, size_t to)
{
    char *text = arena_alloc(&arena, 256);
    size_t len = 0;
    for (size_t i = from; i < to; i++) {
        memcpy(text + len, pieces[i], strlen(pieces[i]));
        len += strlen(pieces[i]);
    }
    return str_of(text, len);
}

/* Up to `count` characters from the front. */
static struct str cut_characters(struct str *text, size_t count)
{
    size_t len = 0;
    for (; count > 0 && len < text->len; count--) {
        len++;
        while (len < text->len && ((unsigned char)text->ptr[len] & 0xc0) == 0x80) {
            len++;
        }
    }
    struct str piece = str_of(text->ptr, len);
    *text = str_of(text->ptr + len, text->len - len);
    return piece;
}

/* Says the text in pieces of `size` characters and ends. The number of pieces is the usage. */
static enum err say(const struct server *s, struct str text, size_t size, uint64_t prompt)
{
    enum err e = later(server_role(s));
    uint64_t made = 0;
    do {
        struct str piece = cut_characters(&text, size);
        e = e ? e : later(server_piece(s, piece, text.len == 0));
        made++;
    } while (e == ERR_OK && text.len > 0);
    e = e ? e : later(server_finish(s));
    return e ? e : later(server_usage(s, prompt, made));
}

static void play_first(const struct server *s, size_t cut)
{
    begin_attempt(s->dialect);
    first(server_role(s));
    for (size_t i = 0; i < cut; i++) {
        first(server_piece(s, str_from(pieces[i]), false));
    }
}

static void assert_one_answer(struct str whole)
{
    if (!str_eq(str_of(client.text, client.len), whole)) {
        fail_msg("got %.*s, not %.*s", (int)client.len, client.text, STR_FMT(whole));
    }
    assert_int_equal(client.roles, 1);
    assert_int_equal(client.finishes, 1);
    assert_int_equal(client.total, client.prompt + client.completion);
    struct str json = assembly_json(client.assembly, &arena);
    struct str text;
    size_t at;
    assert_int_equal(json_check(json, &at), ERR_OK);
    struct str choice = json_path(json, "choices", "0", NULL);
    assert_int_equal(json_text(json_path(choice, "message", "content", NULL), &arena, &text),
                     ERR_OK);
    assert_true(str_eq(text, whole));
    assert_true(str_eq(json_get(choice, "finish_reason"), STR("\"stop\"")));
    uint64_t told;
    assert_int_equal(json_u64(json_path(json, "usage", "total_tokens", NULL), 1000, &told),
                     ERR_OK);
    assert_int_equal(told, client.total);
}

/* Every pair of kinds, every cut, two spellings. */
typedef void play_fn(const struct server *from, const struct server *to, size_t cut);

static void play_all(play_fn *play)
{
    for (size_t i = 0; i < 9; i++) {
        for (size_t spelling = 0; spelling < SPELLINGS; spelling++) {
            for (size_t cut = 0; cut <= PIECES; cut++) {
                struct server from = {dialects[i / 3], &arena, SPELLS_RAW, 1};
                struct server to = {dialects[i % 3], &arena, (enum spelling)spelling, 2};
                restart_client();
                play(&from, &to, cut);
            }
        }
        reply_fini(&reply);
        restart_client();
        arena_fini(&arena);
        arena_init(&arena);
        ask("");
    }
}

static void play_continue(const struct server *from, const struct server *to, size_t cut)
{
    struct str rest = join_pieces(cut, PIECES);
    play_first(from, cut);
    assert_int_equal(transcript_spent(&t), cut);
    begin_seam(to->dialect, SEAM_CONTINUE);
    assert_true(seam_is_caught_up(&seam));
    assert_int_equal(say(to, rest, 3, PROMPT + cut), ERR_OK);
    assert_one_answer(join_pieces(0, PIECES));
    assert_int_equal(client.prompt, PROMPT);
    assert_true(client.completion > cut);
    assert_int_equal(client.completion, transcript_spent(&t));
    assert_int_equal(client.usages, 1);
}

static void continues_at_every_piece_between_all_kinds(void **state)
{
    (void)state;
    play_all(play_continue);
}

/* All that was given comes in one piece with the first new text. */
static void play_echo(const struct server *from, const struct server *to, size_t cut)
{
    static const size_t sizes[] = {1, 4, 1000};
    for (size_t i = 0; i < 3; i++) {
        restart_client();
        play_first(from, cut);
        begin_seam(to->dialect, SEAM_ECHO);
        assert_int_equal(say(to, join_pieces(0, PIECES), sizes[i], PROMPT + cut), ERR_OK);
        assert_one_answer(join_pieces(0, PIECES));
        assert_int_equal(client.prompt, PROMPT);
    }
}

static void leaves_out_what_is_repeated_first(void **state)
{
    (void)state;
    play_all(play_echo);
}

static void play_restart(const struct server *from, const struct server *to, size_t cut)
{
    struct str whole = join_pieces(0, PIECES);
    for (size_t size = 1; size < 8; size += 3) {
        restart_client();
        play_first(from, cut);
        begin_seam(to->dialect, SEAM_RESTART);
        int given = client.chunks;
        assert_int_equal(say(to, whole, size, PROMPT), ERR_OK);
        assert_true(given <= client.chunks);
        assert_one_answer(whole);
        /* The second part's count is already that of the whole. */
        assert_int_equal(client.prompt, PROMPT);
    }
}

static void restarts_and_skips_what_is_identical(void **state)
{
    (void)state;
    play_all(play_restart);
}

static void play_three(const struct server *from, const struct server *to, size_t cut)
{
    play_first(from, cut);
    begin_seam(to->dialect, SEAM_CONTINUE);
    assert_int_equal(later(server_role(to)), ERR_OK);
    size_t second = cut < PIECES ? cut + (PIECES - cut + 1) / 2 : cut;
    for (size_t i = cut; i < second; i++) {
        assert_int_equal(later(server_piece(to, str_from(pieces[i]), false)), ERR_OK);
    }
    assert_int_equal(transcript_spent(&t), second);
    struct server last = {from->dialect, &arena, to->spelling, 3};
    begin_seam(last.dialect, SEAM_CONTINUE);
    assert_int_equal(say(&last, join_pieces(second, PIECES), 2, PROMPT + second), ERR_OK);
    assert_one_answer(join_pieces(0, PIECES));
    assert_int_equal(client.prompt, PROMPT);
}

static void goes_on_over_a_second_break(void **state)
{
    (void)state;
    play_all(play_three);
}

/* --- white space at the end of the half message, which was not sent along --- */

static struct server tail_1 = {&dialect_vllm, &arena, SPELLS_RAW, 1};
static struct server tail_2 = {&dialect_llamacpp, &arena, SPELLS_ASCII, 2};

static void begin_tail(const char *given)
{
    restart_client();
    begin_attempt(&dialect_vllm);
    first(server_role(&tail_1));
    first(server_piece(&tail_1, str_from(given), false));
    begin_seam(&dialect_llamacpp, SEAM_TAIL);
}

static void takes_off_the_white_space_that_comes_again(void **state)
{
    static const struct {
        const char *given;
        const char *came; /* behind what was sent along */
        const char *whole;
    } rows[] = {
        {"one two", " three", "one two three"},
        {"one two ", " three", "one two three"},
        {"List:\n\n", "\n\n- one", "List:\n\n- one"},
        {"if x:\n    ", "\n    return", "if x:\n    return"},
        {"a\n", "\n\nb", "a\n\nb"},
        {"a\\n ", " b", "a\\n b"},
        {"a\v\x1c\xc2\xa0\xe3\x80\x80", "\v\x1c\xc2\xa0\xe3\x80\x80z",
         "a\v\x1c\xc2\xa0\xe3\x80\x80z"},
        {" \n", " \nall of it", " \nall of it"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t size = 1; size < 20; size += 4) {
            begin_tail(rows[i].given);
            assert_int_equal(say(&tail_2, str_from(rows[i].came), size, PROMPT), ERR_OK);
            assert_one_answer(str_from(rows[i].whole));
        }
    }
}

static void refuses_text_behind_other_white_space(void **state)
{
    static const char *const others[] = {"\n  return", "return", "    return",
                                         "\n\n    return"};
    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        begin_tail("if x:\n    ");
        assert_int_equal(say(&tail_2, str_from(others[i]), 2, PROMPT), ERR_RANGE);
        assert_int_equal(client.len, strlen("if x:\n    "));
    }
}

static void takes_an_end_or_a_call_in_place_of_white_space(void **state)
{
    (void)state;
    begin_tail("All said.\n");
    assert_int_equal(later(server_finish(&tail_2)), ERR_OK);
    assert_int_equal(client.finishes, 1);
    assert_int_equal(client.len, strlen("All said.\n"));
    begin_tail("I look.\n");
    assert_int_equal(
        later_text("{'choices':[{'delta':{'tool_calls':[{'index':0,'id':'a'}]}}]}"), ERR_OK);
    assert_int_equal(later(server_finish(&tail_2)), ERR_OK);
}

/* --- a server that never says the role --- */

static void begin_without_a_role(size_t cut)
{
    struct server s = {&dialect_vllm, &arena, SPELLS_RAW, 1};
    begin_attempt(s.dialect);
    for (size_t i = 0; i < cut; i++) {
        first(server_piece(&s, str_from(pieces[i]), false));
    }
}

static void passes_a_late_role_once_and_counts_no_token_for_it(void **state)
{
    struct server second = {&dialect_vllm, &arena, SPELLS_RAW, 2};
    struct server third = {&dialect_llamacpp, &arena, SPELLS_RAW, 3};
    (void)state;
    begin_without_a_role(2);
    begin_seam(second.dialect, SEAM_CONTINUE);
    assert_int_equal(later(server_role(&second)), ERR_OK);
    assert_int_equal(client.roles, 1);
    assert_int_equal(transcript_spent(&t), 2);
    assert_int_equal(later(server_piece(&second, str_from(pieces[2]), false)), ERR_OK);
    assert_int_equal(transcript_spent(&t), 3);
    begin_seam(third.dialect, SEAM_CONTINUE);
    assert_int_equal(say(&third, join_pieces(3, PIECES), 2, PROMPT + 3), ERR_OK);
    assert_one_answer(join_pieces(0, PIECES));
}

static void counts_no_token_for_a_role_with_text_that_is_known(void **state)
{
    struct server second = {&dialect_ollama, &arena, SPELLS_RAW, 2};
    struct server third = {&dialect_vllm, &arena, SPELLS_RAW, 3};
    (void)state;
    begin_without_a_role(3);
    begin_seam(second.dialect, SEAM_RESTART);
    assert_int_equal(later(server_piece(&second, str_from(pieces[0]), false)), ERR_OK);
    assert_int_equal(client.roles, 1);
    assert_int_equal(transcript_spent(&t), 3);
    begin_seam(third.dialect, SEAM_RESTART);
    assert_int_equal(say(&third, join_pieces(0, PIECES), 2, PROMPT), ERR_OK);
    assert_one_answer(join_pieces(0, PIECES));
}

/* --- what must not be joined --- */

static struct server vllm_1 = {&dialect_vllm, &arena, SPELLS_RAW, 1};
static struct server llama_2 = {&dialect_llamacpp, &arena, SPELLS_ASCII, 2};

static void refuses_a_restart_that_differs_anywhere(void **state)
{
    struct str given = join_pieces(0, PIECES - 1);
    (void)state;
    for (size_t i = 0; i < given.len; i++) {
        if ((unsigned char)given.ptr[i] >= 0x80) {
            continue;
        }
        for (size_t size = 1; size < 12; size += 5) {
            restart_client();
            play_first(&vllm_1, PIECES - 1);
            size_t len = client.len;
            char *other = mem_dup(join_pieces(0, PIECES));
            other[i] = '#';
            begin_seam(&dialect_llamacpp, SEAM_RESTART);
            assert_int_equal(say(&llama_2, str_from(other), size, PROMPT), ERR_RANGE);
            assert_int_equal(client.len, len);
            assert_false(seam_is_caught_up(&seam));
            free(other);
        }
    }
}

static void refuses_an_end_before_all_was_repeated(void **state)
{
    static const enum seam_mode modes[] = {SEAM_ECHO, SEAM_RESTART};
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        struct server to = {dialects[i % 3], &arena, SPELLS_RAW, 2};
        restart_client();
        play_first(&vllm_1, 5);
        int chunks = client.chunks;
        begin_seam(to.dialect, modes[i / 3]);
        assert_int_equal(say(&to, join_pieces(0, 4), 3, PROMPT), ERR_RANGE);
        assert_int_equal(client.chunks, chunks);
    }
}

static void refuses_other_kinds_in_the_wrong_place(void **state)
{
    static const struct {
        enum seam_mode mode;
        const char *delta;
        enum err err;
    } rows[] = {
        {SEAM_CONTINUE, "{'reasoning':'x'}", ERR_RANGE},
        {SEAM_ECHO, "{'reasoning_content':'x'}", ERR_RANGE},
        {SEAM_RESTART, "{'reasoning_content':'x'}", ERR_RANGE},
        {SEAM_CONTINUE, "{'tool_calls':[{'index':0,'id':'a'}]}", ERR_OK},
        {SEAM_ECHO, "{'tool_calls':[{'index':0,'id':'a'}]}", ERR_RANGE},
        {SEAM_RESTART, "{'tool_calls':[{'index':0,'id':'a'}]}", ERR_RANGE},
        {SEAM_RESTART, "{'refusal':'no'}", ERR_RANGE},
        {SEAM_RESTART, "{'function_call':{'name':'f'}}", ERR_RANGE},
        {SEAM_CONTINUE, "{'refusal':'no'}", ERR_OK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        restart_client();
        play_first(&vllm_1, 3);
        begin_seam(&dialect_vllm, rows[i].mode);
        struct str chunk = arena_printf(&arena, "{'choices':[{'delta':%s}]}", rows[i].delta);
        int chunks = client.chunks;
        if (later_text(chunk.ptr) != rows[i].err) {
            fail_msg("%s", rows[i].delta);
        }
        assert_int_equal(client.chunks, chunks + (rows[i].err == ERR_OK));
    }
}

static void passes_failures_untouched(void **state)
{
    (void)state;
    play_first(&vllm_1, 3);
    begin_seam(&dialect_vllm, SEAM_RESTART);
    assert_int_equal(later_text("{'error':{'message':'x'}}"), ERR_OK);
    assert_true(ev.is_error);
    assert_int_equal(
        later_text("{'choices':[{'delta':{'content':'?'},'finish_reason':'abort'}]}"), ERR_OK);
    assert_true(ev.is_abort);
    assert_int_equal(later_text("[DONE]"), ERR_OK);
    assert_true(ev.is_done);
    assert_int_equal(ev.chunk.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(continues_at_every_piece_between_all_kinds, begin, end),
        cmocka_unit_test_setup_teardown(leaves_out_what_is_repeated_first, begin, end),
        cmocka_unit_test_setup_teardown(restarts_and_skips_what_is_identical, begin, end),
        cmocka_unit_test_setup_teardown(goes_on_over_a_second_break, begin, end),
        cmocka_unit_test_setup_teardown(takes_off_the_white_space_that_comes_again, begin, end),
        cmocka_unit_test_setup_teardown(refuses_text_behind_other_white_space, begin, end),
        cmocka_unit_test_setup_teardown(takes_an_end_or_a_call_in_place_of_white_space, begin,
                                        end),
        cmocka_unit_test_setup_teardown(passes_a_late_role_once_and_counts_no_token_for_it,
                                        begin, end),
        cmocka_unit_test_setup_teardown(counts_no_token_for_a_role_with_text_that_is_known,
                                        begin, end),
        cmocka_unit_test_setup_teardown(refuses_a_restart_that_differs_anywhere, begin, end),
        cmocka_unit_test_setup_teardown(refuses_an_end_before_all_was_repeated, begin, end),
        cmocka_unit_test_setup_teardown(refuses_other_kinds_in_the_wrong_place, begin, end),
        cmocka_unit_test_setup_teardown(passes_failures_untouched, begin, end),
    };
    return cmocka_run_group_tests_name("llm/seam", tests, NULL, NULL);
}
