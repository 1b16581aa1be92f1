#include "tiers/signs.h"

#include "base/str.h"

static uint64_t breaker_bit(const char *model)
{
    return 1ULL << (str_hash(str_from(model)) % 64);
}

bool signs_take(struct signs *s, const struct event *e)
{
    bool is_bad = e->severity != SEVERITY_INFO;
    if (e->kind == EVENT_KIND_state) {
        s->is_down = is_bad;
        return true;
    }
    if (e->kind == EVENT_KIND_gpu) {
        s->is_ailing = is_bad;
        return true;
    }
    if (e->kind == EVENT_KIND_breaker) {
        uint64_t bit = breaker_bit(e->model);
        s->open_breakers = is_bad ? s->open_breakers | bit : s->open_breakers & ~bit;
        return true;
    }
    return false;
}

bool signs_are_good(const struct signs *s)
{
    return !s->is_down && !s->is_ailing && s->open_breakers == 0;
}
