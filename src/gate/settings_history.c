#include "base/conf_value.h"
#include "gate/settings_private.h"

#define SECOND 1000ULL
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define MIB (1ULL << 20)
enum { PATH_BYTES = 2048, KEEP_DAYS = 30, SIZE_MIBS = 256, SETTLE_S = 60 };

static const struct conf_row HISTORY_ROWS[] = {
    {.name = "path",
     .type = CONF_PATH,
     CONF_FIELD(struct history_policy, path),
     .min = 1,
     .max = PATH_BYTES,
     .help = "the database file; without it events are kept in memory only"},
    {.name = "keep",
     .type = CONF_DURATION,
     CONF_FIELD(struct history_policy, keep_ms),
     .min = SECOND,
     .max = 3650 * DAY,
     .fallback = "30d",
     .help = "how long events are kept there"},
    {.name = "max_size",
     .type = CONF_SIZE,
     CONF_FIELD(struct history_policy, max_bytes),
     .min = MIB,
     .max = (1ULL << 20) * MIB,
     .fallback = "256m",
     .help = "how large the file may become; the oldest events go first"},
    {.name = "settle",
     .type = CONF_DURATION,
     CONF_FIELD(struct history_policy, settle_ms),
     .min = 100,
     .max = 24 * HOUR,
     .fallback = "60s",
     .help = "how long a backend must have been well before its incident is over"},
};
const struct conf_table HISTORY_TABLE = {.what = "'history'", CONF_ROWS(HISTORY_ROWS)};

void history_set(struct history_policy *h)
{
    *h = (struct history_policy){.path = STR(""),
                                 .keep_ms = KEEP_DAYS * DAY,
                                 .max_bytes = SIZE_MIBS * MIB,
                                 .settle_ms = SETTLE_S * SECOND};
}

void history_read(struct conf *c, const struct conf_node *n, struct history_policy *out)
{
    struct str path = STR("");
    if (n->kind == CONF_MAP) {
        (void)conf_read_map(c, n, &HISTORY_TABLE, out);
    } else if (n->kind != CONF_SCALAR || conf_is_null(n)) {
        conf_error(c, n->start,
                   "expected a path, or a mapping of path, keep, max_size and settle, not %s",
                   conf_kind_name(n));
    } else if (conf_text(c, n, &path) && path.len > 0) {
        out->path = conf_path(c, path);
    }
}
