#include "tiers/catalog.h"

#include "base/check.h"

const char *backend_type_name(enum backend_type type)
{
    switch (type) {
    case BACKEND_VLLM:
        return "vllm";
    case BACKEND_OLLAMA:
        return "ollama";
    case BACKEND_LLAMACPP:
        return "llamacpp";
    case BACKEND_OPENAI:
        return "openai";
    case BACKEND_ANTHROPIC:
        return "anthropic";
    }
    BUG("no such backend type");
}

const char *teller_name(enum teller t)
{
    static const char *const names[] = {
        [TELLER_AGENT] = "agent", [TELLER_DCGM] = "dcgm", [TELLER_GUARD] = "guard"};
    CHECK((unsigned)t < TELLERS);
    return names[t];
}

bool backend_type_is_paid(enum backend_type type)
{
    switch (type) {
    case BACKEND_VLLM:
    case BACKEND_OLLAMA:
    case BACKEND_LLAMACPP:
        return false;
    case BACKEND_OPENAI:
    case BACKEND_ANTHROPIC:
        return true;
    }
    BUG("no such backend type");
}

static bool is_called(const struct model *m, struct str name)
{
    if (str_eq(m->name, name)) {
        return true;
    }
    for (size_t i = 0; i < m->alias_count; i++) {
        if (str_eq(m->aliases[i], name)) {
            return true;
        }
    }
    return false;
}

const struct model *catalog_find_model(const struct catalog *c, struct str name)
{
    const struct model *wildcard = NULL;
    for (size_t i = 0; i < c->model_count; i++) {
        const struct model *m = &c->models[i];
        if (is_called(m, name)) {
            return m;
        }
        if (m->is_wildcard && !wildcard) {
            wildcard = m;
        }
    }
    return wildcard;
}

const struct backend *catalog_find_backend(const struct catalog *c, struct str name)
{
    for (size_t i = 0; i < c->backend_count; i++) {
        if (str_eq(c->backends[i].name, name)) {
            return &c->backends[i];
        }
    }
    return NULL;
}
