#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/model_list.h"
#include "llm/model_offer.h"
#include "llm/ollama.h"
#include "llm/openai.h"
#include "quotes.h"

static struct arena arena;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static struct model_offer offer(const struct dialect *d, const char *body)
{
    struct model_offer o = {.context = 77};
    assert_int_equal(model_offer_read(d, quotes(&arena, body), &o), ERR_OK);
    return o;
}

/* As a llama.cpp server answers GET /props, shortened. */
#define PROPS(vision, tools)                                                              \
    "{'default_generation_settings':{'params':{'n_predict':-1},'n_ctx':2048},"            \
    "'total_slots':2,'model_alias':'m','modalities':{'vision':" vision ",'audio':false}," \
    "'chat_template_caps':{'supports_system_role':true,'supports_tools':" tools "},"      \
    "'build_info':'b0-unknown','is_sleeping':false}"

static void reads_what_llama_cpp_tells(void **state)
{
    (void)state;
    struct model_offer o = offer(&dialect_llamacpp, PROPS("false", "false"));
    assert_int_equal(o.context, 2048); /* of one slot */
    assert_int_equal(o.vision, TOLD_NO);
    assert_int_equal(o.tools, TOLD_NOTHING); /* it then describes them itself */
    o = offer(&dialect_llamacpp, PROPS("true", "true"));
    assert_int_equal(o.vision, TOLD_YES);
    assert_int_equal(o.tools, TOLD_YES);
}

static void older_servers_tell_less(void **state)
{
    (void)state;
    struct model_offer o = offer(
        &dialect_llamacpp, "{'default_generation_settings':{'n_ctx':512},'total_slots':1}");
    assert_int_equal(o.context, 512);
    assert_int_equal(o.vision, TOLD_NOTHING);
    o = offer(&dialect_ollama, "{'modelfile':'FROM x','details':{}}");
    assert_int_equal(o.context, 0);
    assert_int_equal(o.tools, TOLD_NOTHING);
}

/* As Ollama answers POST /api/show, shortened. */
#define SHOW(parameters, capabilities)                                                      \
    "{'license':'…','parameters':'" parameters "','template':'{{ .Prompt }}','details':{}," \
    "'model_info':{'general.architecture':'llama','llama.attention.head_count':32,"         \
    "'llama.context_length':131072,'llama.embedding_length':4096},"                         \
    "'capabilities':" capabilities "}"

static void reads_what_ollama_tells(void **state)
{
    (void)state;
    struct model_offer o = offer(&dialect_ollama, SHOW("", "['completion','tools']"));
    assert_int_equal(o.context, 131072);
    assert_int_equal(o.embeddings, 4096);
    assert_int_equal(o.tools, TOLD_YES);
    assert_int_equal(o.vision, TOLD_NO);
    o = offer(&dialect_ollama,
              SHOW("stop      \\'<|x|>\\'\\nnum_ctx                        8192\\ntop_k 4",
                   "['completion','vision']"));
    assert_int_equal(o.context, 8192);
    assert_int_equal(o.tools, TOLD_NO);
    assert_int_equal(o.vision, TOLD_YES);
}

static void takes_no_nonsense(void **state)
{
    static const char *const bodies[] = {"", "[]", "7", "{", "null"};
    (void)state;
    struct model_offer o = {.context = 77};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        assert_true(model_offer_read(&dialect_ollama, quotes(&arena, bodies[i]), &o) != ERR_OK);
    }
    assert_int_equal(o.context, 77);
    assert_int_equal(model_offer_read(&dialect_vllm, STR("{}"), &o), ERR_UNSUPPORTED);
    static const char *const numbers[] = {"-1", "1.5", "'8192'", "99999999999", "null", "{}"};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_int_equal(model_offer_number(quotes(&arena, numbers[i])), 0);
    }
    assert_int_equal(offer(&dialect_llamacpp, "{'default_generation_settings':[]}").context, 0);
    assert_int_equal(offer(&dialect_ollama, "{'model_info':7,'parameters':[]}").context, 0);
}

static void knows_where_to_ask(void **state)
{
    (void)state;
    struct str body = model_offer_body(&dialect_ollama, STR("a\"b"), &arena);
    assert_string_equal(model_offer_path(&dialect_llamacpp), "/props");
    assert_string_equal(model_offer_path(&dialect_ollama), "/api/show");
    assert_null(model_offer_path(&dialect_vllm));
    assert_null(model_offer_path(&dialect_openai));
    assert_int_equal(model_offer_body(&dialect_llamacpp, STR("m"), &arena).len, 0);
    assert_true(str_eq(body, STR("{\"model\":\"a\\\"b\"}")));
}

static struct model_entry entry(const struct dialect *d, const char *body)
{
    struct model_entry e;
    assert_int_equal(model_list_read(d, quotes(&arena, body), STR("m"), &e), ERR_OK);
    return e;
}

static void the_list_of_models_tells_some_of_it(void **state)
{
    (void)state;
    struct model_entry e = entry(&dialect_vllm, "{'data':[{'id':'m','max_model_len':1024},"
                                                "{'id':'other','max_model_len':512}]}");
    assert_int_equal(e.context, 1024);
    e = entry(&dialect_ollama, "{'models':[{'name':'m:latest','context_length':4096}]}");
    assert_int_equal(e.context, 4096);
    e = entry(&dialect_llamacpp,
              "{'data':[{'id':'x','meta':{'n_ctx_train':8192,'n_embd':576}}]}");
    assert_int_equal(e.context, 0);
    assert_int_equal(e.embeddings, 576);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_what_llama_cpp_tells, begin, end),
        cmocka_unit_test_setup_teardown(older_servers_tell_less, begin, end),
        cmocka_unit_test_setup_teardown(reads_what_ollama_tells, begin, end),
        cmocka_unit_test_setup_teardown(takes_no_nonsense, begin, end),
        cmocka_unit_test_setup_teardown(knows_where_to_ask, begin, end),
        cmocka_unit_test_setup_teardown(the_list_of_models_tells_some_of_it, begin, end),
    };
    return cmocka_run_group_tests_name("model_offer", tests, NULL, NULL);
}
