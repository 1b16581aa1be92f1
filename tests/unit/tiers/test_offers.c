#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "small_catalog.h"
#include "tiers/board.h"

enum { T0 = 1000000 };

struct fixture {
    struct small_catalog small;
    struct board *board;
};

/* b0 says nothing of itself, b1 says all; b2 is cut to 100 tokens an answer. */
static int set_up(void **state)
{
    static struct fixture f;
    small_catalog_init(&f.small, "0/1/2");
    f.small.backends[1].type = BACKEND_LLAMACPP;
    f.small.backends[1].offer = (struct offer_policy){.context = 4096,
                                                      .embeddings = 768,
                                                      .known = FEATURE_TOOLS | FEATURE_VISION,
                                                      .can = FEATURE_VISION};
    f.small.backends[2].degrade = (struct degrade_policy){true, 100, false, 0, STR_INIT("")};
    f.board = board_new(&f.small.catalog, T0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    board_free(&f->board);
    return 0;
}

static struct offer offer(const struct fixture *f, uint32_t serving)
{
    return offers_of(board_offers(f->board), serving);
}

static void knows_at_first_what_is_configured(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(offer(f, 0).context, 0);
    assert_int_equal(offer(f, 0).known, 0);
    assert_int_equal(offer(f, 0).bytes_per_token, BYTES_PER_TOKEN_FIRST);
    assert_int_equal(offer(f, 1).context, 4096);
    assert_int_equal(offer(f, 1).embeddings, 768);
    assert_int_equal(offer(f, 1).known, FEATURE_TOOLS | FEATURE_VISION);
    assert_int_equal(offer(f, 1).can, FEATURE_VISION);
}

static void counts_the_answer_where_the_server_does(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(offer(f, 0).answer_max, UINT32_MAX);
    assert_int_equal(offer(f, 1).answer_max, 0);
    assert_int_equal(offer(f, 2).answer_max, 100);
}

static const struct offer_facts FACTS = {.context = 8192,
                                         .embeddings = 64,
                                         .known = FEATURE_TOOLS | FEATURE_LOGPROBS,
                                         .can = FEATURE_TOOLS};

static void what_is_configured_counts_more_than_what_is_learnt(void **state)
{
    struct fixture *f = *state;
    struct offers *o = board_offers(f->board);
    assert_true(offers_learn(o, 0, &FACTS));
    assert_false(offers_learn(o, 0, &FACTS));
    assert_int_equal(offer(f, 0).context, 8192);
    assert_int_equal(offer(f, 0).can, FEATURE_TOOLS);
    assert_true(offers_learn(o, 1, &FACTS)); /* the log probabilities */
    assert_int_equal(offer(f, 1).context, 4096);
    assert_int_equal(offer(f, 1).embeddings, 768);
    assert_int_equal(offer(f, 1).known, FEATURE_TOOLS | FEATURE_VISION | FEATURE_LOGPROBS);
    assert_int_equal(offer(f, 1).can, FEATURE_VISION);
    assert_false(offers_learn_limit(o, 1, 100));
    assert_int_equal(offer(f, 1).context, 4096);
}

static void a_refusal_counts_more_than_a_longer_word(void **state)
{
    struct fixture *f = *state;
    struct offers *o = board_offers(f->board);
    assert_true(offers_learn_limit(o, 0, 2048));
    assert_int_equal(offer(f, 0).context, 2048);
    (void)offers_learn(o, 0, &FACTS);
    assert_int_equal(offer(f, 0).context, 2048);
    assert_true(offers_learn(o, 0, &(struct offer_facts){.context = 1024}));
    assert_int_equal(offer(f, 0).context, 1024);
}

static void believes_no_wonders(void **state)
{
    struct fixture *f = *state;
    struct offers *o = board_offers(f->board);
    assert_false(offers_learn(o, 0, &(struct offer_facts){.context = UINT32_MAX}));
    assert_false(offers_learn_limit(o, 0, UINT32_MAX));
    assert_int_equal(offer(f, 0).context, 0);
}

static void forgets_at_an_outage(void **state)
{
    struct fixture *f = *state;
    struct offers *o = board_offers(f->board);
    (void)offers_learn(o, 0, &FACTS);
    (void)offers_learn(o, 2, &FACTS);
    (void)offers_learn_limit(o, 0, 512);
    offers_note_prompt(o, 0, 6000, 1000);
    (void)board_on_failure(f->board, 0,
                           &(struct failed_attempt){.failure = FAILURE_connect_refused}, T0);
    assert_int_equal(offer(f, 0).context, 0);
    assert_int_equal(offer(f, 0).known, 0);
    assert_true(offer(f, 0).bytes_per_token > BYTES_PER_TOKEN_FIRST);
    assert_int_equal(offer(f, 2).context, 8192);
}

static void learns_tokens_for_each_serving(void **state)
{
    struct fixture *f = *state;
    struct offers *o = board_offers(f->board);
    for (int i = 0; i < 100; i++) {
        offers_note_prompt(o, 1, 3000, 1500);
    }
    assert_in_range(offer(f, 1).bytes_per_token, 2 * BYTES_PER_TOKEN_SCALE,
                    2 * BYTES_PER_TOKEN_SCALE + 16);
    assert_int_equal(offer(f, 0).bytes_per_token, BYTES_PER_TOKEN_FIRST);
    struct needs n = {.prompt_bytes = 12000};
    assert_int_equal(offers_fit(o, 1, &n), FIT_TOO_LONG); /* 6,000 tokens, not 3,000 */
}

#define WITH_BOARD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BOARD(knows_at_first_what_is_configured),
        WITH_BOARD(counts_the_answer_where_the_server_does),
        WITH_BOARD(what_is_configured_counts_more_than_what_is_learnt),
        WITH_BOARD(a_refusal_counts_more_than_a_longer_word),
        WITH_BOARD(believes_no_wonders),
        WITH_BOARD(forgets_at_an_outage),
        WITH_BOARD(learns_tokens_for_each_serving),
    };
    return cmocka_run_group_tests_name("offers", tests, NULL, NULL);
}
