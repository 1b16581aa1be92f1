#include "base/conf_value.h"
#include "gate/settings_private.h"

enum { MINUTE = 60 * 1000, DAY = 24 * 60 * MINUTE, MIB = 1 << 20 };
enum { MESSAGE_BYTES = 4000, CACHE_MIBS = 64, CACHE_MIBS_MAX = 64 * 1024 };

static const struct conf_row LAST_RESORT_ROWS[] = {
    {.name = "cache",
     .type = CONF_DURATION,
     CONF_FIELD(struct last_resort_policy, cache_ms),
     .min = 0,
     .max = DAY,
     .fallback = "0",
     .help = "how old an identical request's answer may be that is given again; 0 keeps none"},
    {.name = "message",
     .type = CONF_STRING,
     CONF_FIELD(struct last_resort_policy, message),
     .min = 0,
     .max = MESSAGE_BYTES,
     .help = "a fixed text that answers when nothing else does"},
    {.name = "cache_size", /* the last: a model has none of its own */
     .type = CONF_SIZE,
     CONF_FIELD(struct last_resort_draft, cache_bytes),
     .min = MIB,
     .max = (uint64_t)CACHE_MIBS_MAX * MIB,
     .fallback = "64m",
     .help = "memory for such answers, of all models together"},
};
enum { SIZE_ROW = sizeof(LAST_RESORT_ROWS) / sizeof(LAST_RESORT_ROWS[0]) - 1 };
const struct conf_table LAST_RESORT_TABLE = {.what = "'last_resort'",
                                             CONF_ROWS(LAST_RESORT_ROWS)};
const struct conf_table MODEL_LAST_RESORT_TABLE = {
    .what = "a model's 'last_resort'", .rows = LAST_RESORT_ROWS, .count = SIZE_ROW};

void policy_set_last_resort(struct last_resort_draft *l)
{
    *l = (struct last_resort_draft){.policy = {.message = STR("")},
                                    .cache_bytes = (size_t)CACHE_MIBS * MIB};
}

/* `into` is what the table says, and begins with *policy. */
static void read_either(struct conf *c, const struct conf_node *n,
                        const struct conf_table *table, struct last_resort_policy *policy,
                        void *into)
{
    if (n->kind == CONF_SCALAR && str_eq(n->text, STR("off"))) {
        *policy = (struct last_resort_policy){.message = STR("")};
        return;
    }
    if (n->kind != CONF_MAP) {
        conf_error(c, n->start, "expected off, or a mapping of cache and message, not %s",
                   conf_is_null(n) ? "nothing" : conf_quote(c, n).ptr);
        return;
    }
    (void)conf_read_map(c, n, table, into);
}

void policy_read_last_resort(struct conf *c, const struct conf_node *n,
                             struct last_resort_draft *out)
{
    read_either(c, n, &LAST_RESORT_TABLE, &out->policy, out);
}

void policy_read_own_last_resort(struct conf *c, const struct conf_node *n,
                                 struct last_resort_policy *out)
{
    read_either(c, n, &MODEL_LAST_RESORT_TABLE, out, out);
}
