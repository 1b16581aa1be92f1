#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tiers/catalog.h"

static const struct str aliases_a[] = {STR_INIT("gpt-4o"), STR_INIT("gpt-4o-mini")};
static const struct str aliases_b[] = {STR_INIT("nano")};
static const struct model models[] = {
    {.index = 0, .name = STR_INIT("big"), .aliases = aliases_a, .alias_count = 2},
    {.index = 1, .name = STR_INIT("any"), .is_wildcard = true},
    {.index = 2, .name = STR_INIT("small"), .aliases = aliases_b, .alias_count = 1},
};
static const struct backend backends[] = {
    {.index = 0, .name = STR_INIT("gpu1")},
    {.index = 1, .name = STR_INIT("gpu2")},
};

static void expect_model(struct str name, const char *expected)
{
    const struct catalog c = {.models = models, .model_count = 3};
    const struct model *m = catalog_find_model(&c, name);
    assert_non_null(m);
    assert_true(str_eq(m->name, str_from(expected)));
}

static void finds_a_model_by_its_name(void **state)
{
    (void)state;
    expect_model(STR("big"), "big");
    expect_model(STR("small"), "small");
    expect_model(STR("any"), "any");
}

static void finds_a_model_by_each_alias(void **state)
{
    (void)state;
    expect_model(STR("gpt-4o"), "big");
    expect_model(STR("gpt-4o-mini"), "big");
    expect_model(STR("nano"), "small");
}

static void gives_unclaimed_names_to_the_wildcard_model(void **state)
{
    (void)state;
    expect_model(STR("unheard-of"), "any");
    expect_model(STR("gpt-4"), "any");
    expect_model(STR("BIG"), "any");
    expect_model(STR("*"), "any");
    expect_model(STR(""), "any");
}

static void finds_no_model_without_a_wildcard(void **state)
{
    (void)state;
    const struct catalog one = {.models = models, .model_count = 1};
    const struct catalog none = {0};
    assert_null(catalog_find_model(&one, STR("small")));
    assert_null(catalog_find_model(&one, STR("")));
    assert_null(catalog_find_model(&none, STR("big")));
}

static void finds_a_backend_by_its_exact_name(void **state)
{
    (void)state;
    const struct catalog c = {.backends = backends, .backend_count = 2};
    assert_ptr_equal(catalog_find_backend(&c, STR("gpu2")), &backends[1]);
    assert_ptr_equal(catalog_find_backend(&c, STR("gpu1")), &backends[0]);
    assert_null(catalog_find_backend(&c, STR("gpu")));
    assert_null(catalog_find_backend(&c, STR("gpu11")));
    assert_null(catalog_find_backend(&c, STR("")));
}

static void names_every_backend_type(void **state)
{
    (void)state;
    assert_string_equal(backend_type_name(BACKEND_VLLM), "vllm");
    assert_string_equal(backend_type_name(BACKEND_OLLAMA), "ollama");
    assert_string_equal(backend_type_name(BACKEND_LLAMACPP), "llamacpp");
    assert_string_equal(backend_type_name(BACKEND_OPENAI), "openai");
    assert_string_equal(backend_type_name(BACKEND_ANTHROPIC), "anthropic");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_a_model_by_its_name),
        cmocka_unit_test(finds_a_model_by_each_alias),
        cmocka_unit_test(gives_unclaimed_names_to_the_wildcard_model),
        cmocka_unit_test(finds_no_model_without_a_wildcard),
        cmocka_unit_test(finds_a_backend_by_its_exact_name),
        cmocka_unit_test(names_every_backend_type),
    };
    return cmocka_run_group_tests_name("tiers/catalog", tests, NULL, NULL);
}
