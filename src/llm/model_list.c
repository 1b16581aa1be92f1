#include "llm/model_list.h"

#include "llm/model_offer.h"
#include "wire/json.h"

static bool is_text(struct str value, struct str text)
{
    return json_type_of(value) == JSON_STRING &&
           json_key_eq(str_of(value.ptr + 1, value.len - 2), text);
}

/* Ollama adds a tag to a name that has none. */
static bool is_name(struct str value, struct str model)
{
    static const struct str tag = STR_INIT(":latest");
    if (is_text(value, model)) {
        return true;
    }
    if (json_type_of(value) != JSON_STRING || value.len - 2 != model.len + tag.len) {
        return false;
    }
    struct str name = str_of(value.ptr + 1, value.len - 2);
    return str_starts(name, model) && str_ends(name, tag);
}

static bool is_of_model(struct str entry, struct str model)
{
    return is_name(json_get(entry, "id"), model) || is_name(json_get(entry, "name"), model) ||
           is_name(json_get(entry, "model"), model);
}

/* So that the order of the parts counts. */
static uint64_t mix(uint64_t sum, uint64_t part)
{
    return sum * UINT64_C(0x100000001b3) + part;
}

static uint64_t identify(struct str entry)
{
    static const char *const members[] = {"id",     "name",          "model",  "root",
                                          "parent", "max_model_len", "digest", "meta"};
    uint64_t sum = 1;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        sum = mix(sum, str_hash(json_get(entry, members[i])));
    }
    return sum;
}

/* vLLM's and Ollama's; llama.cpp tells the slot's elsewhere (GET /props). Of several, what fits
 * all. */
static void take_sizes(struct str entry, struct model_entry *out)
{
    uint32_t vllm = model_offer_number(json_get(entry, "max_model_len"));
    uint32_t context = vllm != 0 ? vllm : model_offer_number(json_get(entry, "context_length"));
    bool is_shorter = out->context == 0 || context < out->context;
    out->context = context != 0 && is_shorter ? context : out->context;
    uint32_t width = model_offer_number(json_path(entry, "meta", "n_embd", NULL));
    out->embeddings = width != 0 ? width : out->embeddings;
}

/* A server that loads models at need says so of each. */
static void take_entry(const struct dialect *d, struct str entry, struct model_entry *out)
{
    struct str status = json_path(entry, "status", "value", NULL);
    bool tells = json_type_of(status) == JSON_STRING;
    out->is_loaded = d->lists_loaded || (tells && is_text(status, STR("loaded")));
    out->is_absent = tells && !out->is_loaded;
    out->identity = mix(out->identity, identify(entry));
    take_sizes(entry, out);
}

enum err model_list_read(const struct dialect *d, struct str body, struct str model,
                         struct model_entry *out)
{
    struct json_iter it;
    size_t at;
    enum err e = json_check(body, &at);
    if (e != ERR_OK) {
        return e;
    }
    struct str object = json_value(body);
    struct str list = json_get(object, d->lists_loaded ? "models" : "data");
    if (json_type_of(list) != JSON_ARRAY) {
        return ERR_TYPE;
    }
    struct model_entry named = {.identity = 0};
    struct model_entry any = {.identity = 0};
    for (json_iter_init(&it, list); json_iter_next(&it);) {
        take_entry(d, it.value, is_of_model(it.value, model) ? &named : &any);
    }
    bool is_named = named.identity != 0;
    *out = is_named ? named : d->lists_loaded ? (struct model_entry){.is_absent = true} : any;
    return ERR_OK;
}
