#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/model_list.h"
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

static struct model_entry entry(const struct dialect *d, const char *body, const char *model)
{
    struct model_entry e;
    assert_int_equal(model_list_read(d, quotes(&arena, body), str_from(model), &e), ERR_OK);
    return e;
}

static uint64_t identity(const struct dialect *d, const char *body)
{
    return entry(d, body, "m").identity;
}

/* As a vLLM writes it; times and permissions change with each answer. */
#define VLLM(id, root, len, changing)                                              \
    "{'object':'list','data':[{'id':'" id "','object':'model','created':" changing \
    ",'owned_by':'vllm','root':'" root "','parent':null,'max_model_len':" len      \
    ",'permission':[{'id':'modelperm-" changing "','created':" changing "}]}]}"

static void a_model_keeps_its_identity(void **state)
{
    (void)state;
    uint64_t first = identity(&dialect_vllm, VLLM("m", "org/m", "1024", "1795230926"));
    assert_true(first != 0);
    assert_int_equal(identity(&dialect_vllm, VLLM("m", "org/m", "1024", "1795239999")), first);
}

static void another_model_under_the_same_name_shows(void **state)
{
    (void)state;
    uint64_t first = identity(&dialect_vllm, VLLM("m", "org/m", "1024", "1"));
    assert_true(identity(&dialect_vllm, VLLM("m", "org/m-v2", "1024", "1")) != first);
    assert_true(identity(&dialect_vllm, VLLM("m", "org/m", "2048", "1")) != first);
    assert_true(identity(&dialect_vllm, VLLM("n", "org/m", "1024", "1")) != first);
}

static void the_entry_of_that_name_counts(void **state)
{
    static const char TWO[] = "{'data':[{'id':'m','root':'a'},{'id':'n','root':'%c'}]}";
    (void)state;
    struct str one = arena_printf(&arena, TWO, 'b');
    struct str other = arena_printf(&arena, TWO, 'c');
    assert_int_equal(identity(&dialect_vllm, one.ptr), identity(&dialect_vllm, other.ptr));
    assert_true(entry(&dialect_vllm, one.ptr, "n").identity !=
                entry(&dialect_vllm, other.ptr, "n").identity);
}

/* llama.cpp serves whatever it has under any name. */
static void without_that_name_all_entries_count(void **state)
{
    static const char META[] = "{'models':[{'name':'x'}],'object':'list','data':[{'id':'x',"
                               "'created':%d,'meta':{'n_params':%d,'n_ctx':2048}}]}";
    (void)state;
    uint64_t first = identity(&dialect_llamacpp, arena_printf(&arena, META, 1, 135).ptr);
    assert_true(first != 0);
    assert_int_equal(identity(&dialect_llamacpp, arena_printf(&arena, META, 2, 135).ptr),
                     first);
    assert_true(identity(&dialect_llamacpp, arena_printf(&arena, META, 1, 136).ptr) != first);
    struct model_entry e =
        entry(&dialect_llamacpp, arena_printf(&arena, META, 1, 135).ptr, "x");
    assert_false(e.is_absent);
    assert_false(e.is_loaded);
    assert_int_equal(identity(&dialect_llamacpp, "{'data':[]}"), 0);
}

static void a_server_that_loads_at_need_says_what_it_has(void **state)
{
    static const struct {
        const char *status;
        bool is_loaded;
        bool is_absent;
    } rows[] = {{"{'value':'loaded'}", true, false},  {"{'value':'unloaded'}", false, true},
                {"{'value':'loading'}", false, true}, {"{'value':'sleeping'}", false, true},
                {"{'value':7}", false, false},        {"'loaded'", false, false}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str body =
            arena_printf(&arena, "{'data':[{'id':'m','status':%s}]}", rows[i].status);
        struct model_entry e = entry(&dialect_llamacpp, body.ptr, "m");
        if (e.is_loaded != rows[i].is_loaded || e.is_absent != rows[i].is_absent) {
            fail_msg("%s", rows[i].status);
        }
    }
}

#define PS(name, digest, expires)                                                 \
    "{'models':[{'name':'" name "','model':'" name "','size':5,'digest':'" digest \
    "','expires_at':'" expires "','size_vram':5}]}"

static void ollama_lists_what_is_in_memory(void **state)
{
    (void)state;
    struct model_entry e = entry(&dialect_ollama, PS("m", "abc", "t1"), "m");
    assert_true(e.is_loaded);
    assert_false(e.is_absent);
    assert_true(e.identity != 0);
    assert_int_equal(entry(&dialect_ollama, PS("m", "abc", "t2"), "m").identity, e.identity);
    assert_true(entry(&dialect_ollama, PS("m", "abd", "t1"), "m").identity != e.identity);
    e = entry(&dialect_ollama, PS("other", "abc", "t1"), "m");
    assert_true(e.is_absent);
    assert_false(e.is_loaded);
    assert_int_equal(e.identity, 0);
    assert_true(entry(&dialect_ollama, "{'models':[]}", "m").is_absent);
}

static void ollamas_tag_may_be_left_out(void **state)
{
    (void)state;
    assert_true(entry(&dialect_ollama, PS("m:latest", "a", "t"), "m").is_loaded);
    assert_true(entry(&dialect_ollama, PS("m:8b", "a", "t"), "m:8b").is_loaded);
    assert_true(entry(&dialect_ollama, PS("m:8b", "a", "t"), "m").is_absent);
    assert_true(entry(&dialect_ollama, PS("mm:latest", "a", "t"), "m").is_absent);
    assert_true(entry(&dialect_ollama, PS("m:latestx", "a", "t"), "m").is_absent);
    assert_true(entry(&dialect_ollama, PS("", "a", "t"), "m").is_absent);
}

static void refuses_what_is_no_list(void **state)
{
    static const char *const bodies[] = {
        "",           "nonsense",        "[]",        "7", "{}", "{'data':{}}",
        "{'data':7}", "{'status':'ok'}", "{'data':[}"};
    struct model_entry e;
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct str body = quotes(&arena, bodies[i]);
        assert_true(model_list_read(&dialect_vllm, body, STR("m"), &e) != ERR_OK);
        assert_true(model_list_read(&dialect_ollama, body, STR("m"), &e) != ERR_OK);
    }
    assert_int_equal(entry(&dialect_vllm, "{'data':[1,null,'m',[],{}]}", "m").is_loaded, false);
}

#define LIST_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIST_TEST(a_model_keeps_its_identity),
        LIST_TEST(another_model_under_the_same_name_shows),
        LIST_TEST(the_entry_of_that_name_counts),
        LIST_TEST(without_that_name_all_entries_count),
        LIST_TEST(a_server_that_loads_at_need_says_what_it_has),
        LIST_TEST(ollama_lists_what_is_in_memory),
        LIST_TEST(ollamas_tag_may_be_left_out),
        LIST_TEST(refuses_what_is_no_list),
    };
    return cmocka_run_group_tests_name("llm/model_list", tests, NULL, NULL);
}
