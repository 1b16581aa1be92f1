#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gate/settings_private.h"
#include "settings_loading.h"

/* As the contract prints it, but for `alerts`, which are in test_settings_alerts. */
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
    "5s,\n"
    "            budget: {share: 20%, per_second: 10}}\n"
    "breaker:   {trial: 2s, trial_max: 10s, dwell: 10s, slow_start: 30s}\n"
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

static void assert_budget(const struct loading *l, size_t model, uint32_t share_per_10k,
                          uint32_t per_second)
{
    const struct retry_budget_policy *b = &l->s->catalog.models[model].retry_budget;
    assert_false(b->is_off);
    assert_int_equal(b->share_per_10k, share_per_10k);
    assert_int_equal(b->per_second, per_second);
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
    assert_int_equal(s->streams.upstream, UPSTREAM_AUTO);
    assert_int_equal(s->streams.keep_alive_ms, 10000);
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
    assert_int_equal(b->health.hang_after_ms, 20000);
    assert_true(b->health.loading_limit_ms == 600000 && b->health.counters_ms == 2000);
    assert_int_equal(b->deadlines.connect_ms, 1000);
    assert_int_equal(b->deadlines.first_token_ms, 10000);
    assert_int_equal(b->deadlines.first_token_per_1k_ms, 500);
    assert_int_equal(b->deadlines.stall_ms, 10000);
    assert_int_equal(b->deadlines.total_ms, 300000);
    assert_false(b->min_tokens_per_second > 0);
    assert_int_equal(b->retry.same_backend, 1);
    assert_int_equal(b->retry.on, RETRY_ON_429 | RETRY_ON_500 | RETRY_ON_RESET);
    assert_int_equal(b->retry.backoff_ms, 250);
    assert_int_equal(b->retry.retry_after_up_to_ms, 5000);
    assert_false(b->degrade.has_max_tokens);
    assert_budget(&l, 0, 2000, 10);
    assert_true(str_eq(l.s->catalog.models[0].tiers[0].members[0].model, STR("m")));
    unload(&l);
}

static void assert_every_value_of_backend(const struct backend *b)
{
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
    assert_true(b->min_tokens_per_second > 0.49 && b->min_tokens_per_second < 0.51);
    assert_false(b->degrade.has_max_tokens);
    assert_true(b->degrade.has_temperature);
    assert_int_equal(b->degrade.notice.len, 0);
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
              "    min_tokens_per_second: 0.5\n"
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
    assert_int_equal(s->streams.upstream, UPSTREAM_NEVER);
    assert_int_equal(s->streams.keep_alive_ms, 0);
    assert_int_equal(s->annotate, ANNOTATE_OFF);
    assert_every_value_of_backend(get_backend(&l, "a"));
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

static void a_hedge_is_off_unless_there_is_one(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, "backends: {a: {type: vllm, url: 'http://x:1'}}\n"
                  "models: {m: {tiers: [a]}, n: {tiers: [a], hedge: {after: 250ms}},\n"
                  "         o: {tiers: [a], hedge: {}}}\n");
    assert_false(l.s->catalog.models[0].hedge.is_on);
    assert_true(l.s->catalog.models[1].hedge.is_on && l.s->catalog.models[2].hedge.is_on);
    assert_int_equal(l.s->catalog.models[1].hedge.percentile, 0);
    assert_int_equal(l.s->catalog.models[1].hedge.after_ms, 250);
    assert_int_equal(l.s->catalog.models[1].hedge.max_share_per_10k, 500);
    assert_int_equal(l.s->catalog.models[2].hedge.percentile, 95);
    unload(&l);
    load_well(&l, "backends: {a: {type: vllm, url: 'http://x:1'}}\n"
                  "models: {m: {tiers: [a]}, n: {tiers: [a], hedge: off},\n"
                  "         o: {tiers: [a], hedge: {after: p50}}}\n"
                  "hedge: {after: p99, max_share: 12.5%}\n");
    assert_true(l.s->catalog.models[0].hedge.is_on && !l.s->catalog.models[1].hedge.is_on);
    assert_int_equal(l.s->catalog.models[0].hedge.percentile, 99);
    assert_int_equal(l.s->catalog.models[0].hedge.max_share_per_10k, 1250);
    assert_int_equal(l.s->catalog.models[2].hedge.percentile, 50);
    assert_int_equal(l.s->catalog.models[2].hedge.max_share_per_10k, 1250);
    unload(&l);
}

static void the_nearest_retry_budget_counts(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, "backends: {a: {type: vllm, url: 'http://h:1', retry: {same_backend: 3}}}\n"
                  "models:\n"
                  "  file: {tiers: [a]}\n"
                  "  own: {tiers: [a], retry: {budget: {share: 0%, per_second: 0}}}\n"
                  "  part: {tiers: [a], retry: {budget: {share: 100%}}}\n"
                  "  none: {tiers: [a], retry: {budget: off}}\n"
                  "  empty: {tiers: [a], retry: {}}\n"
                  "retry: {backoff: 1s, budget: {share: 2.5%, per_second: 1000}}\n");
    assert_budget(&l, 0, 250, 1000);
    assert_budget(&l, 1, 0, 0);
    assert_budget(&l, 2, 10000, 1000);
    assert_true(l.s->catalog.models[3].retry_budget.is_off);
    assert_budget(&l, 4, 250, 1000);
    assert_int_equal(get_backend(&l, "a")->retry.backoff_ms, 1000);
    assert_int_equal(get_backend(&l, "a")->retry.same_backend, 3);
    unload(&l);
    load_well(&l, "backends: {a: {type: vllm, url: 'http://h:1'}}\n"
                  "models: {m: {tiers: [a]}, n: {tiers: [a], retry: {budget: {}}}}\n"
                  "retry: {budget: off}\n");
    assert_true(l.s->catalog.models[0].retry_budget.is_off);
    assert_budget(&l, 1, 2000, 10);
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

static const struct stream_policy *streams_of(const struct loading *l, const char *model)
{
    const struct model *m = catalog_find_model(&l->s->catalog, str_from(model));
    assert_non_null(m);
    return &m->streams;
}

static void a_model_may_have_streams_of_its_own(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, "backends: {a: {type: vllm, url: http://h:1}}\n"
                  "models:\n"
                  "  own: {tiers: [a], streams: {resume: any, keep_alive: 3s}}\n"
                  "  none: {tiers: [a]}\n"
                  "  empty: {tiers: [a], streams: {}}\n"
                  "  other: {streams: {upstream: always}, tiers: [a]}\n"
                  "streams: {resume: off, upstream: never, keep_alive: 7s}\n");
    assert_int_equal(streams_of(&l, "own")->resume, RESUME_POLICY_ANY);
    assert_int_equal(streams_of(&l, "own")->keep_alive_ms, 3000);
    assert_int_equal(streams_of(&l, "own")->upstream, UPSTREAM_NEVER);
    assert_memory_equal(streams_of(&l, "none"), &l.s->streams, sizeof(l.s->streams));
    assert_memory_equal(streams_of(&l, "empty"), &l.s->streams, sizeof(l.s->streams));
    assert_int_equal(l.s->streams.keep_alive_ms, 7000);
    assert_int_equal(streams_of(&l, "other")->resume, RESUME_POLICY_OFF);
    assert_int_equal(streams_of(&l, "other")->upstream, UPSTREAM_ALWAYS);
    unload(&l);
    load_well(&l, SMALL);
    assert_int_equal(streams_of(&l, "m")->resume, RESUME_POLICY_EXACT);
    assert_int_equal(streams_of(&l, "m")->keep_alive_ms, 10000);
    assert_int_equal(streams_of(&l, "m")->calibrate_ms, 60000);
    unload(&l);
}

static const struct serving *serving_of(const struct loading *l, const char *model, size_t tier,
                                        size_t place)
{
    const struct catalog *c = &l->s->catalog;
    const struct model *m = catalog_find_model(c, str_from(model));
    const struct tier_member *member = &m->tiers[tier].members[place];
    assert_true(member->serving < c->serving_count);
    const struct serving *s = &c->servings[member->serving];
    assert_int_equal(s->index, member->serving);
    assert_ptr_equal(s->backend, member->backend);
    assert_true(str_eq(s->model, member->model));
    assert_true(s->index - s->backend->first_serving < s->backend->serving_count);
    return s;
}

static void models_share_the_servings_of_a_backend(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, "backends:\n"
                  "  a: {type: vllm, url: http://h:1}\n"
                  "  b: {type: vllm, url: http://h:2}\n"
                  "  idle: {type: vllm, url: http://h:3}\n"
                  "models:\n"
                  "  one: {tiers: [b: x, {a: x}], streams: {resume: off}}\n"
                  "  two: {tiers: [[a: x, b: y]], streams: {calibrate: 5s}}\n"
                  "  three: {tiers: [b: y, a: z], streams: {calibrate: 0}}\n");
    assert_int_equal(l.s->catalog.serving_count, 4);
    assert_ptr_equal(serving_of(&l, "one", 1, 0), serving_of(&l, "two", 0, 0));
    assert_ptr_equal(serving_of(&l, "two", 0, 1), serving_of(&l, "three", 0, 0));
    assert_true(serving_of(&l, "one", 0, 0) != serving_of(&l, "two", 0, 1));
    assert_int_equal(get_backend(&l, "a")->serving_count, 2);
    assert_int_equal(get_backend(&l, "b")->serving_count, 2);
    assert_int_equal(get_backend(&l, "idle")->serving_count, 0);
    const struct serving *off = serving_of(&l, "one", 0, 0);
    const struct serving *both = serving_of(&l, "one", 1, 0);
    const struct serving *never = serving_of(&l, "three", 1, 0);
    assert_false(off->may_resume);
    assert_int_equal(off->calibrate_ms, 60000);
    assert_true(both->may_resume);
    assert_int_equal(both->calibrate_ms, 5000);
    assert_false(never->may_resume);
    assert_int_equal(never->calibrate_ms, 0);
    unload(&l);
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
        cmocka_unit_test(the_nearest_retry_budget_counts),
        cmocka_unit_test(a_hedge_is_off_unless_there_is_one),
        cmocka_unit_test(slow_types_get_more_time),
        cmocka_unit_test(degrades_by_type_unless_told_otherwise),
        cmocka_unit_test(takes_tiers_in_every_form),
        cmocka_unit_test(a_model_may_have_streams_of_its_own),
        cmocka_unit_test(models_share_the_servings_of_a_backend),
        cmocka_unit_test(opens_to_others_with_keys_only),
        cmocka_unit_test(holds_its_limits),
        cmocka_unit_test(tells_of_a_file_that_is_not_there),
        cmocka_unit_test(documentation_has_every_key_and_default),
    };
    setenv("CLOUD_KEY", "cloud-secret", 1);
    setenv("WEB_KEY", "web-secret", 1);
    return cmocka_run_group_tests_name("gate/settings", tests, NULL, NULL);
}
