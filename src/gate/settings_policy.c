#include "base/conf_value.h"
#include "gate/settings_private.h"
#include "wire/http_chars.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
enum { FALLBACK_TOKENS = 200, SMALL_TOKENS = 400, TOKENS_MAX = 1000 * 1000 * 1000 };
enum { PER_SECOND_MAX = 1000 * 1000 };
enum { KIB = 1024, MIB = 1024 * KIB, WAITING_MAX = 100 * 1000, SESSION_HEADER_BYTES = 256 };

static const struct conf_row HEALTH_ROWS[] = {
    {.name = "interval",
     .type = CONF_DURATION,
     CONF_FIELD(struct health_policy, interval_ms),
     .min = 100,
     .max = HOUR,
     .fallback = "10s",
     .help = "time between two probes"},
    {.name = "timeout",
     .type = CONF_DURATION,
     CONF_FIELD(struct health_policy, timeout_ms),
     .min = 10,
     .max = 10 * MINUTE,
     .fallback = "5s",
     .help = "a probe without an answer for so long has failed"},
    {.name = "degraded_after",
     .type = CONF_DURATION,
     CONF_FIELD(struct health_policy, degraded_after_ms),
     .min = 1,
     .max = 10 * MINUTE,
     .fallback = "2s",
     .help = "a good answer that took longer means DEGRADED"},
    {.name = "down_after",
     .type = CONF_INTEGER,
     CONF_FIELD(struct health_policy, down_after),
     .min = 1,
     .max = 100,
     .fallback = "3",
     .help = "probes in a row without an answer that mean DOWN"},
    {.name = "up_after",
     .type = CONF_INTEGER,
     CONF_FIELD(struct health_policy, up_after),
     .min = 1,
     .max = 100,
     .fallback = "2",
     .help = "good probes in a row before DOWN is left"},
    {.name = "hang_after",
     .type = CONF_DURATION,
     CONF_FIELD(struct health_policy, hang_after_ms),
     .min = 0,
     .max = HOUR,
     .fallback = "20s",
     .help = "work, no token for so long, and none when asked for one: hung"},
    {.name = "loading_limit",
     .type = CONF_DURATION,
     CONF_FIELD(struct health_policy, loading_limit_ms),
     .min = SECOND,
     .max = DAY,
     .fallback = "10m",
     .help = "a backend that says it is loading for longer has failed"},
    {.name = "counters",
     .type = CONF_DURATION,
     CONF_FIELD(struct health_policy, counters_ms),
     .min = 0,
     .max = HOUR,
     .fallback = "2s",
     .help = "time between two readings of the engine's counters"},
};
const struct conf_table HEALTH_TABLE = {.what = "'health'", CONF_ROWS(HEALTH_ROWS)};

static const struct conf_row BREAKER_ROWS[] = {
    {.name = "trial",
     .type = CONF_DURATION,
     CONF_FIELD(struct breaker_policy, trial_ms),
     .min = 100,
     .max = HOUR,
     .fallback = "2s",
     .help = "time between two trials while an outage lasts, at first"},
    {.name = "trial_max",
     .type = CONF_DURATION,
     CONF_FIELD(struct breaker_policy, trial_max_ms),
     .min = 100,
     .max = HOUR,
     .fallback = "10s",
     .help = "it grows to this"},
    {.name = "dwell",
     .type = CONF_DURATION,
     CONF_FIELD(struct breaker_policy, dwell_ms),
     .min = 0,
     .max = 10 * MINUTE,
     .fallback = "10s",
     .help = "least time from the beginning of an outage to the return; longer for a backend "
             "that flaps"},
    {.name = "slow_start",
     .type = CONF_DURATION,
     CONF_FIELD(struct breaker_policy, slow_start_ms),
     .min = 0,
     .max = HOUR,
     .fallback = "30s",
     .help =
         "a backend that returns gets 10%, 25%, 50% and then all of its requests over this"},
};
const struct conf_table BREAKER_TABLE = {.what = "'breaker'", CONF_ROWS(BREAKER_ROWS)};

static const struct conf_row DEADLINE_ROWS[] = {
    {.name = "connect",
     .type = CONF_DURATION,
     CONF_FIELD(struct deadlines, connect_ms),
     .min = 1,
     .max = 10 * MINUTE,
     .fallback = "1s",
     .help = "to connect, with name look-up and TLS"},
    {.name = "first_token",
     .type = CONF_DURATION,
     CONF_FIELD(struct deadlines, first_token_ms),
     .min = 1,
     .max = DAY,
     .fallback = "10s",
     .help = "from sending to the first content"},
    {.name = "first_token_per_1k",
     .type = CONF_DURATION,
     CONF_FIELD(struct deadlines, first_token_per_1k_ms),
     .min = 0,
     .max = HOUR,
     .fallback = "500ms",
     .help = "added to first_token for each 1,000 tokens of prompt"},
    {.name = "stall",
     .type = CONF_DURATION,
     CONF_FIELD(struct deadlines, stall_ms),
     .min = 1,
     .max = DAY,
     .fallback = "10s",
     .help = "between two pieces of content"},
    {.name = "total",
     .type = CONF_DURATION,
     CONF_FIELD(struct deadlines, total_ms),
     .min = 1,
     .max = DAY,
     .fallback = "5m",
     .help = "of the whole exchange, all its attempts together"},
};
const struct conf_table DEADLINES_TABLE = {.what = "'deadlines'", CONF_ROWS(DEADLINE_ROWS)};

static void read_retry_on(struct conf *c, const struct conf_node *n, void *into)
{
    static const struct {
        struct str name;
        uint32_t bit;
    } WORDS[] = {{STR_INIT("429"), RETRY_ON_429},
                 {STR_INIT("500"), RETRY_ON_500},
                 {STR_INIT("reset"), RETRY_ON_RESET}};
    struct retry_policy *policy = into;
    policy->on = 0;
    if (n->kind != CONF_LIST) {
        conf_error(c, n->start, "'on' must be a list of 429, 500 and reset, not %s",
                   conf_kind_name(n));
        return;
    }
    for (size_t i = 0; i < n->count; i++) {
        struct str text = STR("");
        uint32_t bit = 0;
        if (!conf_text(c, n->items[i].value, &text)) {
            continue;
        }
        for (size_t w = 0; w < sizeof(WORDS) / sizeof(WORDS[0]); w++) {
            bit |= str_eq(text, WORDS[w].name) ? WORDS[w].bit : 0;
        }
        if (bit == 0) {
            conf_error(c, n->items[i].mark, "'on' knows 429, 500 and reset, not %s",
                       conf_quote(c, n->items[i].value).ptr);
        }
        policy->on |= bit;
    }
}

static const struct conf_row BUDGET_ROWS[] = {
    {.name = "share",
     .type = CONF_PERCENT,
     CONF_FIELD(struct retry_budget_policy, share_per_10k),
     .min = 0,
     .max = 100 * 100,
     .fallback = "20%",
     .help = "further attempts by the number of requests, over 10 s"},
    {.name = "per_second",
     .type = CONF_INTEGER,
     CONF_FIELD(struct retry_budget_policy, per_second),
     .min = 0,
     .max = PER_SECOND_MAX,
     .fallback = "10",
     .help = "further attempts on top of that, each second"},
};
const struct conf_table BUDGET_TABLE = {.what = "'budget'", CONF_ROWS(BUDGET_ROWS)};

/* "p95" or a duration. */
static void read_after(struct conf *c, const struct conf_node *n, void *into)
{
    struct hedge_policy *h = into;
    struct str text;
    uint64_t value;
    if (!conf_text(c, n, &text)) {
        return;
    }
    h->percentile = 0;
    if (str_starts(text, STR("p")) && str_to_u64(str_from_at(text, 1), 99, &value) == ERR_OK &&
        value > 0) {
        h->percentile = (uint32_t)value;
        return;
    }
    if (conf_duration(text, &value) != ERR_OK || value == 0 || value > HOUR) {
        conf_error(c, n->start,
                   "'after' must be a percentile from p1 to p99 or a duration up to 1h, not %s",
                   conf_quote(c, n).ptr);
        return;
    }
    h->after_ms = (uint32_t)value;
}

static const struct conf_row HEDGE_ROWS[] = {
    {.name = "after",
     .type = CONF_READ,
     .read = read_after,
     .fallback = "p95",
     .help = "how late a first token is late: a percentile of those of the backend, or a "
             "duration"},
    {.name = "max_share",
     .type = CONF_PERCENT,
     CONF_FIELD(struct hedge_policy, max_share_per_10k),
     .min = 0,
     .max = 100 * 100,
     .fallback = "5%",
     .help = "second attempts by the number of requests"},
};
const struct conf_table HEDGE_TABLE = {.what = "'hedge'", CONF_ROWS(HEDGE_ROWS)};

void policy_set_hedge(struct hedge_policy *h)
{
    *h = (struct hedge_policy){.percentile = 95, .max_share_per_10k = 5 * 100};
}

void policy_read_hedge(struct conf *c, const struct conf_node *n, struct hedge_policy *out)
{
    bool is_off = n->kind == CONF_SCALAR && str_eq(n->text, STR("off"));
    out->is_on = !is_off;
    if (is_off) {
        return;
    }
    if (n->kind != CONF_MAP) {
        conf_error(c, n->start, "expected off, or a mapping of after and max_share, not %s",
                   conf_is_null(n) ? "nothing" : conf_quote(c, n).ptr);
        return;
    }
    (void)conf_read_map(c, n, &HEDGE_TABLE, out);
}

static void read_budget(struct conf *c, const struct conf_node *n, void *into)
{
    struct retry_budget_policy *budget = &((struct retry_draft *)into)->budget;
    budget->is_off = n->kind == CONF_SCALAR && str_eq(n->text, STR("off"));
    if (budget->is_off) {
        return;
    }
    if (n->kind != CONF_MAP) {
        conf_error(c, n->start, "expected off, or a mapping of share and per_second, not %s",
                   conf_is_null(n) ? "nothing" : conf_quote(c, n).ptr);
        return;
    }
    (void)conf_read_map(c, n, &BUDGET_TABLE, budget);
}

static const struct conf_row RETRY_ROWS[] = {
    {.name = "same_backend",
     .type = CONF_INTEGER,
     CONF_FIELD(struct retry_policy, same_backend),
     .min = 0,
     .max = 5,
     .fallback = "1",
     .help = "further tries at the same backend before the next one"},
    {.name = "on",
     .type = CONF_READ,
     .read = read_retry_on,
     .fallback = "[429, 500, reset]",
     .help = "failures that are tried again at the same backend"},
    {.name = "backoff",
     .type = CONF_DURATION,
     CONF_FIELD(struct retry_policy, backoff_ms),
     .min = 0,
     .max = MINUTE,
     .fallback = "250ms",
     .help = "wait before such a try, doubled each time"},
    {.name = "retry_after_up_to",
     .type = CONF_DURATION,
     CONF_FIELD(struct retry_policy, retry_after_up_to_ms),
     .min = 0,
     .max = 10 * MINUTE,
     .fallback = "5s",
     .help = "the longest Retry-After that is waited for; a longer one moves on at once"},
    {.name = "budget", /* the last: a backend has none, a model nothing else */
     .type = CONF_READ,
     .read = read_budget,
     .fallback = "{share: 20%, per_second: 10}",
     .help = "further attempts that a model may draw in all; off for any number"},
};
enum { BUDGET_ROW = sizeof(RETRY_ROWS) / sizeof(RETRY_ROWS[0]) - 1 };
const struct conf_table RETRY_TABLE = {.what = "'retry'", CONF_ROWS(RETRY_ROWS)};
const struct conf_table BACKEND_RETRY_TABLE = {
    .what = "a backend's 'retry'", .rows = RETRY_ROWS, .count = BUDGET_ROW};
const struct conf_table MODEL_RETRY_TABLE = {
    .what = "a model's 'retry'", .rows = &RETRY_ROWS[BUDGET_ROW], .count = 1};

static const char *const RESUMES[] = {"exact", "any", "off", NULL};
static const char *const UPSTREAMS[] = {"auto", "always", "never", NULL};

static const struct conf_row STREAM_ROWS[] = {
    {.name = "upstream",
     .type = CONF_WORD,
     CONF_FIELD(struct stream_policy, upstream),
     .words = UPSTREAMS,
     .fallback = "auto",
     .help = "whether requests that do not stream are streamed towards the backend: auto, "
             "always or never"},
    {.name = "keep_alive",
     .type = CONF_DURATION,
     CONF_FIELD(struct stream_policy, keep_alive_ms),
     .min = 0,
     .max = HOUR,
     .fallback = "10s",
     .help = "a comment goes to a streaming client that has waited so long; 0 for never"},
    {.name = "resume",
     .type = CONF_WORD,
     CONF_FIELD(struct stream_policy, resume),
     .words = RESUMES,
     .fallback = "exact",
     .help = "whether a stream that breaks goes on at the next backend: exact, any or off"},
    {.name = "hold_tool_calls",
     .type = CONF_BOOL,
     CONF_FIELD(struct stream_policy, hold_tool_calls),
     .fallback = "true",
     .help = "whether a tool call goes to a streaming client only when it is complete"},
    {.name = "calibrate",
     .type = CONF_DURATION,
     CONF_FIELD(struct stream_policy, calibrate_ms),
     .min = 0,
     .max = HOUR,
     .fallback = "1m",
     .help = "how often backends are asked which models they have loaded; whether a model can "
             "resume is measured when it is new; 0 for neither"},
};
const struct conf_table STREAMS_TABLE = {.what = "'streams'", CONF_ROWS(STREAM_ROWS)};

static void read_session_header(struct conf *c, const struct conf_node *n, void *into)
{
    struct str name = STR("");
    if (!conf_text(c, n, &name)) {
        return;
    }
    if (!http_is_token(name) || name.len > SESSION_HEADER_BYTES) {
        conf_error(c, n->start, "'session_header' must be the name of a header, not %s",
                   conf_quote(c, n).ptr);
        return;
    }
    ((struct load_policy *)into)->session_header = arena_dup(c->texts, name);
}

static const char *const LOADS[] = {"least_load", "round_robin", "weighted",
                                    "prefix",     "session",     NULL};

static const struct conf_row LOAD_ROWS[] = {
    {.name = "policy",
     .type = CONF_WORD,
     CONF_FIELD(struct load_policy, kind),
     .words = LOADS,
     .fallback = "least_load",
     .help = "who of a tier serves next: least_load, round_robin, weighted, prefix or session"},
    {.name = "session_header",
     .type = CONF_READ,
     .read = read_session_header,
     .fallback = "x-session-id",
     .help = "session: the header that names it; without it the body's user does"},
    {.name = "prefix",
     .type = CONF_SIZE,
     CONF_FIELD(struct load_policy, prefix_bytes),
     .min = 1,
     .max = MIB,
     .fallback = "1k",
     .help = "prefix: how much of the messages' beginning counts"},
};
const struct conf_table LOAD_TABLE = {.what = "'load'", CONF_ROWS(LOAD_ROWS)};

static const struct conf_row QUEUE_ROWS[] = {
    {.name = "max",
     .type = CONF_INTEGER,
     CONF_FIELD(struct queue_policy, max),
     .min = 0,
     .max = WAITING_MAX,
     .fallback = "128",
     .help = "requests of a model that may wait for a slot (max_concurrent); more draw 503"},
    {.name = "wait",
     .type = CONF_DURATION,
     CONF_FIELD(struct queue_policy, wait_ms),
     .min = 1,
     .max = DAY,
     .fallback = "30s",
     .help = "one that has waited so long draws 503"},
    {.name = "overflow",
     .type = CONF_BOOL,
     CONF_FIELD(struct queue_policy, overflow),
     .fallback = "true",
     .help = "whether a later tier serves where that is faster than to wait"},
};
const struct conf_table QUEUE_TABLE = {.what = "'queue'", CONF_ROWS(QUEUE_ROWS)};

void policy_set_load(struct load_policy *load, struct queue_policy *queue)
{
    *load = (struct load_policy){
        .kind = LOAD_LEAST, .session_header = STR("x-session-id"), .prefix_bytes = KIB};
    *queue = (struct queue_policy){.max = 128, .wait_ms = 30 * SECOND, .overflow = true};
}

enum { ROW_MAX_TOKENS = 1, ROW_TEMPERATURE = 2 }; /* bits, as the rows stand */

static const struct conf_row DEGRADE_ROWS[] = {
    {.name = "max_tokens",
     .type = CONF_INTEGER,
     CONF_FIELD(struct degrade_policy, max_tokens),
     .min = 1,
     .max = TOKENS_MAX,
     .help = "most tokens of an answer; a request without max_tokens counts as 500"},
    {.name = "temperature",
     .type = CONF_DOUBLE,
     CONF_FIELD(struct degrade_policy, temperature),
     .min = 0,
     .max = 2,
     .help = "takes the place of the request's"},
    {.name = "notice",
     .type = CONF_STRING,
     CONF_FIELD(struct degrade_policy, notice),
     .min = 0,
     .max = 1000,
     .help = "goes into the answer as _notice"},
};
const struct conf_table DEGRADE_TABLE = {.what = "'degrade'", CONF_ROWS(DEGRADE_ROWS)};

void policy_set_defaults(enum backend_type type, struct backend *b)
{
    bool is_slow = type == BACKEND_OLLAMA || type == BACKEND_LLAMACPP;
    b->health = (struct health_policy){.interval_ms = 10 * SECOND,
                                       .timeout_ms = 5 * SECOND,
                                       .degraded_after_ms = 2 * SECOND,
                                       .down_after = 3,
                                       .up_after = 2,
                                       .hang_after_ms = 20 * SECOND,
                                       .loading_limit_ms = 10 * MINUTE,
                                       .counters_ms = 2 * SECOND};
    b->breaker = (struct breaker_policy){.trial_ms = 2 * SECOND,
                                         .trial_max_ms = 10 * SECOND,
                                         .dwell_ms = 10 * SECOND,
                                         .slow_start_ms = 30 * SECOND};
    b->deadlines = (struct deadlines){.connect_ms = SECOND,
                                      .first_token_ms = is_slow ? MINUTE : 10 * SECOND,
                                      .first_token_per_1k_ms = SECOND / 2,
                                      .stall_ms = is_slow ? 30 * SECOND : 10 * SECOND,
                                      .total_ms = 5 * MINUTE};
    b->retry = (struct retry_policy){.same_backend = 1,
                                     .on = RETRY_ON_429 | RETRY_ON_500 | RETRY_ON_RESET,
                                     .backoff_ms = SECOND / 4,
                                     .retry_after_up_to_ms = 5 * SECOND};
}

void policy_set_streams(struct stream_policy *out)
{
    *out = (struct stream_policy){.upstream = UPSTREAM_AUTO,
                                  .resume = RESUME_POLICY_EXACT,
                                  .keep_alive_ms = 10 * SECOND,
                                  .calibrate_ms = MINUTE,
                                  .hold_tool_calls = true};
}

void policy_set_degrade(struct degrade_policy by_type[BACKEND_TYPES])
{
    memset(by_type, 0, BACKEND_TYPES * sizeof(by_type[0]));
    by_type[BACKEND_LLAMACPP] = (struct degrade_policy){
        .has_max_tokens = true,
        .max_tokens = FALLBACK_TOKENS,
        .has_temperature = true,
        .temperature = 0,
        .notice = STR("Response from fallback \xe2\x80\x94 may be slower or shorter")};
    by_type[BACKEND_OLLAMA] =
        (struct degrade_policy){.has_max_tokens = true, .max_tokens = SMALL_TOKENS};
}

void policy_set_retry_budget(struct retry_budget_policy *b)
{
    *b = (struct retry_budget_policy){.share_per_10k = 20 * 100, .per_second = 10};
}

void policy_read_degrade(struct conf *c, const struct conf_node *n, struct degrade_policy *out)
{
    *out = (struct degrade_policy){.notice = STR("")};
    if (n->kind == CONF_SCALAR && str_eq(n->text, STR("off"))) {
        return;
    }
    if (n->kind != CONF_MAP) {
        conf_error(c, n->start,
                   "expected off, or a mapping of max_tokens, temperature and notice, not %s",
                   conf_is_null(n) ? "nothing" : conf_quote(c, n).ptr);
        return;
    }
    uint64_t given = conf_read_map(c, n, &DEGRADE_TABLE, out);
    out->has_max_tokens = (given & ROW_MAX_TOKENS) != 0;
    out->has_temperature = (given & ROW_TEMPERATURE) != 0;
}

bool type_find(struct str name, enum backend_type *out)
{
    static const enum backend_type TYPES[BACKEND_TYPES] = {
        BACKEND_VLLM, BACKEND_OLLAMA, BACKEND_LLAMACPP, BACKEND_OPENAI, BACKEND_ANTHROPIC};
    for (size_t i = 0; i < BACKEND_TYPES; i++) {
        if (str_eq(name, str_from(backend_type_name(TYPES[i])))) {
            *out = TYPES[i];
            return true;
        }
    }
    return false;
}

void policy_read_degrades(struct conf *c, const struct conf_node *n,
                          struct degrade_policy by_type[BACKEND_TYPES])
{
    if (n->kind != CONF_MAP) {
        conf_error(c, n->start, "expected a mapping from backend types, got %s",
                   conf_kind_name(n));
        return;
    }
    for (size_t i = 0; i < n->count; i++) {
        enum backend_type type = BACKEND_VLLM;
        const struct conf_item *item = &n->items[i];
        if (type_find(item->key, &type)) {
            policy_read_degrade(c, item->value, &by_type[type]);
        } else {
            conf_error(c, item->mark,
                       "'degrade' has an entry per backend type (vllm, ollama, llamacpp, "
                       "openai or anthropic), not '%.*s'",
                       STR_FMT(item->key));
        }
    }
}
