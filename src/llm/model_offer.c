#include "llm/model_offer.h"

#include "llm/members.h"
#include "wire/json.h"

enum { NUMBER_MAX = 1 << 30 };

uint32_t model_offer_number(struct str value)
{
    uint64_t number = 0;
    return json_u64(value, NUMBER_MAX, &number) == ERR_OK ? (uint32_t)number : 0;
}

static enum told told_by(struct str value)
{
    switch (json_type_of(value)) {
    case JSON_TRUE:
        return TOLD_YES;
    case JSON_FALSE:
        return TOLD_NO;
    case JSON_NULL:
    case JSON_NUMBER:
    case JSON_STRING:
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return TOLD_NOTHING;
}

/* --- llama.cpp --- */

/* n_ctx is that of one slot, as it is for a request. A template without tools is no reason to
 * pass the server over: it then describes them in words of its own. */
static enum err read_props(struct str object, struct model_offer *out)
{
    out->context =
        model_offer_number(json_path(object, "default_generation_settings", "n_ctx", NULL));
    out->vision = told_by(json_path(object, "modalities", "vision", NULL));
    if (json_is_true(json_path(object, "chat_template_caps", "supports_tools", NULL))) {
        out->tools = TOLD_YES;
    }
    return ERR_OK;
}

/* --- Ollama --- */

/* "llama.context_length": the model's own, whatever its architecture is called. */
static uint32_t find_length(struct str model_info, struct str ending)
{
    struct json_iter it;
    for (json_iter_init(&it, model_info); json_iter_next(&it);) {
        if (str_ends(it.key, ending)) {
            return model_offer_number(it.value);
        }
    }
    return 0;
}

/* The Modelfile's "num_ctx   8192" among the lines of `parameters`. */
static uint32_t find_num_ctx(struct str parameters, struct arena *a)
{
    struct str text = STR("");
    uint64_t number = 0;
    if (json_text(parameters, a, &text) != ERR_OK) {
        return 0;
    }
    while (text.len > 0) {
        struct str line = str_trim(str_cut(&text, '\n'));
        struct str name = str_cut(&line, ' ');
        if (str_eq(name, STR("num_ctx")) &&
            str_to_u64(str_trim(line), NUMBER_MAX, &number) == ERR_OK) {
            return (uint32_t)number;
        }
    }
    return 0;
}

static enum told list_has(struct str list, struct str word)
{
    struct json_iter it;
    if (json_type_of(list) != JSON_ARRAY) {
        return TOLD_NOTHING; /* older servers */
    }
    for (json_iter_init(&it, list); json_iter_next(&it);) {
        if (json_type_of(it.value) == JSON_STRING &&
            json_key_eq(member_inside(it.value), word)) {
            return TOLD_YES;
        }
    }
    return TOLD_NO;
}

static enum err read_show(struct str object, struct model_offer *out)
{
    struct arena a;
    struct str info = json_get(object, "model_info");
    struct str capabilities = json_get(object, "capabilities");
    arena_init(&a);
    uint32_t num_ctx = find_num_ctx(json_get(object, "parameters"), &a);
    arena_fini(&a);
    out->context = num_ctx != 0 ? num_ctx : find_length(info, STR(".context_length"));
    out->embeddings = find_length(info, STR(".embedding_length"));
    out->tools = list_has(capabilities, STR("tools"));
    out->vision = list_has(capabilities, STR("vision"));
    return ERR_OK;
}

/* --- by kind --- */

static const struct source {
    struct str dialect;
    const char *path;
    bool names_model;
    enum err (*read)(struct str object, struct model_offer *out);
} sources[] = {
    {STR_INIT("llamacpp"), "/props", false, read_props},
    {STR_INIT("ollama"), "/api/show", true, read_show},
};

static const struct source *find_source(const struct dialect *d)
{
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        if (str_eq(str_from(d->name), sources[i].dialect)) {
            return &sources[i];
        }
    }
    return NULL;
}

const char *model_offer_path(const struct dialect *d)
{
    const struct source *s = find_source(d);
    return s ? s->path : NULL;
}

struct str model_offer_body(const struct dialect *d, struct str model, struct arena *a)
{
    const struct source *s = find_source(d);
    if (!s || !s->names_model) {
        return STR("");
    }
    return arena_printf(a, "{\"model\":%.*s}", STR_FMT(json_quote(a, model)));
}

enum err model_offer_read(const struct dialect *d, struct str body, struct model_offer *out)
{
    const struct source *s = find_source(d);
    size_t at;
    enum err e = s ? json_check(body, &at) : ERR_UNSUPPORTED;
    if (e != ERR_OK) {
        return e;
    }
    struct str object = json_value(body);
    if (json_type_of(object) != JSON_OBJECT) {
        return ERR_TYPE;
    }
    struct model_offer offer = {.context = 0};
    e = s->read(object, &offer);
    if (e == ERR_OK) {
        *out = offer;
    }
    return e;
}
