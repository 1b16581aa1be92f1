#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gate/offer_look.h"
#include "settings_loading.h"
#include "tiers/fit.h"

static void the_shorter_of_two_lengths_counts(void **state)
{
    (void)state;
    static const struct {
        uint32_t listed, told, is;
    } rows[] = {{0, 0, 0}, {4096, 0, 4096}, {0, 8192, 8192}, {4096, 131072, 4096}, {9, 8, 8}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct offer_look l = {.listed = {.context = rows[i].listed},
                               .told = {.context = rows[i].told}};
        assert_int_equal(offer_look_facts(&l).context, rows[i].is);
    }
}

static void told_is_told_either_way(void **state)
{
    (void)state;
    struct offer_look l = {.told = {.tools = TOLD_YES, .vision = TOLD_NO}};
    assert_int_equal(offer_look_facts(&l).known, FEATURE_TOOLS | FEATURE_VISION);
    assert_int_equal(offer_look_facts(&l).can, FEATURE_TOOLS);
}

static void asks_again_for_another_model_only(void **state)
{
    (void)state;
    struct offer_look l = {.is_told = false};
    assert_true(offer_look_is_due(&l, 0));
    offer_look_take(&l, &(struct model_offer){.context = 5}, 0);
    assert_false(offer_look_is_due(&l, 0));
    assert_true(offer_look_is_due(&l, 7));
    offer_look_take(&l, NULL, 7);
    assert_false(offer_look_is_due(&l, 7));
    assert_int_equal(offer_look_facts(&l).context, 0);
}

static void reads_what_is_configured(void **state)
{
    (void)state;
    struct loading l;
    load_well(&l,
              "backends:\n"
              "  a: {type: vllm, url: 'http://h:1', context: 8k, capabilities: {tools: true,"
              " vision: false, embeddings: 768}}\n"
              "  b: {type: vllm, url: 'http://h:2', context: 32768}\n"
              "models: {m: {tiers: [a, b]}}\n");
    const struct offer_policy *a = &l.s->catalog.backends[0].offer;
    const struct offer_policy *b = &l.s->catalog.backends[1].offer;
    assert_int_equal(a->context, 8192);
    assert_int_equal(a->known, FEATURE_TOOLS | FEATURE_VISION);
    assert_int_equal(a->can, FEATURE_TOOLS);
    assert_int_equal(a->embeddings, 768);
    assert_int_equal(b->context, 32768);
    assert_int_equal(b->known, 0);
    unload(&l);
}

static void tells_what_is_wrong_with_it(void **state)
{
    static const struct {
        const char *value;
        const char *said;
    } rows[] = {
        {"context: 0", "'context'"},
        {"context: 2g", "'context'"},
        {"context: many", "'context'"},
        {"capabilities: {tools: maybe}", "'tools'"},
        {"capabilities: {eyes: true}", "unknown key 'eyes'"},
        {"capabilities: [tools]", "capabilities"},
        {"capabilities: {embeddings: 0}", "'embeddings'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct loading l;
        char text[256];
        (void)snprintf(text, sizeof(text),
                       "backends: {a: {type: vllm, url: 'http://h:1', %s}}\n"
                       "models: {m: {tiers: [a]}}\n",
                       rows[i].value);
        load(&l, text);
        assert_int_not_equal(l.e, ERR_OK);
        if (!strstr(l.said, rows[i].said)) {
            print_error("%s: %s\n", rows[i].value, l.said);
            fail();
        }
        unload(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shorter_of_two_lengths_counts),
        cmocka_unit_test(told_is_told_either_way),
        cmocka_unit_test(asks_again_for_another_model_only),
        cmocka_unit_test(reads_what_is_configured),
        cmocka_unit_test(tells_what_is_wrong_with_it),
    };
    return cmocka_run_group_tests_name("offer", tests, NULL, NULL);
}
