#include "llm/client_reply.h"

#include "wire/json.h"
#include "wire/json_find.h"

enum client_dialect client_dialect_of(struct str path)
{
    const struct str messages = STR("/v1/messages");
    if (str_starts(path, STR("/api/"))) {
        return CLIENT_OLLAMA;
    }
    if (!str_starts(path, messages)) {
        return CLIENT_OPENAI;
    }
    bool is_longer_word = path.len > messages.len && path.ptr[messages.len] != '/' &&
                          path.ptr[messages.len] != '?';
    return is_longer_word ? CLIENT_OPENAI : CLIENT_ANTHROPIC;
}

static struct str quote_or_null(struct arena *a, struct str s)
{
    return s.len > 0 ? json_quote(a, s) : STR("null");
}

static struct str write_openai(const struct client_error *e, struct arena *a)
{
    struct str retry = STR_NONE;
    if (e->retry_after_s > 0) {
        retry = arena_printf(a, ",\"retry_after\":%u", e->retry_after_s);
    }
    struct rope body;
    const struct str pieces[] = {STR("{\"error\":{\"message\":"),
                                 json_quote(a, e->message),
                                 STR(",\"type\":"),
                                 json_quote(a, str_from(e->type)),
                                 STR(",\"param\":"),
                                 quote_or_null(a, e->param),
                                 STR(",\"code\":"),
                                 quote_or_null(a, str_from(e->code)),
                                 STR("}"),
                                 retry,
                                 STR("}")};
    rope_init(&body);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        rope_add(&body, pieces[i]);
    }
    return rope_join(&body, a);
}

/* The names in Anthropic's list of errors. */
static struct str anthropic_type(int status)
{
    static const struct {
        int status;
        struct str type;
    } types[] = {
        {401, STR_INIT("authentication_error")}, {402, STR_INIT("billing_error")},
        {403, STR_INIT("permission_error")},     {404, STR_INIT("not_found_error")},
        {413, STR_INIT("request_too_large")},    {429, STR_INIT("rate_limit_error")},
        {503, STR_INIT("overloaded_error")},     {504, STR_INIT("timeout_error")},
        {529, STR_INIT("overloaded_error")},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (types[i].status == status) {
            return types[i].type;
        }
    }
    return status >= 500 ? STR("api_error") : STR("invalid_request_error");
}

static struct str write_anthropic(const struct client_error *e, struct arena *a)
{
    struct str type = anthropic_type(e->status);
    struct str message = json_quote(a, e->message);
    struct str id = quote_or_null(a, e->request_id);
    return arena_printf(a,
                        "{\"type\":\"error\",\"error\":{\"type\":\"%.*s\",\"message\":%.*s},"
                        "\"request_id\":%.*s}",
                        STR_FMT(type), STR_FMT(message), STR_FMT(id));
}

struct str client_error_body(enum client_dialect d, const struct client_error *e,
                             struct arena *a)
{
    switch (d) {
    case CLIENT_OPENAI:
        return write_openai(e, a);
    case CLIENT_ANTHROPIC:
        return write_anthropic(e, a);
    case CLIENT_OLLAMA:
        break;
    }
    struct str message = json_quote(a, e->message);
    return arena_printf(a, "{\"error\":%.*s}", STR_FMT(message));
}

static const char all_down_code[] = "all_backends_unavailable";

bool client_error_is_all_down(const struct client_error *e)
{
    return str_eq(str_from(e->code), str_from(all_down_code));
}

struct client_error client_error_all_down(uint32_t retry_after_s)
{
    return (struct client_error){.status = 503,
                                 .type = "service_unavailable",
                                 .code = all_down_code,
                                 .message = STR("All inference backends unavailable"),
                                 .retry_after_s = retry_after_s};
}

void annotate(struct str object, const struct annotation *an, struct arena *a, struct rope *out)
{
    struct json_edit je;
    if (an->backend.len == 0) {
        rope_add(out, object);
        return;
    }
    json_edit_init(&je, object, a);
    /* All our names begin with an underscore; to look for one is much cheaper than a walk. */
    void (*put)(struct json_edit * ed, const char *key, struct str value) =
        json_may_begin_with(object, '_') ? json_edit_set : json_edit_add;
    put(&je, "_backend", json_quote(a, an->backend));
    if (an->degraded) {
        put(&je, "_degraded", STR("true"));
    }
    if (an->notice.len > 0) {
        put(&je, "_notice", json_quote(a, an->notice));
    }
    if (an->resumed) {
        put(&je, "_resumed", STR("true"));
    }
    json_edit_done(&je, out);
}
