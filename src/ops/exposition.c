#include "ops/exposition.h"

#include "base/check.h"

enum { DECIMALS_MAX = 9 };

const char *metric_kind_name(enum metric_kind kind)
{
    static const char *const names[] = {[METRIC_COUNTER] = "counter",
                                        [METRIC_GAUGE] = "gauge",
                                        [METRIC_HISTOGRAM] = "histogram"};
    return names[kind];
}

void exposition_init(struct exposition *e, size_t max)
{
    *e = (struct exposition){.is_cut = false};
    buf_init(&e->out, max);
}

void exposition_fini(struct exposition *e)
{
    buf_fini(&e->out);
}

static void put(struct exposition *e, struct str s)
{
    if (buf_append(&e->out, s) != ERR_OK) {
        e->is_cut = true;
    }
}

/* With the format's escapes; a quote is special inside of quotes only. */
static void put_escaped(struct exposition *e, struct str s, bool in_quotes)
{
    size_t from = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c != '\\' && c != '\n' && !(c == '"' && in_quotes)) {
            continue;
        }
        put(e, str_of(s.ptr + from, i - from));
        put(e, c == '\n' ? STR("\\n") : c == '"' ? STR("\\\"") : STR("\\\\"));
        from = i + 1;
    }
    put(e, str_from_at(s, from));
}

/* "12", "1.5", "0.002": no more digits than are needed. */
static void put_figure(struct exposition *e, struct figure f)
{
    char whole[STR_NUMBER_MAX];
    char fraction[DECIMALS_MAX];
    uint64_t value = f.value;
    uint32_t digits = f.decimals;
    CHECK(digits <= DECIMALS_MAX);
    while (digits > 0 && value % 10 == 0) {
        value /= 10;
        digits--;
    }
    for (uint32_t i = digits; i > 0; i--) {
        fraction[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    put(e, str_number(value, whole));
    if (digits > 0) {
        put(e, STR("."));
        put(e, str_of(fraction, digits));
    }
}

static void put_head(struct exposition *e, const char *word)
{
    put(e, STR("# "));
    put(e, str_from(word));
    put(e, STR(" "));
    put(e, str_from(e->family->name));
    put(e, STR(" "));
}

void exposition_begin(struct exposition *e, const struct family *f)
{
    e->family = f;
    put_head(e, "HELP");
    put_escaped(e, str_from(f->help), false);
    put(e, STR("\n"));
    put_head(e, "TYPE");
    put(e, str_from(metric_kind_name(f->kind)));
    put(e, STR("\n"));
}

/* `le` is the bound of a bucket; NULL: it is none. */
static void put_labels(struct exposition *e, const struct str *values, const struct figure *le)
{
    const char *const *names = e->family->labels;
    struct str mark = STR("{");
    for (size_t i = 0; names[i]; i++) {
        put(e, mark);
        put(e, str_from(names[i]));
        put(e, STR("=\""));
        put_escaped(e, values[i], true);
        put(e, STR("\""));
        mark = STR(",");
    }
    if (le) {
        put(e, mark);
        put(e, STR("le=\""));
        if (le->value == UINT64_MAX) {
            put(e, STR("+Inf"));
        } else {
            put_figure(e, *le);
        }
        put(e, STR("\""));
    }
    if (names[0] || le) {
        put(e, STR("}"));
    }
}

static void put_sample(struct exposition *e, const char *suffix, const struct str *values,
                       struct figure f)
{
    put(e, str_from(e->family->name));
    put(e, str_from(suffix));
    put_labels(e, values, NULL);
    put(e, STR(" "));
    put_figure(e, f);
    put(e, STR("\n"));
}

void exposition_put(struct exposition *e, const struct str *values, struct figure f)
{
    CHECK(e->family->kind != METRIC_HISTOGRAM);
    put_sample(e, "", values, f);
}

static void put_bucket(struct exposition *e, const struct str *values, struct figure most,
                       uint64_t count)
{
    put(e, str_from(e->family->name));
    put(e, STR("_bucket"));
    put_labels(e, values, &most);
    put(e, STR(" "));
    put_figure(e, (struct figure){count, 0});
    put(e, STR("\n"));
}

void exposition_put_times(struct exposition *e, const struct str *values,
                          const struct histogram *h)
{
    uint64_t total = 0;
    CHECK(e->family->kind == METRIC_HISTOGRAM);
    CHECK(h->bucket_count > 0 && h->most[h->bucket_count - 1] == UINT64_MAX);
    for (size_t i = 0; i < h->bucket_count; i++) {
        bool is_last = i + 1 == h->bucket_count;
        total += h->count[i];
        if (is_last || h->most[i + 1] != h->most[i]) {
            put_bucket(e, values, (struct figure){h->most[i], h->decimals}, total);
        }
    }
    put_sample(e, "_sum", values, (struct figure){h->sum, h->decimals});
    put_sample(e, "_count", values, (struct figure){total, 0});
}
