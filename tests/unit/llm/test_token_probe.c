#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/token_probe.h"
#include "wire/json.h"

static const struct dialect *dialect(const char *name)
{
    return dialect_find(str_from(name));
}

static struct str ask(const char *name, uint64_t salt, struct arena *a)
{
    struct rope body;
    token_probe_ask(dialect(name), STR("my/model"), salt, a, &body);
    return rope_join(&body, a);
}

static void assert_member(struct str object, const char *key, const char *value)
{
    struct str is = json_get(object, key);
    assert_true(str_eq(is, str_from(value)));
}

static void asks_for_one_token_of_that_model(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    struct str body = ask("vllm", 0x1234, &a);
    assert_member(body, "model", "\"my/model\"");
    assert_member(body, "max_tokens", "1");
    assert_member(body, "stream", "true");
    struct str text = json_path(body, "messages", "0", "content", NULL);
    assert_true(str_eq(text, STR("\"0000000000001234 Say yes.\"")));
    struct str other = ask("ollama", 0x1234, &a);
    assert_member(other, "model", "\"my/model\"");
    assert_true(str_eq(json_path(other, "options", "num_predict", NULL), STR("1")));
    arena_fini(&a);
}

static void each_salt_makes_another_prompt(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    assert_false(str_eq(ask("llamacpp", 1, &a), ask("llamacpp", 2, &a)));
    arena_fini(&a);
}

#define CHUNK(delta, finish)                                                  \
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{" \
    "\"index\":0,\"delta\":" delta ",\"finish_reason\":" finish "}]}\n\n"

static void judges_answers(void **state)
{
    (void)state;
    static const struct {
        const char *dialect;
        int status;
        const char *body;
        enum token_answer answer;
    } rows[] = {
        {"vllm", 200,
         CHUNK("{\"role\":\"assistant\",\"content\":\"\"}", "null")
             CHUNK("{\"content\":\"Y\"}", "null") CHUNK("{}", "\"length\"") "data: [DONE]\n\n",
         TOKEN_CAME},
        {"vllm", 200, CHUNK("{\"content\":\"Y\"}", "null"), TOKEN_CAME},
        {"vllm", 200, CHUNK("{\"content\":\"\"}", "\"stop\""), TOKEN_CAME},
        {"vllm", 200, CHUNK("{\"reasoning_content\":\"H\"}", "\"length\""), TOKEN_CAME},
        {"vllm", 200, CHUNK("{\"role\":\"assistant\",\"content\":\"\"}", "null"), TOKEN_NONE},
        {"vllm", 200, CHUNK("{\"content\":\"\"}", "\"abort\""), TOKEN_NONE},
        {"vllm", 200, "data: {\"error\":{\"message\":\"EngineCore\",\"code\":500}}\n\n",
         TOKEN_NONE},
        {"vllm", 200, "data: [DONE]\n\n", TOKEN_NONE},
        {"vllm", 200, "", TOKEN_NONE},
        {"vllm", 200, "data: <html>\n\n", TOKEN_NONE},
        {"ollama", 200,
         "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"Y\"},"
         "\"done\":false}\n",
         TOKEN_CAME},
        {"ollama", 200, "{\"error\":\"runner died\"}\n", TOKEN_NONE},
        {"vllm", 500, "{}", TOKEN_NONE},
        {"vllm", 503, "{}", TOKEN_NONE},
        {"llamacpp", 503, "{\"error\":{\"code\":503,\"message\":\"Loading model\"}}",
         TOKEN_LOADING},
        {"vllm", 429, "{}", TOKEN_BUSY},
        {"vllm", 400, "{}", TOKEN_REFUSED},
        {"vllm", 401, "{}", TOKEN_REFUSED},
        {"vllm", 404, "{}", TOKEN_REFUSED},
        {"vllm", 501, "{}", TOKEN_REFUSED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum token_answer answer = token_probe_answer(dialect(rows[i].dialect), rows[i].status,
                                                      str_from(rows[i].body));
        if (answer != rows[i].answer) {
            fail_msg("row %zu: %d", i, (int)answer);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_for_one_token_of_that_model),
        cmocka_unit_test(each_salt_makes_another_prompt),
        cmocka_unit_test(judges_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
