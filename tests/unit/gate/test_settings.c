#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "gate/settings.h"
#include "gate/settings_private.h"

/* One file being loaded, and what was said about it. */
struct loading {
    struct conf_errors errors;
    struct settings *s;
    enum err e;
    char path[32];
    char *said;
    size_t said_len;
};

static void load(struct loading *l, const char *text)
{
    static const char NAME[] = "/tmp/test_settings_XXXXXX";
    memcpy(l->path, NAME, sizeof(NAME));
    int fd = mkstemp(l->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
    conf_errors_init(&l->errors);
    l->e = settings_load(str_from(l->path), &l->errors, &l->s);
    assert_int_equal(l->e == ERR_OK, l->s != NULL);
    assert_int_equal(l->e == ERR_OK, l->errors.error_count == 0);
    FILE *out = open_memstream(&l->said, &l->said_len);
    conf_errors_print(&l->errors, out);
    (void)fclose(out);
    (void)unlink(l->path);
}

static void unload(struct loading *l)
{
    settings_free(&l->s);
    assert_null(l->s);
    conf_errors_fini(&l->errors);
    free(l->said);
}

static void load_well(struct loading *l, const char *text)
{
    load(l, text);
    if (l->e != ERR_OK) {
        print_error("%s", l->said);
        fail();
    }
}

/* As the contract prints it, but for the keys that are not built yet. */
static const char EXAMPLE[] =
    "listen: 127.0.0.1:8400            # one or a list; host:port, [::1]:port or unix:/path\n"
    "admin: 127.0.0.1:8401             # status page, metrics, admin API\n"
    "workers: auto                     # threads that carry traffic; auto = one per core\n"
    "\n"
    "backends:\n"
    "  gpu1:   {type: vllm,     url: http://gpu1:8000}\n"
    "  gpu2:   {type: vllm,     url: http://gpu2:8000}\n"
    "  small:  {type: ollama,   url: http://localhost:11434}\n"
    "  cpu:    {type: llamacpp, url: http://localhost:8080}\n"
    "  cloud:  {type: openai,   url: https://api.example.com, api_key: ${CLOUD_KEY}}   # also\n"
    "\n"
    "models:\n"
    "  llama-3.1-8b:\n"
    "    aliases: [gpt-4o-mini, \"*\"]   # \"*\": any name that no model claims\n"
    "    tiers:                        # in order of preference\n"
    "      - gpu1: meta-llama/Meta-Llama-3.1-8B-Instruct\n"
    "      - gpu2: meta-llama/Meta-Llama-3.1-8B-Instruct\n"
    "      - small: llama3.1:8b-q4\n"
    "      - cpu: llama-3.1-8b-q4_k_m.gguf\n"
    "      - cloud: some-model\n"
    "\n"
    "health:    {interval: 10s, timeout: 5s, degraded_after: 2s, down_after: 3, up_after: 2}\n"
    "retry:     {same_backend: 1, on: [429, 500, reset], backoff: 250ms, retry_after_up_to: "
    "5s}\n"
    "streams:   {upstream: auto, keep_alive: 10s}\n"
    "limits:    {header: 32k, body: 32m, connections: 65536}\n"
    "log:       {level: info, format: logfmt, file: stderr}                 # logfmt | json\n"
    "keys:      [{name: web, key: ${WEB_KEY}}]\n"
    "tls:       {cert: PATH, key: PATH}\n"
    "degrade:\n"
    "  llamacpp: {max_tokens: 200, temperature: 0, notice: \"Response from fallback "
    "\xe2\x80\x94 "
    "may be slower or shorter\"}\n"
    "  ollama:   {max_tokens: 400}\n"
    "annotate: body                    # body | headers | off\n";

static const char SMALL[] = "backends: {a: {type: vllm, url: http://h:1}}\n"
                            "models: {m: {tiers: [a]}}\n";

static const struct backend *get_backend(const struct loading *l, const char *name)
{
    const struct backend *b = catalog_find_backend(&l->s->catalog, str_from(name));
    assert_non_null(b);
    return b;
}

static void loads_the_example_of_the_contract(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, EXAMPLE);
    assert_string_equal(l.said, "");
    const struct catalog *c = &l.s->catalog;
    assert_int_equal(c->backend_count, 5);
    assert_int_equal(c->model_count, 1);
    const struct backend *cloud = get_backend(&l, "cloud");
    assert_int_equal(cloud->type, BACKEND_OPENAI);
    assert_int_equal(cloud->index, 4);
    assert_true(cloud->tls);
    assert_int_equal(cloud->port, 443);
    assert_string_equal(cloud->api_key.ptr, "cloud-secret");
    assert_string_equal(cloud->url.ptr, "https://api.example.com");
    assert_true(str_eq(cloud->host_header, STR("api.example.com")));
    const struct backend *gpu1 = get_backend(&l, "gpu1");
    assert_true(str_eq(gpu1->host, STR("gpu1")));
    assert_true(str_eq(gpu1->host_header, STR("gpu1:8000")));
    assert_int_equal(gpu1->path.len, 0);
    const struct model *m = &c->models[0];
    assert_int_equal(m->tier_count, 5);
    assert_int_equal(m->alias_count, 1);
    assert_true(m->is_wildcard);
    assert_true(str_eq(m->aliases[0], STR("gpt-4o-mini")));
    assert_ptr_equal(m->tiers[2].members[0].backend, get_backend(&l, "small"));
    assert_true(str_eq(m->tiers[2].members[0].model, STR("llama3.1:8b-q4")));
    assert_ptr_equal(catalog_find_model(c, STR("whatever")), m);
    assert_int_equal(l.s->key_count, 1);
    assert_string_equal(l.s->keys[0].name.ptr, "web");
    assert_string_equal(l.s->keys[0].key.ptr, "web-secret");
    assert_string_equal(l.s->tls_cert.ptr, "/tmp/PATH");
    unload(&l);
}

static void has_the_defaults_of_the_contract(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, SMALL);
    const struct settings *s = l.s;
    assert_int_equal(s->listen_count, 1);
    assert_true(str_eq(s->listen[0].host, STR("127.0.0.1")));
    assert_int_equal(s->listen[0].port, 8400);
    assert_int_equal(s->admin.port, 8401);
    assert_int_equal(s->admin_token.len, 0);
    assert_true(s->workers >= 1 && s->workers <= 256);
    assert_int_equal(s->limits.header_bytes, 32 * 1024);
    assert_int_equal(s->limits.body_bytes, 32 * 1024 * 1024);
    assert_int_equal(s->limits.connections, 65536);
    assert_int_equal(s->limits.header_ms, 10000);
    assert_int_equal(s->limits.body_ms, 60000);
    assert_int_equal(s->limits.idle_ms, 75000);
    assert_int_equal(s->limits.send_ms, 60000);
    assert_int_equal(s->annotate, ANNOTATE_BODY);
    assert_int_equal(s->upstream, UPSTREAM_AUTO);
    assert_int_equal(s->keep_alive_ms, 10000);
    assert_int_equal(s->key_count, 0);
    assert_int_equal(s->tls_cert.len, 0);
    assert_int_equal(s->log_level, LOG_INFO);
    assert_int_equal(s->log_format, LOG_LOGFMT);
    assert_string_equal(s->log_file.ptr, "stderr");
    const struct backend *b = get_backend(&l, "a");
    assert_int_equal(b->health.interval_ms, 10000);
    assert_int_equal(b->health.timeout_ms, 5000);
    assert_int_equal(b->health.degraded_after_ms, 2000);
    assert_int_equal(b->health.down_after, 3);
    assert_int_equal(b->health.up_after, 2);
    assert_int_equal(b->deadlines.connect_ms, 1000);
    assert_int_equal(b->deadlines.first_token_ms, 10000);
    assert_int_equal(b->deadlines.first_token_per_1k_ms, 500);
    assert_int_equal(b->deadlines.stall_ms, 10000);
    assert_int_equal(b->deadlines.total_ms, 300000);
    assert_int_equal(b->retry.same_backend, 1);
    assert_int_equal(b->retry.on, RETRY_ON_429 | RETRY_ON_500 | RETRY_ON_RESET);
    assert_int_equal(b->retry.backoff_ms, 250);
    assert_int_equal(b->retry.retry_after_up_to_ms, 5000);
    assert_false(b->degrade.has_max_tokens);
    assert_true(str_eq(l.s->catalog.models[0].tiers[0].members[0].model, STR("m")));
    unload(&l);
}

static void reads_every_value(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l,
              "listen: [\"[::1]:80\", 'unix:/run/x', localhost:0]\n"
              "admin: 0.0.0.0:9\nadmin_token: ${WEB_KEY}\nworkers: 256\n"
              "limits: {header: 1k, body: 1g, connections: 1, header_time: 1s, body_time: 2s,\n"
              "         idle_time: 3s, send_time: 4s}\n"
              "log: {level: debug, format: json, file: logs/a.log}\n"
              "streams: {upstream: never, keep_alive: 0}\nannotate: off\n"
              "backends:\n"
              "  a:\n"
              "    type: llamacpp\n"
              "    url: https://[::1]:8443/prefix/\n"
              "    headers: {X-Org: ${WEB_KEY}, X-Other: b}\n"
              "    tls: {ca: ca.pem, cert: /c.pem, key: /k.pem}\n"
              "    health: {down_after: 100}\n"
              "    deadlines: {connect: 5ms, first_token_per_1k: 0}\n"
              "    retry: {same_backend: 0, on: [reset]}\n"
              "    degrade: {temperature: 0.5}\n"
              "models: {m: {tiers: [a]}}\n");
    const struct settings *s = l.s;
    assert_int_equal(s->listen_count, 3);
    assert_true(s->listen[0].is_ipv6);
    assert_true(str_eq(s->listen[1].path, STR("/run/x")));
    assert_int_equal(s->admin.port, 9);
    assert_string_equal(s->admin_token.ptr, "web-secret");
    assert_int_equal(s->workers, 256);
    assert_int_equal(s->limits.header_bytes, 1024);
    assert_int_equal(s->limits.body_bytes, 1 << 30);
    assert_int_equal(s->limits.connections, 1);
    assert_int_equal(s->limits.header_ms, 1000);
    assert_int_equal(s->limits.body_ms, 2000);
    assert_int_equal(s->limits.idle_ms, 3000);
    assert_int_equal(s->limits.send_ms, 4000);
    assert_int_equal(s->log_level, LOG_DEBUG);
    assert_int_equal(s->log_format, LOG_JSON);
    assert_string_equal(s->log_file.ptr, "/tmp/logs/a.log");
    assert_int_equal(s->upstream, UPSTREAM_NEVER);
    assert_int_equal(s->keep_alive_ms, 0);
    assert_int_equal(s->annotate, ANNOTATE_OFF);
    const struct backend *b = get_backend(&l, "a");
    assert_true(str_eq(b->host, STR("::1")));
    assert_true(str_eq(b->host_header, STR("[::1]:8443")));
    assert_true(str_eq(b->path, STR("/prefix")));
    assert_int_equal(b->header_count, 2);
    assert_string_equal(b->headers[0].name.ptr, "X-Org");
    assert_string_equal(b->headers[0].value.ptr, "web-secret");
    assert_string_equal(b->tls_ca.ptr, "/tmp/ca.pem");
    assert_string_equal(b->tls_cert.ptr, "/c.pem");
    assert_int_equal(b->health.down_after, 100);
    assert_int_equal(b->health.up_after, 2);
    assert_int_equal(b->deadlines.connect_ms, 5);
    assert_int_equal(b->deadlines.first_token_per_1k_ms, 0);
    assert_int_equal(b->deadlines.first_token_ms, 60000);
    assert_int_equal(b->retry.same_backend, 0);
    assert_int_equal(b->retry.on, RETRY_ON_RESET);
    assert_false(b->degrade.has_max_tokens);
    assert_true(b->degrade.has_temperature);
    assert_int_equal(b->degrade.notice.len, 0);
    unload(&l);
}

static void the_nearest_deadline_counts(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, "backends:\n"
                  "  own: {type: ollama, url: 'http://h:1', deadlines: {first_token: 7s}}\n"
                  "  file: {type: ollama, url: 'http://h:2'}\n"
                  "  vllm: {type: vllm, url: 'http://h:3'}\n"
                  "models: {m: {tiers: [own, file, vllm]}}\n"
                  "deadlines: {first_token: 20s}\n");
    assert_int_equal(get_backend(&l, "own")->deadlines.first_token_ms, 7000);
    assert_int_equal(get_backend(&l, "file")->deadlines.first_token_ms, 20000);
    assert_int_equal(get_backend(&l, "vllm")->deadlines.first_token_ms, 20000);
    assert_int_equal(get_backend(&l, "own")->deadlines.stall_ms, 30000);
    assert_int_equal(get_backend(&l, "file")->deadlines.stall_ms, 30000);
    assert_int_equal(get_backend(&l, "vllm")->deadlines.stall_ms, 10000);
    unload(&l);
}

static void slow_types_get_more_time(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, EXAMPLE);
    assert_int_equal(get_backend(&l, "small")->deadlines.first_token_ms, 60000);
    assert_int_equal(get_backend(&l, "small")->deadlines.stall_ms, 30000);
    assert_int_equal(get_backend(&l, "cpu")->deadlines.first_token_ms, 60000);
    assert_int_equal(get_backend(&l, "cpu")->deadlines.stall_ms, 30000);
    assert_int_equal(get_backend(&l, "cloud")->deadlines.first_token_ms, 10000);
    unload(&l);
}

static void degrades_by_type_unless_told_otherwise(void **state)
{
    static const char COMMON[] = "backends:\n"
                                 "  l: {type: llamacpp, url: 'http://h:1'}\n"
                                 "  o: {type: ollama, url: 'http://h:2'}\n"
                                 "  off: {type: ollama, url: 'http://h:3', degrade: off}\n"
                                 "  none: {type: ollama, url: 'http://h:3', degrade: {}}\n"
                                 "  v: {type: vllm, url: 'http://h:4'}\n"
                                 "models: {m: {tiers: [[l, o, off, none, v]]}}\n";
    char text[1024];
    struct loading l;
    (void)state;
    load_well(&l, COMMON);
    const struct degrade_policy *p = &get_backend(&l, "l")->degrade;
    assert_true(p->has_max_tokens && p->max_tokens == 200 && p->has_temperature);
    assert_true(p->temperature >= 0 && p->temperature <= 0);
    assert_true(
        str_eq(p->notice, STR("Response from fallback \xe2\x80\x94 may be slower or shorter")));
    p = &get_backend(&l, "o")->degrade;
    assert_true(p->has_max_tokens && p->max_tokens == 400 && !p->has_temperature);
    assert_int_equal(p->notice.len, 0);
    assert_false(get_backend(&l, "off")->degrade.has_max_tokens);
    assert_false(get_backend(&l, "none")->degrade.has_max_tokens);
    assert_false(get_backend(&l, "v")->degrade.has_max_tokens);
    unload(&l);

    (void)snprintf(text, sizeof(text),
                   "%sdegrade: {llamacpp: {notice: weak}, vllm: {max_tokens: "
                   "9}, ollama: off}\n",
                   COMMON);
    load_well(&l, text);
    p = &get_backend(&l, "l")->degrade;
    assert_true(!p->has_max_tokens && !p->has_temperature);
    assert_true(str_eq(p->notice, STR("weak")));
    assert_int_equal(get_backend(&l, "v")->degrade.max_tokens, 9);
    assert_false(get_backend(&l, "o")->degrade.has_max_tokens);
    unload(&l);
}

static void takes_tiers_in_every_form(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, "backends:\n"
                  "  a: &b {type: vllm, url: http://h:1}\n"
                  "  b: *b\n  c: *b\n  d: *b\n  e: *b\n  f: *b\n"
                  "models:\n"
                  "  m:\n"
                  "    tiers:\n"
                  "      - {a: x, b: y}\n"
                  "      - c\n"
                  "      - [d, e: z, f]\n"
                  "  n: {tiers: [a: x, b: y]}\n");
    const struct model *m = &l.s->catalog.models[0];
    assert_int_equal(m->tier_count, 3);
    assert_int_equal(m->tiers[0].member_count, 2);
    assert_true(str_eq(m->tiers[0].members[1].model, STR("y")));
    assert_true(str_eq(m->tiers[1].members[0].model, STR("m")));
    assert_int_equal(m->tiers[2].member_count, 3);
    assert_true(str_eq(m->tiers[2].members[1].model, STR("z")));
    assert_true(str_eq(m->tiers[2].members[2].backend->name, STR("f")));
    assert_int_equal(l.s->catalog.models[1].tier_count, 2);
    assert_int_equal(l.s->catalog.models[1].index, 1);
    unload(&l);
}

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
        {"breaker: {trial: 2s}\n",
         ":1:1: error: unknown key 'breaker'; this version does not have it yet\n"},
        {"alerts: {}\n", "unknown key 'alerts'; this version does not have it yet\n"},
        {"history: /x\n", "unknown key 'history'; this version does not have it yet\n"},
        {"streams: {resume: exact}\n", ":1:11: error: unknown key 'resume'; this version"},
        {"streams: {hold_tool_calls: true}\n", "unknown key 'hold_tool_calls'; this version"},
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
        {"backends: {a: {type: anthropic, url: http://h}}" MODELS,
         ":1:22: error: type 'anthropic' is not built yet\n"},
        {"backends: {a: {type: vlm, url: http://h}}" MODELS,
         "'type' must be vllm, ollama, llamacpp or openai, not 'vlm'\n"},
        {"backends: {a: {type: vllm, url: h:80}}" MODELS, ":1:33: error: 'url' is no URL"},
        {"backends: {a: {type: vllm, url: ftp://h}}" MODELS, ":1:33: error: 'url' is no URL"},
        {"backends: {a: {type: vllm, url: 'http://h:0'}}" MODELS, "'url' is no URL"},
        {"backends: {a: {type: vllm, url: http://u@h}}" MODELS, "'url' is no URL"},
        {"backends: {a: {type: vllm, url: \"http://h/a\\r\\nb\"}}" MODELS, "'url' is no URL"},
        {"backends: {a b: {type: vllm, url: http://h}}" MODELS,
         ":1:12: error: a backend's name"},
        {"backends: {a: {type: vllm, url: http://h, weight: 3}}" MODELS,
         "unknown key 'weight'; this version does not have it yet\n"},
        {"backends: {a: {type: vllm, url: http://h, managed: {}}}" MODELS,
         "unknown key 'managed'; this version does not have it yet\n"},
        {"backends: {a: {type: vllm, ulr: http://h}}" MODELS,
         ":1:28: error: unknown key 'ulr' in a backend; did you mean 'url'?\n"},
        {"backends: {a: {type: vllm, url: http://h, tls: {ca: x}}}" MODELS,
         "'tls' needs an https url\n"},
        {"backends: {a: {type: vllm, url: https://h, tls: {cert: x}}}" MODELS,
         "'cert' and 'key' go together\n"},
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
        {BACKENDS "models: {m: {tiers: [gpu1], streams: {}}}",
         "unknown key 'streams'; this version does not have it yet\n"},
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
             "breaker: {}\n");
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

static void opens_to_others_with_keys_only(void **state)
{
    struct loading l;
    char text[512];
    (void)state;
    (void)snprintf(text, sizeof(text),
                   "listen: 0.0.0.0:80\nkeys: [{name: a, key: abcdefgh}]\n%s", SMALL);
    load_well(&l, text);
    unload(&l);
    (void)snprintf(text, sizeof(text), "listen: unix:/run/x\nadmin: unix:/run/y\n%s", SMALL);
    load_well(&l, text);
    unload(&l);
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

/* A file with `backends`, a model with `tiers` tiers of `members` each, and `models` models. */
static enum err load_many(int backends, int models, int tiers, int members)
{
    char *text = NULL;
    size_t len = 0;
    struct loading l;
    FILE *out = open_memstream(&text, &len);
    (void)fputs("backends:\n", out);
    for (int i = 0; i < backends; i++) {
        (void)fprintf(out, "  b%d: {type: vllm, url: http://h}\n", i);
    }
    (void)fputs("models:\n  big:\n    tiers:\n", out);
    for (int t = 0; t < tiers; t++) {
        (void)fprintf(out, "      - [b%d", t * members);
        for (int m = 1; m < members; m++) {
            (void)fprintf(out, ", b%d", t * members + m);
        }
        (void)fputs("]\n", out);
    }
    for (int i = 1; i < models; i++) {
        (void)fprintf(out, "  m%d: {tiers: [b0]}\n", i);
    }
    (void)fclose(out);
    load(&l, text);
    enum err e = l.e;
    unload(&l);
    free(text);
    return e;
}

static void holds_its_limits(void **state)
{
    (void)state;
    assert_int_equal(load_many(BACKENDS_MAX, 1, 1, 1), ERR_OK);
    assert_int_equal(load_many(BACKENDS_MAX + 1, 1, 1, 1), ERR_SYNTAX);
    assert_int_equal(load_many(1, MODELS_MAX, 1, 1), ERR_OK);
    assert_int_equal(load_many(1, MODELS_MAX + 1, 1, 1), ERR_SYNTAX);
    assert_int_equal(load_many(65, 1, TIERS_MAX, 1), ERR_OK);
    assert_int_equal(load_many(65, 1, TIERS_MAX + 1, 1), ERR_SYNTAX);
    assert_int_equal(load_many(65, 1, 1, MEMBERS_MAX), ERR_OK);
    assert_int_equal(load_many(65, 1, 1, MEMBERS_MAX + 1), ERR_SYNTAX);
}

static void tells_of_a_file_that_is_not_there(void **state)
{
    struct conf_errors errors;
    struct settings *s = NULL;
    (void)state;
    conf_errors_init(&errors);
    assert_int_equal(settings_load(STR("/nonexistent.yaml"), &errors, &s), ERR_SYNTAX);
    assert_null(s);
    assert_int_equal(errors.error_count, 1);
    conf_errors_fini(&errors);
}

static void assert_documented(const char *docs, const struct conf_row *row)
{
    char cell[128];
    (void)snprintf(cell, sizeof(cell), "\n| `%s` |", row->name);
    const char *line = strstr(docs, cell);
    if (!line) {
        print_error("'%s' is not in the documentation\n", row->name);
        fail();
    }
}

/* At least one line of the documentation has the key and its default. */
static void assert_default_documented(const char *docs, const struct conf_row *row)
{
    char cell[128];
    char value[128];
    (void)snprintf(cell, sizeof(cell), "\n| `%s` |", row->name);
    (void)snprintf(value, sizeof(value), "`%s`", row->fallback);
    for (const char *line = strstr(docs, cell); line; line = strstr(line + 1, cell)) {
        const char *end = strchr(line + 1, '\n');
        if (memmem(line, (size_t)(end - line), value, strlen(value))) {
            return;
        }
    }
    print_error("the default %s of '%s' is not in the documentation\n", value, row->name);
    fail();
}

static void documentation_has_every_key_and_default(void **state)
{
    char *docs = NULL;
    size_t len = 0;
    size_t count = 0;
    (void)state;
    assert_int_equal(conf_read_file(CONFIGURATION_MD, CONF_FILE_MAX, &docs, &len), ERR_OK);
    const struct conf_table *const *tables = settings_tables(&count);
    assert_true(count > 0);
    for (size_t t = 0; t < count; t++) {
        for (size_t i = 0; i < tables[t]->count; i++) {
            const struct conf_row *row = &tables[t]->rows[i];
            if (row->type == CONF_LATER) {
                continue;
            }
            assert_non_null(row->help);
            assert_documented(docs, row);
            if (row->fallback) {
                assert_default_documented(docs, row);
            }
        }
    }
    free(docs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_the_example_of_the_contract),
        cmocka_unit_test(has_the_defaults_of_the_contract),
        cmocka_unit_test(reads_every_value),
        cmocka_unit_test(the_nearest_deadline_counts),
        cmocka_unit_test(slow_types_get_more_time),
        cmocka_unit_test(degrades_by_type_unless_told_otherwise),
        cmocka_unit_test(takes_tiers_in_every_form),
        cmocka_unit_test(refuses_wrong_values_of_the_root),
        cmocka_unit_test(refuses_wrong_backends),
        cmocka_unit_test(refuses_wrong_models),
        cmocka_unit_test(finds_all_mistakes_at_once),
        cmocka_unit_test(warns_without_refusing),
        cmocka_unit_test(opens_to_others_with_keys_only),
        cmocka_unit_test(never_says_a_secret),
        cmocka_unit_test(holds_its_limits),
        cmocka_unit_test(tells_of_a_file_that_is_not_there),
        cmocka_unit_test(documentation_has_every_key_and_default),
    };
    setenv("CLOUD_KEY", "cloud-secret", 1);
    setenv("WEB_KEY", "web-secret", 1);
    return cmocka_run_group_tests_name("gate/settings", tests, NULL, NULL);
}
