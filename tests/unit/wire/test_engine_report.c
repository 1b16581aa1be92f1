#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "wire/engine_report.h"

static const struct engine_source *source(const char *dialect, const char *path)
{
    size_t count;
    const struct engine_source *s = engine_sources(str_from(dialect), &count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(s[i].path, path) == 0) {
            return &s[i];
        }
    }
    fail_msg("%s has no %s", dialect, path);
    abort();
}

static struct engine_report read_well(const char *dialect, const char *path, const char *body)
{
    struct engine_report r;
    assert_int_equal(source(dialect, path)->read(str_from(body), &r), ERR_OK);
    return r;
}

static void vllm_tells_it_in_its_metrics(void **state)
{
    (void)state;
    /* Cut from a real 0.32.0. */
    struct engine_report r = read_well(
        "vllm", "/metrics",
        "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
        "# TYPE vllm:num_requests_running gauge\n"
        "vllm:num_requests_running{engine=\"0\",model_name=\"tiny\"} 2.0\n"
        "vllm:num_requests_waiting{engine=\"0\",model_name=\"tiny\"} 3.0\n"
        "vllm:num_requests_waiting_by_reason{engine=\"0\",reason=\"capacity\"} 9.0\n"
        "vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"tiny\"} 0.4562\n"
        "vllm:prompt_tokens_total{engine=\"0\",model_name=\"tiny\"} 130.0\n"
        "vllm:generation_tokens_total{engine=\"0\",model_name=\"tiny\"} 2461.0\n");
    assert_int_equal(r.running, 2);
    assert_int_equal(r.waiting, 3);
    assert_int_equal(r.generated, 2461);
    assert_int_equal(r.prompt, 130);
    assert_true(r.has_kv);
    assert_int_equal(r.kv_permille, 456);
    assert_int_equal(r.slots, 0);
    assert_false(r.may_prefill);
}

static void several_engines_are_added_up(void **state)
{
    (void)state;
    struct engine_report r = read_well("vllm", "/metrics",
                                       "vllm:num_requests_running{engine=\"0\"} 2\n"
                                       "vllm:num_requests_running{engine=\"1\"} 5\n"
                                       "vllm:gpu_cache_usage_perc{engine=\"0\"} 0.9\n"
                                       "vllm:gpu_cache_usage_perc{engine=\"1\"} 0.1\n"
                                       "vllm:generation_tokens_total{engine=\"0\"} 7e3\n"
                                       "vllm:generation_tokens_total{engine=\"1\"} 1\n");
    assert_int_equal(r.running, 7);
    assert_int_equal(r.kv_permille, 900);
    assert_int_equal(r.generated, 7001);
}

static void figures_out_of_range_are_bounded(void **state)
{
    (void)state;
    struct engine_report r = read_well("vllm", "/metrics",
                                       "vllm:num_requests_running 1e300\n"
                                       "vllm:num_requests_waiting -4\n"
                                       "vllm:kv_cache_usage_perc 55\n"
                                       "vllm:generation_tokens_total 1e300\n");
    assert_int_equal(r.running, UINT32_MAX / 2);
    assert_int_equal(r.waiting, 0);
    assert_int_equal(r.kv_permille, 1000);
    assert_int_equal(r.generated, UINT64_C(1) << 52);
}

static void other_metrics_are_none(void **state)
{
    (void)state;
    struct engine_report r;
    assert_int_equal(source("vllm", "/metrics")->read(STR("up 1\n"), &r), ERR_TYPE);
    assert_int_equal(source("vllm", "/metrics")->read(STR("<html></html>"), &r), ERR_TYPE);
    assert_int_equal(source("llamacpp", "/metrics")->read(STR(""), &r), ERR_TYPE);
}

static void llama_cpp_tells_it_in_its_metrics_too(void **state)
{
    (void)state;
    struct engine_report r = read_well("llamacpp", "/metrics",
                                       "llamacpp:prompt_tokens_total 1231\n"
                                       "llamacpp:prompt_tokens_cached_total 8\n"
                                       "llamacpp:tokens_predicted_total 60\n"
                                       "llamacpp:n_decode_total 61\n"
                                       "llamacpp:requests_processing 1\n"
                                       "llamacpp:requests_deferred 4\n");
    assert_int_equal(r.prompt, 1231);
    assert_int_equal(r.generated, 60);
    assert_int_equal(r.steps, 61);
    assert_int_equal(r.running, 1);
    assert_int_equal(r.waiting, 4);
    assert_true(r.may_prefill);
    assert_false(r.has_kv);
}

static void llama_cpp_tells_it_best_by_its_slots(void **state)
{
    (void)state;
    size_t count;
    assert_string_equal(engine_sources(STR("llamacpp"), &count)[0].path, "/slots");
    /* From a real server, shortened. */
    struct engine_report r = read_well(
        "llamacpp", "/slots",
        "[{\"id\":0,\"n_ctx\":2048,\"speculative\":false,\"is_processing\":false},"
        "{\"id\":1,\"n_ctx\":2048,\"is_processing\":true,\"id_task\":1,\"n_prompt_tokens\":31,"
        "\"n_prompt_tokens_processed\":31,\"params\":{\"stream\":false,\"n_decoded\":4},"
        "\"next_token\":[{\"has_next_token\":true,\"n_remain\":60,\"n_decoded\":17}]},"
        "{\"id\":2,\"is_processing\":true,\"n_prompt_tokens_processed\":5,"
        "\"next_token\":{\"n_decoded\":3}},"
        "{\"id\":3,\"is_processing\":false,\"n_prompt_tokens_processed\":500,"
        "\"next_token\":[{\"n_decoded\":50}]}]");
    assert_int_equal(r.slots, 4);
    assert_int_equal(r.running, 2);
    assert_int_equal(r.generated, 20);
    assert_int_equal(r.prompt, 36);
    assert_false(r.may_prefill);
}

static void a_slot_that_has_made_nothing_yet_may_be_at_its_prompt(void **state)
{
    (void)state;
    struct engine_report r = read_well(
        "llamacpp", "/slots", "[{\"is_processing\":true,\"next_token\":[{\"n_decoded\":0}]}]");
    assert_true(r.may_prefill);
    r = read_well("llamacpp", "/slots", "[{\"is_processing\":true,\"next_token\":[]}]");
    assert_true(r.may_prefill);
}

static void other_json_is_no_list_of_slots(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "", "[]", "{}", "[1]", "[{}", "null", "{\"error\":{\"code\":501}}"};
    struct engine_report r;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(source("llamacpp", "/slots")->read(str_from(rows[i]), &r), ERR_TYPE);
    }
}

static void the_others_tell_nothing(void **state)
{
    (void)state;
    size_t count = 9;
    assert_null(engine_sources(STR("openai"), &count));
    assert_int_equal(count, 0);
    assert_null(engine_sources(STR("ollama"), &count));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vllm_tells_it_in_its_metrics),
        cmocka_unit_test(several_engines_are_added_up),
        cmocka_unit_test(figures_out_of_range_are_bounded),
        cmocka_unit_test(other_metrics_are_none),
        cmocka_unit_test(llama_cpp_tells_it_in_its_metrics_too),
        cmocka_unit_test(llama_cpp_tells_it_best_by_its_slots),
        cmocka_unit_test(a_slot_that_has_made_nothing_yet_may_be_at_its_prompt),
        cmocka_unit_test(other_json_is_no_list_of_slots),
        cmocka_unit_test(the_others_tell_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
