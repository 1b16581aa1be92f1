#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "settings_loading.h"

struct mistake {
    const char *text;  /* of the file; that of SMALL is added when `is_more` */
    const char *piece; /* of what is said */
};

static void assert_mistake(const struct mistake *m, bool is_more)
{
    char text[4096];
    struct loading l;
    (void)snprintf(text, sizeof(text), "%s%s", m->text, is_more ? SMALL : "");
    load(&l, text);
    if (l.e == ERR_OK || !strstr(l.said, m->piece)) {
        print_error("'%s' is not said of '%s', but:\n%s\n", m->piece, m->text, l.said);
        fail();
    }
    unload(&l);
}

static void refuses_wrong_values_of_the_root(void **state)
{
    static const struct mistake CASES[] = {
        {"listn: x\n", ":1:1: error: unknown key 'listn' in the configuration; did you mean "
                       "'listen'?\n"},
        {"breaker: {trial: 99ms}\n", ":1:18: error: 'trial' must be"},
        {"breaker: {dwell: 11m}\n", "'dwell' must be from 0ms to 10m, not '11m'"},
        {"breaker: {half_open: 1s}\n", ":1:11: error: unknown key 'half_open' in 'breaker'"},
        {"panic: maybe\n", ":1:8: error: 'panic' must be true or false, not 'maybe'"},
        {"history: [x]\n", ":1:10: error: expected a path, or a mapping of path, keep, "
                           "max_size and settle, not a list\n"},
        {"history: {path: x, keep: 1ms}\n", ":1:26: error: 'keep' must be from 1s to"},
        {"history: {max_size: 1k}\n", "'max_size' must be from 1m to"},
        {"streams: {hold_tool_calls: 3}\n",
         ":1:28: error: 'hold_tool_calls' must be true or false, not '3'\n"},
        {"workers: 0\n", ":1:10: error: 'workers' must be auto or from 1 to 256, not '0'\n"},
        {"workers: 257\n", "'workers' must be auto or from 1 to 256, not '257'\n"},
        {"workers: many\n", "'workers' must be auto or from 1 to 256, not 'many'\n"},
        {"workers: [1]\n", ":1:10: error: expected a value, got a list\n"},
        {"listen: []\n", "'listen' must have from 1 to 64 addresses\n"},
        {"listen: nowhere\n", ":1:9: error: 'nowhere' is no address"},
        {"listen: [127.0.0.1:80, 127.0.0.1:99999]\n", ":1:24: error: '127.0.0.1:99999' is no"},
        {"listen: [127.0.0.1:80, 127.0.0.1:80]\n",
         ":1:24: error: '127.0.0.1:80' is listed twice"},
        {"listen: 0.0.0.0:80\n", ":1:9: error: others can reach '0.0.0.0:80': without 'keys'"},
        {"listen: [127.0.0.1:80, \"[::]:80\"]\n", ":1:24: error: others can reach '[::]:80'"},
        {"listen:\n", "expected a value, got nothing"},
        {"listen: {a: b}\n", "expected a value, got a mapping"},
        {"admin: 192.168.0.1:80\n", ":1:8: error: others can reach '192.168.0.1:80': 'admin'"},
        {"admin: 127.0.0.1:8400\n",
         ":1:8: error: 'listen' and 'admin' cannot share an address"},
        {"listen: 127.0.0.1:8401\n",
         ":1:9: error: 'listen' and 'admin' cannot share an address"},
        {"admin_token: \"two words\"\n", ":1:14: error: a key must be visible ASCII"},
        {"admin_token: \"\"\n", "'admin_token' must not be empty\n"},
        {"keys: []\n", ":1:7: error: 'keys' must have from 1 to 4096 entries"},
        {"keys: web\n", ":1:7: error: 'keys' must be a list"},
        {"keys: [abc]\n", "expected a mapping (a key), got a single value"},
        {"keys: [{name: web}]\n", ":1:8: error: a key needs 'key'\n"},
        {"keys: [{key: abcdefgh}]\n", ":1:8: error: a key needs 'name'\n"},
        {"keys: [{name: a, key: abcdefgh}, {name: a, key: bcdefghi}]\n",
         ":1:34: error: two keys have the name 'a'\n"},
        {"keys: [{name: a, key: abcdefgh}, {name: b, key: abcdefgh}]\n",
         ":1:34: error: the same key as that of 'a'\n"},
        {"tls: {cert: x}\n", ":1:6: error: 'tls' needs 'key'\n"},
        {"tls: {key: x}\n", ":1:6: error: 'tls' needs 'cert'\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_mistake(&CASES[i], true);
    }
}

static void refuses_wrong_values_of_the_sections(void **state)
{
    static const struct mistake CASES[] = {
        {"limits: {header: 1g}\n", "'header' must be from 1k to 1m, not '1g'\n"},
        {"limits: {connections: 0}\n", "'connections' must be from 1 to 1000000, not '0'\n"},
        {"log: {level: loud}\n",
         "'level' must be debug, info, warn, error or off, not 'loud'\n"},
        {"log: {format: xml}\n", "'format' must be logfmt or json, not 'xml'\n"},
        {"annotate: yes\n", "'annotate' must be body, headers or off, not 'yes'\n"},
        {"streams: {upstream: often}\n",
         "'upstream' must be auto, always or never, not 'often'\n"},
        {"health: {interval: 10}\n", ":1:20: error: 'interval' must be a duration"},
        {"health: {down_after: 0}\n", "'down_after' must be from 1 to 100, not '0'\n"},
        {"health: often\n", ":1:9: error: expected a mapping ('health'), got a single value\n"},
        {"deadlines: {total: 25h}\n", "'total' must be from 1ms to 24h, not '25h'\n"},
        {"deadlines: {frist_token: 1s}\n", "did you mean 'first_token'?\n"},
        {"retry: {on: 500}\n", ":1:13: error: 'on' must be a list of 429, 500 and reset"},
        {"retry: {on: [503]}\n", ":1:14: error: 'on' knows 429, 500 and reset, not '503'\n"},
        {"retry: {same_backend: 6}\n", "'same_backend' must be from 0 to 5, not '6'\n"},
        {"load: {policy: random}\n",
         "'policy' must be least_load, round_robin, weighted, prefix "
         "or session, not 'random'\n"},
        {"load: {session_header: 'a b'}\n",
         "'session_header' must be the name of a header, not 'a b'\n"},
        {"load: {prefix: 0}\n", "'prefix' must be from 1 to 1m, not '0'\n"},
        {"queue: {max: -1}\n", "'max' must be"},
        {"queue: {wait: 0}\n", "'wait' must be from 1ms to 24h, not '0'\n"},
        {"queue: off\n", ":1:8: error: expected a mapping ('queue'), got a single value\n"},
        {"hedge: on\n", "expected off, or a mapping of after and max_share, not 'on'\n"},
        {"hedge: {after: p100}\n", ":1:16: error: 'after' must be a percentile from p1 to p99 "
                                   "or a duration up to 1h, not "
                                   "'p100'\n"},
        {"hedge: {after: p0}\n", "up to 1h, not 'p0'\n"},
        {"hedge: {after: 0}\n", "up to 1h, not '0'\n"},
        {"hedge: {after: 2h}\n", "up to 1h, not '2h'\n"},
        {"hedge: {max_share: 101%}\n", "'max_share' must be from 0% to 100%, not '101%'\n"},
        {"hedge: {share: 5%}\n", "unknown key 'share' in 'hedge'"},
        {"retry: {budget: 20%}\n",
         ":1:17: error: expected off, or a mapping of share and per_second, not '20%'\n"},
        {"retry: {budget: {share: 20}}\n",
         ":1:25: error: 'share' must be a percentage such as 20% or 2.5%, not '20'\n"},
        {"retry: {budget: {share: 101%}}\n",
         ":1:25: error: 'share' must be from 0% to 100%, not '101%'\n"},
        {"retry: {budget: {per_secnd: 1}}\n", "did you mean 'per_second'?\n"},
        {"degrade: {vlm: {}}\n", ":1:11: error: 'degrade' has an entry per backend type"},
        {"degrade: off\n", ":1:10: error: expected a mapping from backend types"},
        {"degrade: {vllm: on}\n", ":1:17: error: expected off, or a mapping"},
        {"degrade: {vllm: {temperature: 3}}\n", "'temperature' must be from 0 to 2, not '3'\n"},
        {"degrade: {vllm: {max_tokens: 0}}\n", "'max_tokens' must be from 1 to 1000000000"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_mistake(&CASES[i], true);
    }
}

#define MODELS "\nmodels: {m: {tiers: [a]}}\n"

static void refuses_wrong_backends(void **state)
{
    static const struct mistake CASES[] = {
        {"models: {m: {tiers: [a]}}\n", ":1:1: error: the configuration needs 'backends'\n"},
        {"backends: {}" MODELS, ":1:11: error: 'backends' must name at least one"},
        {"backends:" MODELS, ":1:1: error: 'backends' must name at least one"},
        {"backends: [a]" MODELS, "'backends' must name at least one"},
        {"backends: {a: }" MODELS,
         ":1:12: error: expected a mapping (a backend), got nothing\n"},
        {"backends: {a: {}}" MODELS, ":1:15: error: a backend needs 'type'\n"},
        {"backends: {a: {type: vllm}}" MODELS, ":1:15: error: a backend needs 'url'\n"},
        {"backends: {a: {type: vlm, url: http://h}}" MODELS,
         "'type' must be vllm, ollama, llamacpp, openai or anthropic, not 'vlm'\n"},
        {"backends: {a: {type: vllm, url: h:80}}" MODELS, ":1:33: error: 'url' is no URL"},
        {"backends: {a: {type: vllm, url: ftp://h}}" MODELS, ":1:33: error: 'url' is no URL"},
        {"backends: {a: {type: vllm, url: 'http://h:0'}}" MODELS, "'url' is no URL"},
        {"backends: {a: {type: vllm, url: http://u@h}}" MODELS, "'url' is no URL"},
        {"backends: {a: {type: vllm, url: \"http://h/a\\r\\nb\"}}" MODELS, "'url' is no URL"},
        {"backends: {a b: {type: vllm, url: http://h}}" MODELS,
         ":1:12: error: a backend's name"},
        {"backends: {a: {type: vllm, url: http://h, weight: 0}}" MODELS,
         "'weight' must be from 1 to 1000, not '0'\n"},
        {"backends: {a: {type: vllm, url: http://h, max_concurrent: 0}}" MODELS,
         "'max_concurrent' must be from 1 to 1000000, not '0'\n"},
        {"backends: {a: {type: vllm, url: http://h, agent: 3}}" MODELS,
         ":1:50: error: 'url' is no URL such as http://host:8402"},
        {"backends: {a: {type: vllm, url: http://h, guard: {token: abcdefgh}}}" MODELS,
         ":1:50: error: a backend's 'guard' needs 'url'\n"},
        {"backends: {a: {type: vllm, url: http://h, guard: {url: http://h, gpus: [0]}}}" MODELS,
         ":1:66: error: unknown key 'gpus' in a backend's 'guard'"},
        {"backends: {a: {type: vllm, url: http://h, agent: {url: http://h, gpus: 0}}}" MODELS,
         ":1:72: error: 'gpus' must be a list of 1 to 64 indexes or UUIDs\n"},
        {"backends: {a: {type: vllm, url: http://h, agent: {url: http://h, gpus: "
         "[[0]]}}}" MODELS,
         ":1:73: error: expected a value, got a list\n"},
        {"backends: {a: {type: vllm, url: http://h, agent: {url: http://h, token: \"a "
         "b\"}}}" MODELS,
         ":1:73: error: a token must be visible ASCII without spaces\n"},
        {"backends: {a: {type: vllm, url: http://h, agent: {url: http://h, ca: x.pem}}}" MODELS,
         ":1:50: error: 'ca' needs an https url\n"},
        {"backends: {a: {type: vllm, url: http://h, agent: {url: http://h, interval: "
         "9ms}}}" MODELS,
         ":1:76: error: 'interval' must be from 50ms to 1m, not '9ms'\n"},
        {"backends: {a: {type: vllm, url: http://h, agent: http://h, dcgm: http://h}}" MODELS,
         ":1:66: error: 'agent' and 'dcgm' exclude each other\n"},
        {"backends: {a: {type: vllm, ulr: http://h}}" MODELS,
         ":1:28: error: unknown key 'ulr' in a backend; did you mean 'url'?\n"},
        {"backends: {a: {type: vllm, url: http://h, tls: {ca: x}}}" MODELS,
         "'tls' needs an https url\n"},
        {"backends: {a: {type: vllm, url: https://h, tls: {cert: x}}}" MODELS,
         "'cert' and 'key' go together\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_mistake(&CASES[i], false);
    }
}

static void refuses_wrong_details_of_backends(void **state)
{
    static const struct mistake CASES[] = {
        {"backends: {a: {type: vllm, url: http://h, headers: x}}" MODELS,
         "'headers' must be a mapping of names to values"},
        {"backends: {a: {type: vllm, url: http://h, headers: {a b: x}}}" MODELS,
         "'a b' cannot be the name of a header\n"},
        {"backends: {a: {type: vllm, url: http://h, headers: {\"a\\n\": x}}}" MODELS,
         "'a?' cannot be the name of a header\n"},
        {"backends: {a: {type: vllm, url: http://h, headers: {HOST: x}}}" MODELS,
         "header 'HOST' is set by fallthrough itself\n"},
        {"backends: {a: {type: vllm, url: http://h, headers: {Transfer-Encoding: x}}}" MODELS,
         "header 'Transfer-Encoding' is set by fallthrough itself\n"},
        {"backends: {a: {type: vllm, url: http://h, headers: {content-length: 1}}}" MODELS,
         "header 'content-length' is set by fallthrough itself\n"},
        {"backends: {a: {type: vllm, url: http://h, headers: {x: \"a\\r\\nb: c\"}}}" MODELS,
         "the value of header 'x' must be one line"},
        {"backends: {a: {type: vllm, url: http://h, headers: {x: a, X: b}}}" MODELS,
         "header 'X' is given twice\n"},
        {"backends: {a: {type: vllm, url: http://h, api_key: k, headers: {authorization: "
         "x}}}" MODELS,
         "header 'Authorization' and 'api_key' exclude each other\n"},
        {"backends: {a: {type: vllm, url: http://h, api_key: a b}}" MODELS,
         "an API key must be visible ASCII without spaces\n"},
        {"backends: {a: {type: vllm, url: http://h, api_key: {file: /nonexistent}}}" MODELS,
         "file '/nonexistent': No such file or directory\n"},
        {"backends: {a: {type: vllm, url: http://h}, a: {type: vllm, url: http://h}}" MODELS,
         "key 'a' is given twice, before on line 1\n"},
        {"backends: {a: {type: vllm, url: http://h, min_tokens_per_second: 0}}" MODELS,
         ":1:66: error: 'min_tokens_per_second' must be a number from 0.1 to 100000, not "
         "'0'\n"},
        {"backends: {a: {type: vllm, url: http://h, min_tokens_per_second: fast}}" MODELS,
         "'min_tokens_per_second' must be a number from 0.1 to 100000, not 'fast'\n"},
        {"backends: {a: {type: vllm, url: http://h, min_tokens_per_second: 100001}}" MODELS,
         "'min_tokens_per_second' must be a number from 0.1 to 100000, not '100001'\n"},
        {"backends: {a: {type: vllm, url: http://h, min_tokens_per_second: }}" MODELS,
         "expected a value, got nothing\n"},
        {"backends: {a: {type: vllm, url: http://h, retry: {budget: off}}}" MODELS,
         ":1:51: error: unknown key 'budget' in a backend's 'retry'\n"},
        {"backends: {a: {type: vllm, url: http://h, health: {interval: 1ms}}}" MODELS,
         "'interval' must be from 100ms to 1h, not '1ms'\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_mistake(&CASES[i], false);
    }
}

#define BACKENDS                                                                 \
    "backends: {gpu1: {type: vllm, url: 'http://h:1'}, gpu2: {type: vllm, url: " \
    "'http://h:2'}}\n"

static void refuses_wrong_models(void **state)
{
    static const struct mistake CASES[] = {
        {BACKENDS, ":1:1: error: the configuration needs 'models'\n"},
        {BACKENDS "models: {}", ":2:9: error: 'models' must name at least one"},
        {BACKENDS "models: {m: }", ":2:10: error: expected a mapping (a model), got nothing\n"},
        {BACKENDS "models: {m: {}}", ":2:13: error: a model needs 'tiers'\n"},
        {BACKENDS "models: {m: {tiers: []}}", ":2:21: error: 'tiers' must be a list"},
        {BACKENDS "models: {m: {tiers: gpu1}}", ":2:21: error: 'tiers' must be a list"},
        {BACKENDS "models: {m: {tiers: [{}]}}", ":2:22: error: a tier without a backend\n"},
        {BACKENDS "models: {m: {tiers: [[]]}}", ":2:22: error: a tier without a backend\n"},
        {BACKENDS "models: {m: {tiers: [[[gpu1]]]}}", "a list within the list of a tier\n"},
        {BACKENDS "models: {m: {tiers: [gpu3]}}",
         ":2:22: error: unknown backend 'gpu3'; did you mean 'gpu1'?\n"},
        {BACKENDS "models: {m: {tiers: [gqu2: x]}}",
         ":2:22: error: unknown backend 'gqu2'; did you mean 'gpu2'?\n"},
        {BACKENDS "models: {m: {tiers: [elsewhere]}}",
         ":2:22: error: unknown backend 'elsewhere'\n"},
        {BACKENDS "models: {m: {tiers: [gpu1, gpu1: x]}}",
         ":2:28: error: backend 'gpu1' is in this model's tiers twice\n"},
        {BACKENDS "models: {m: {tiers: [gpu1: ]}}", "expected a value, got nothing\n"},
        {BACKENDS "models: {m: {tiers: [gpu1: \"\"]}}",
         "a model's name has from 1 to 256 bytes"},
        {BACKENDS "models: {m: {tiers: [gpu1: \"a\\n\"]}}", "a model's name has from 1 to 256"},
        {BACKENDS "models: {m: {tiers: [gpu1], aliases: x}}", "'aliases' must be a list"},
        {BACKENDS "models: {m: {tiers: [gpu1], aliases: [x, x]}}",
         ":2:42: error: alias 'x' is claimed already on line 2\n"},
        {BACKENDS "models: {m: {tiers: [gpu1], aliases: [m]}}",
         ":2:39: error: alias 'm' is the name of the model on line 2\n"},
        {BACKENDS "models:\n  m: {tiers: [gpu1], aliases: [n]}\n  n: {tiers: [gpu1]}\n",
         ":3:32: error: alias 'n' is the name of the model on line 4\n"},
        {BACKENDS "models:\n  m: {tiers: [gpu1], aliases: [\"*\"]}\n"
                  "  n: {tiers: [gpu1], aliases: ['*']}\n",
         ":4:32: error: alias '*' is claimed already on line 3\n"},
        {BACKENDS "models: {\"*\": {tiers: [gpu1]}}", "'*' is an alias, not a model's name\n"},
        {BACKENDS "models: {m: {tiers: [gpu1], retry: {backoff: 1s}}}",
         ":2:37: error: unknown key 'backoff' in a model's 'retry'\n"},
        {BACKENDS "models: {m: {tiers: [gpu1], streams: off}}",
         ":2:38: error: expected a mapping ('streams'), got a single value\n"},
        {BACKENDS "models: {m: {tiers: [gpu1], streams: {resume: maybe}}}",
         ":2:47: error: 'resume' must be exact, any or off, not 'maybe'\n"},
        {BACKENDS "models: {m: {tiers: [gpu1], streams: {keep_alive: 2h}}}",
         ":2:51: error: 'keep_alive' must be from 0ms to 1h, not '2h'\n"},
        {BACKENDS "models: {m: {tiers: [gpu1], streams: {resum: any}}}",
         "unknown key 'resum' in 'streams'; did you mean 'resume'?\n"},
        {BACKENDS "models: {m: {tires: [gpu1]}}", "did you mean 'tiers'?\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_mistake(&CASES[i], false);
    }
}

static void finds_all_mistakes_at_once(void **state)
{
    struct loading l;
    (void)state;
    load(&l, "listen: nowhere\n"
             "workers: x\n"
             "backends: {a: {type: vlm, url: x}}\n"
             "models: {m: {tiers: [b]}}\n"
             "history: {kept: 1d}\n");
    assert_int_equal(l.errors.error_count, 6);
    assert_int_equal(l.errors.warning_count, 0);
    unload(&l);
}

static void warns_without_refusing(void **state)
{
    static const struct mistake CASES[] = {
        {"backends: {a: {type: vllm, url: http://h}, b: {type: vllm, url: http://h}}" MODELS,
         ":1:44: warning: backend 'b' is in no tier\n"},
        {"backends: {a: {type: vllm, url: http://h/v1}}" MODELS,
         ":1:33: warning: the API's own path is added to 'url': leave out the '/v1'\n"},
        {"keys: [{name: web, key: short67}]\nbackends: {a: {type: vllm, url: http://h}}" MODELS,
         ":1:25: warning: a key of fewer than 8 characters can be guessed\n"},
        {"admin_token: short67\nbackends: {a: {type: vllm, url: http://h}}" MODELS,
         ":1:14: warning: a key of fewer than 8 characters can be guessed\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct loading l;
        load_well(&l, CASES[i].text);
        assert_int_equal(l.errors.warning_count, 1);
        assert_non_null(strstr(l.said, CASES[i].piece));
        assert_null(strstr(l.said, "short67"));
        unload(&l);
    }
}

static void never_says_a_secret(void **state)
{
    static const char *const CASES[] = {
        "backends: {a: {type: vlm, url: http://h, api_key: letmein12}}" MODELS,
        "backends: {a: {type: vllm, url: x, headers: {X-A: letmein12}}}" MODELS,
        "backends: {a: {type: vllm, url: x, headers: [letmein12]}}" MODELS,
        "backends: {a: {type: vllm, url: x, api_kye: letmein12}}" MODELS,
        "backends: {a: {type: vllm, url: x, api_key: [letmein12]}}" MODELS,
        "backends: {a: {type: vllm, url: x, api_key: letmein12]}}" MODELS,
        "keys: letmein12\nbackends: {}\n",
        "keys: [letmein12]\nbackends: {}\n",
        "keys: [{name: a, key: letmein12, x: y}, {name: a, key: letmein12}]\nbackends: {}\n",
        "admin_tokn: letmein12\nbackends: {}\n",
        "admin_token: 'letmein12 x'\nbackends: {}\n",
        "admin_token: |\n  letmein12\n  x\nbackends: {}\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct loading l;
        load(&l, CASES[i]);
        assert_int_not_equal(l.e, ERR_OK);
        if (strstr(l.said, "letmein")) {
            print_error("%s", l.said);
            fail();
        }
        unload(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_wrong_values_of_the_root),
        cmocka_unit_test(refuses_wrong_values_of_the_sections),
        cmocka_unit_test(refuses_wrong_backends),
        cmocka_unit_test(refuses_wrong_details_of_backends),
        cmocka_unit_test(refuses_wrong_models),
        cmocka_unit_test(finds_all_mistakes_at_once),
        cmocka_unit_test(warns_without_refusing),
        cmocka_unit_test(never_says_a_secret),
    };
    return cmocka_run_group_tests_name("gate/settings_mistakes", tests, NULL, NULL);
}
