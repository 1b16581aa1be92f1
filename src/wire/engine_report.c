#include "wire/engine_report.h"

#include "wire/json.h"
#include "wire/prom_text.h"

enum { FULL_PERMILLE = 1000 };

/* --- metrics --- */

enum figure {
    FIGURE_NONE,
    FIGURE_GENERATED,
    FIGURE_PROMPT,
    FIGURE_STEPS,
    FIGURE_RUNNING,
    FIGURE_WAITING,
    FIGURE_KV
};

struct metric_name {
    struct str name;
    enum figure figure;
};

static enum figure find_figure(struct str name)
{
    static const struct metric_name names[] = {
        {STR_INIT("vllm:generation_tokens_total"), FIGURE_GENERATED},
        {STR_INIT("vllm:prompt_tokens_total"), FIGURE_PROMPT},
        {STR_INIT("vllm:num_requests_running"), FIGURE_RUNNING},
        {STR_INIT("vllm:num_requests_waiting"), FIGURE_WAITING},
        {STR_INIT("vllm:kv_cache_usage_perc"), FIGURE_KV},
        {STR_INIT("vllm:gpu_cache_usage_perc"), FIGURE_KV}, /* until 0.10 */
        {STR_INIT("llamacpp:tokens_predicted_total"), FIGURE_GENERATED},
        {STR_INIT("llamacpp:prompt_tokens_total"), FIGURE_PROMPT},
        {STR_INIT("llamacpp:n_decode_total"), FIGURE_STEPS},
        {STR_INIT("llamacpp:requests_processing"), FIGURE_RUNNING},
        {STR_INIT("llamacpp:requests_deferred"), FIGURE_WAITING},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (str_eq(name, names[i].name)) {
            return names[i].figure;
        }
    }
    return FIGURE_NONE;
}

/* Whole numbers of a double, far below where doubles are coarse. */
static uint64_t whole(double value, uint64_t max)
{
    if (!(value > 0)) {
        return 0;
    }
    return value < (double)max ? (uint64_t)value : max;
}

static void add_small(uint32_t *to, double value)
{
    uint64_t sum = *to + whole(value, UINT32_MAX / 2);
    *to = sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

/* A server with several engines has a sample of each: they are added up; of their memories the
 * fullest counts. */
static void take_figure(enum figure figure, double value, struct engine_report *out)
{
    static const uint64_t most = UINT64_C(1) << 52;
    uint32_t permille;
    switch (figure) {
    case FIGURE_NONE:
        return;
    case FIGURE_GENERATED:
        out->generated += whole(value, most);
        return;
    case FIGURE_PROMPT:
        out->prompt += whole(value, most);
        return;
    case FIGURE_STEPS:
        out->steps += whole(value, most);
        return;
    case FIGURE_RUNNING:
        add_small(&out->running, value);
        return;
    case FIGURE_WAITING:
        add_small(&out->waiting, value);
        return;
    case FIGURE_KV:
        permille = (uint32_t)whole(value * FULL_PERMILLE, FULL_PERMILLE);
        out->kv_permille = permille > out->kv_permille ? permille : out->kv_permille;
        out->has_kv = true;
        return;
    }
}

/* ERR_TYPE without a figure of running requests: another server's metrics. */
static enum err read_metrics(struct str body, struct engine_report *out)
{
    struct prom_sample s;
    bool has_running = false;
    *out = (struct engine_report){.generated = 0};
    while (prom_next(&body, &s)) {
        enum figure figure = find_figure(s.name);
        has_running = has_running || figure == FIGURE_RUNNING;
        take_figure(figure, s.value, out);
    }
    return has_running ? ERR_OK : ERR_TYPE;
}

static enum err read_llama_metrics(struct str body, struct engine_report *out)
{
    enum err e = read_metrics(body, out);
    out->may_prefill = out->running > 0;
    return e;
}

/* --- slots --- */

static uint64_t number(struct str value)
{
    uint64_t n = 0;
    return json_u64(value, UINT32_MAX, &n) == ERR_OK ? n : 0;
}

/* next_token is an object in older servers, a list of one in newer ones. */
static uint64_t decoded_of(struct str slot)
{
    struct str next = json_get(slot, "next_token");
    if (json_type_of(next) == JSON_ARRAY) {
        next = json_path(next, "0", NULL);
    }
    return json_type_of(next) == JSON_OBJECT ? number(json_get(next, "n_decoded")) : 0;
}

static void take_slot(struct str slot, struct engine_report *out)
{
    out->slots++;
    if (!json_is_true(json_get(slot, "is_processing"))) {
        return;
    }
    uint64_t decoded = decoded_of(slot);
    out->running++;
    out->generated += decoded;
    out->prompt += number(json_get(slot, "n_prompt_tokens_processed"));
    out->may_prefill = out->may_prefill || decoded == 0;
}

static enum err read_slots(struct str body, struct engine_report *out)
{
    struct json_iter it;
    size_t at;
    *out = (struct engine_report){.generated = 0};
    if (json_check(body, &at) != ERR_OK || json_type_of(json_value(body)) != JSON_ARRAY) {
        return ERR_TYPE;
    }
    for (json_iter_init(&it, json_value(body)); json_iter_next(&it);) {
        if (json_type_of(it.value) != JSON_OBJECT) {
            return ERR_TYPE;
        }
        take_slot(it.value, out);
    }
    return out->slots > 0 ? ERR_OK : ERR_TYPE;
}

/* --- by kind --- */

const struct engine_source *engine_sources(struct str type, size_t *count)
{
    static const struct engine_source vllm[] = {{"/metrics", read_metrics}};
    /* The slots first: reading llama.cpp's metrics begins its averages anew for everybody. */
    static const struct engine_source llamacpp[] = {{"/slots", read_slots},
                                                    {"/metrics", read_llama_metrics}};
    static const struct {
        struct str type;
        const struct engine_source *sources;
        size_t count;
    } rows[] = {
        {STR_INIT("vllm"), vllm, sizeof(vllm) / sizeof(vllm[0])},
        {STR_INIT("llamacpp"), llamacpp, sizeof(llamacpp) / sizeof(llamacpp[0])},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (str_eq(type, rows[i].type)) {
            *count = rows[i].count;
            return rows[i].sources;
        }
    }
    *count = 0;
    return NULL;
}
