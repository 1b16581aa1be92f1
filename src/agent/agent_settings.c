#include "agent/agent_settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/conf_rows.h"
#include "base/conf_value.h"

enum {
    SECOND = 1000,
    MINUTE = 60 * SECOND,
    HOUR = 60 * MINUTE,
    PATH_BYTES = 4096,
    SECRET_BYTES = 4096,
    SHORT_SECRET = 8,
    SAMPLES_MAX = 8,
    FULL_PER_10K = 10000,
    CELSIUS_MAX = 200
};

#define POLICY(field) CONF_FIELD(struct agent_settings, policy.field)
#define DURATION_ROW(key, member, least, most, text, why)                                    \
    {                                                                                        \
        .name = (key), .type = CONF_DURATION, POLICY(member), .min = (least), .max = (most), \
        .fallback = (text), .help = (why)                                                    \
    }
#define NUMBER_ROW(key, member, least, most, text, why)                                     \
    {                                                                                       \
        .name = (key), .type = CONF_INTEGER, POLICY(member), .min = (least), .max = (most), \
        .fallback = (text), .help = (why)                                                   \
    }

static const struct conf_row THRESHOLD_ROWS[] = {
    NUMBER_ROW("samples_bad", samples_bad, 1, SAMPLES_MAX, "3",
               "readings, of the last `samples_of`, that make heat or the power brake count"),
    NUMBER_ROW("samples_of", samples_of, 1, SAMPLES_MAX, "5",
               "how many readings back it looks"),
    NUMBER_ROW("samples_good", samples_good, 1, 1000, "5",
               "good readings in a row before such a thing is over"),
    DURATION_ROW("hold", hold_ms, 0, HOUR, "60s", "and it lasts that long at least"),
    NUMBER_ROW("cool_by", cool_by_c, 0, CELSIUS_MAX, "5",
               "degrees below the slowdown limit (memory: its own) before heat is over"),
    NUMBER_ROW("shutdown_margin", shutdown_margin_c, 0, CELSIUS_MAX, "3",
               "degrees below the shutdown limit from which it is DOWN"),
    NUMBER_ROW("tlimit_margin", tlimit_margin_c, 0, CELSIUS_MAX, "2",
               "the same on boards that tell margins instead of limits"),
    NUMBER_ROW("memory_max", memory_max_c, 0, CELSIUS_MAX, "95",
               "degrees of the memory, where the board does not say; 0: not judged then"),
    {.name = "hw_share",
     .type = CONF_PERCENT,
     POLICY(hw_share_per_10k),
     .max = FULL_PER_10K,
     .fallback = "10%",
     .help = "of the time, by the time counters, slowed down by hardware or power brake"},
    {.name = "sw_share",
     .type = CONF_PERCENT,
     POLICY(sw_share_per_10k),
     .max = FULL_PER_10K,
     .fallback = "25%",
     .help = "of the time, slowed down by the driver for heat"},
    NUMBER_ROW("retired_pages", retired_pages, 0, UINT32_MAX, "63",
               "of memory, from which the board is worn out; 0: not judged"),
    NUMBER_ROW("app_repeat", app_repeat, 0, 16, "3",
               "application Xids within `app_window` that are the GPU's fault; 0: never"),
    DURATION_ROW("app_window", app_window_ms, SECOND, 24 * HOUR, "10m", ""),
    DURATION_ROW("app_hold", app_hold_ms, 0, 24 * HOUR, "5m",
                 "an application Xid counts for that long"),
    DURATION_ROW("xid_hold", xid_hold_ms, 0, 24 * HOUR, "10m",
                 "an Xid of the list `degraded`, or of no list, counts for that long"),
    DURATION_ROW("ecc_grace", ecc_grace_ms, 0, MINUTE, "2s",
                 "an Xid within it explains an uncorrected memory error"),
    DURATION_ROW("dedupe", dedupe_ms, 0, MINUTE, "5s",
                 "the same Xid from NVML and from the kernel's log within it is one"),
    DURATION_ROW("late_after", late_after_ms, 10, HOUR, "5s",
                 "an answer of the driver is late"),
    DURATION_ROW("hung_after", hung_after_ms, 10, HOUR, "10s", "it makes the GPUs DEGRADED"),
    DURATION_ROW("hung_down_after", hung_down_after_ms, 0, HOUR, "0",
                 "it makes them DOWN; 0: only together with a line about the GSP"),
    DURATION_ROW("gsp_window", gsp_window_ms, 0, 24 * HOUR, "10m",
                 "a kernel line about a GSP that does not answer counts for that long"),
    NUMBER_ROW("on_time", on_time, 1, 1000, "3",
               "answers in time, in a row, before lateness is over"),
    {.name = "start_after",
     .type = CONF_DURATION,
     CONF_FIELD(struct agent_settings, start_after_ms),
     .min = 10,
     .max = HOUR,
     .fallback = "30s",
     .help = "loading NVML and attaching the GPUs may take that long before it is late"},
    {.name = "abandon_after",
     .type = CONF_DURATION,
     CONF_FIELD(struct agent_settings, abandon_after_ms),
     .min = 10,
     .max = HOUR,
     .fallback = "60s",
     .help = "a probe that has not answered is left alone"},
};
static const struct conf_table THRESHOLD_TABLE = {.what = "'thresholds'",
                                                  CONF_ROWS(THRESHOLD_ROWS)};

/* --- xids --- */

/* One list: its numbers get the class of the list. */
static void read_xids(struct conf *c, const struct conf_node *n, struct agent_settings *s,
                      enum xid_class class)
{
    static const struct conf_row NUMBER = {
        .name = "xid", .type = CONF_INTEGER, .width = sizeof(uint32_t), .max = XID_MAX - 1};
    if (n->kind != CONF_LIST) {
        conf_error(c, n->start, "a list of Xids is wanted, not %s", conf_kind_name(n));
        return;
    }
    for (size_t i = 0; i < n->count; i++) {
        uint32_t xid = 0;
        if (conf_read_value(c, n->items[i].value, &NUMBER, &xid)) {
            s->policy.xids.class_of[xid] = (uint8_t) class;
        }
    }
}

#define XID_READER(function, class)                                             \
    static void function(struct conf *c, const struct conf_node *n, void *into) \
    {                                                                           \
        read_xids(c, n, into, class);                                           \
    }
XID_READER(read_ignore, XID_IGNORE)
XID_READER(read_action, XID_ACTION)
XID_READER(read_app, XID_APP)
XID_READER(read_maintenance, XID_MAINTENANCE)
XID_READER(read_degraded, XID_DEGRADE)
XID_READER(read_if_fatal, XID_IF_FATAL)
XID_READER(read_down, XID_DOWN)
XID_READER(read_reboot, XID_REBOOT)
XID_READER(read_lost, XID_LOST)

#define XID_ROW(key, function, text, why)                                         \
    {                                                                             \
        .name = (key), .type = CONF_READ, .read = (function), .fallback = (text), \
        .help = (why)                                                             \
    }

static const struct conf_row XID_ROWS[] = {
    XID_ROW("lost", read_lost, "79", "the GPU has left the bus"),
    XID_ROW("reboot", read_reboot, "151", "DOWN until the machine has started anew"),
    XID_ROW("down", read_down,
            "46 48 62 64 95 109 110 119 120 136 140 143 155 156 158 167 169 171-173 175",
            "DOWN until a reset is seen"),
    XID_ROW("down_if_fatal", read_if_fatal, "74 144-150",
            "as `down` when the text says Fatal, else as `degraded`"),
    XID_ROW("restart_app", read_app,
            "8 11 13 25 31 32 39-41 60 68-72 75-77 80 82-86 88 89 94 96-105 126-135 139",
            "the process' work is lost"),
    XID_ROW("maintenance", read_maintenance, "63",
            "memory is to be replaced at the next reset"),
    XID_ROW("degraded", read_degraded, "all others", "DEGRADED for `xid_hold`"),
    XID_ROW("action", read_action, "154", "announces a recovery action"),
    XID_ROW("ignore", read_ignore,
            "14 37 38 43-45 66 67 92 93 106-108 121 137 141 152 153 157 160 161",
            "counted only"),
};
static const struct conf_table XID_TABLE = {.what = "'xids'", CONF_ROWS(XID_ROWS)};

/* Each Xid in one list only. */
static void refuse_doubles(struct conf *c, const struct conf_node *xids)
{
    const struct conf_node *seen[XID_MAX] = {NULL};
    for (size_t i = 0; i < xids->count; i++) {
        const struct conf_node *list = xids->items[i].value;
        for (size_t k = 0; list->kind == CONF_LIST && k < list->count; k++) {
            const struct conf_node *n = list->items[k].value;
            uint64_t xid = 0;
            if (n->kind != CONF_SCALAR || str_to_u64(n->text, XID_MAX - 1, &xid) != ERR_OK) {
                continue;
            }
            if (seen[xid]) {
                conf_error(c, n->start, "Xid %u is listed twice", (unsigned)xid);
            }
            seen[xid] = n;
        }
    }
}

static void read_lists(struct conf *c, const struct conf_node *n, void *into)
{
    (void)conf_read_map(c, n, &XID_TABLE, into);
    if (n->kind == CONF_MAP) {
        refuse_doubles(c, n);
    }
}

/* --- the root --- */

static void read_listen(struct conf *c, const struct conf_node *n, void *into)
{
    struct agent_settings *s = into;
    struct str text = STR("");
    const char *why = NULL;
    if (!conf_text(c, n, &text)) {
        return;
    }
    s->listen_node = n;
    if (address_parse(text, &s->listen, &why) != ERR_OK) {
        conf_error(c, n->start, "%s is no address (host:port, [::1]:port or unix:/path): %s",
                   conf_quote(c, n).ptr, why ? why : "malformed");
    }
}

static const struct conf_row TLS_ROWS[] = {
    {.name = "cert",
     .type = CONF_PATH,
     .flags = CONF_REQUIRED,
     CONF_FIELD(struct agent_settings, tls_cert),
     .min = 1,
     .max = PATH_BYTES,
     .help = "PEM file of the certificate and its chain"},
    {.name = "key",
     .type = CONF_PATH,
     .flags = CONF_REQUIRED,
     CONF_FIELD(struct agent_settings, tls_key),
     .min = 1,
     .max = PATH_BYTES,
     .help = "PEM file of its private key"},
};
static const struct conf_table TLS_TABLE = {.what = "'tls'", CONF_ROWS(TLS_ROWS)};

static const char *const LEVELS[] = {"debug", "info", "warn", "error", "off", NULL};
static const char *const FORMATS[] = {"logfmt", "json", NULL};
static const struct conf_row LOG_ROWS[] = {
    {.name = "level",
     .type = CONF_WORD,
     CONF_FIELD(struct agent_settings, log_level),
     .words = LEVELS,
     .fallback = "info",
     .help = "debug, info, warn, error or off"},
    {.name = "format",
     .type = CONF_WORD,
     CONF_FIELD(struct agent_settings, log_format),
     .words = FORMATS,
     .fallback = "logfmt",
     .help = "logfmt or json"},
    {.name = "file",
     .type = CONF_STRING,
     CONF_FIELD(struct agent_settings, log_file),
     .min = 1,
     .max = PATH_BYTES,
     .fallback = "stderr",
     .help = "stderr, or a file to append to"},
};
static const struct conf_table LOG_TABLE = {.what = "'log'", CONF_ROWS(LOG_ROWS)};

#define TEXT_ROW(key, member, text, why)                                               \
    {                                                                                  \
        .name = (key), .type = CONF_STRING, CONF_FIELD(struct agent_settings, member), \
        .min = 1, .max = PATH_BYTES, .fallback = (text), .help = (why)                 \
    }

static const struct conf_row ROOT_ROWS[] = {
    {.name = "listen",
     .type = CONF_READ,
     .read = read_listen,
     .fallback = "127.0.0.1:8402",
     .help = "host:port, [::1]:port or unix:/path"},
    {.name = "token",
     .type = CONF_STRING,
     .flags = CONF_SECRET,
     CONF_FIELD(struct agent_settings, token),
     .min = 1,
     .max = SECRET_BYTES,
     .help = "what clients must send as Authorization: Bearer; needed beyond loopback"},
    {.name = "tls", .type = CONF_TABLE, .table = &TLS_TABLE, .help = "the port speaks TLS"},
    {.name = "interval",
     .type = CONF_DURATION,
     CONF_FIELD(struct agent_settings, interval_ms),
     .min = 50,
     .max = HOUR,
     .fallback = "1s",
     .help = "between readings"},
    TEXT_ROW("nvml_library", nvml_library, "libnvidia-ml.so.1", "NVML; a name or a path"),
    TEXT_ROW("kmsg", kmsg, "/dev/kmsg", "the kernel's log, or a file like it; `off`: not read"),
    TEXT_ROW("sysfs_root", sysfs_root, "/sys", "where sysfs is"),
    TEXT_ROW("proc_root", proc_root, "/proc", "where procfs is"),
    TEXT_ROW("state", state, "/var/lib/fallthrough/agent.json",
             "what outlives the agent; `off`: nothing"),
    {.name = "retry",
     .type = CONF_DURATION,
     CONF_FIELD(struct agent_settings, retry_ms),
     .min = 10,
     .max = 24 * HOUR,
     .fallback = "5m",
     .help = "between looks for a driver where there was none"},
    {.name = "thresholds",
     .type = CONF_TABLE,
     .table = &THRESHOLD_TABLE,
     .help = "what makes a GPU DEGRADED or DOWN"},
    {.name = "xids", .type = CONF_READ, .read = read_lists, .help = "what Xids mean"},
    {.name = "log", .type = CONF_TABLE, .table = &LOG_TABLE, .help = "its own log"},
};
static const struct conf_table ROOT_TABLE = {.what = "the agent's configuration",
                                             CONF_ROWS(ROOT_ROWS)};

const struct conf_table *const *agent_settings_tables(size_t *count)
{
    static const struct conf_table *const tables[] = {&ROOT_TABLE, &THRESHOLD_TABLE, &XID_TABLE,
                                                      &TLS_TABLE, &LOG_TABLE};
    *count = sizeof(tables) / sizeof(tables[0]);
    return tables;
}

struct agent_settings *agent_settings_new(void)
{
    struct agent_settings *s = mem_alloc(sizeof(*s));
    const char *why = NULL;
    arena_init(&s->arena);
    if (address_parse(STR("127.0.0.1:8402"), &s->listen, &why) != ERR_OK) {
        s->listen.port = 0;
    }
    s->token = s->tls_cert = s->tls_key = STR("");
    s->interval_ms = SECOND;
    s->nvml_library = STR("libnvidia-ml.so.1");
    s->kmsg = STR("/dev/kmsg");
    s->sysfs_root = STR("/sys");
    s->proc_root = STR("/proc");
    s->state = STR("/var/lib/fallthrough/agent.json");
    s->start_after_ms = 30 * SECOND;
    s->abandon_after_ms = MINUTE;
    s->retry_ms = 5 * MINUTE;
    gpu_policy_set_defaults(&s->policy);
    s->log_level = LOG_INFO;
    s->log_format = LOG_LOGFMT;
    s->log_file = STR("stderr");
    return s;
}

void agent_settings_free(struct agent_settings **s)
{
    if (*s) {
        arena_fini(&(*s)->arena);
        free(*s);
        *s = NULL;
    }
}

/* --- what belongs together --- */

static void check_token(struct conf *c, const struct agent_settings *s)
{
    const struct conf_node *n = conf_get(c->root, STR("token"));
    for (size_t i = 0; n && i < s->token.len; i++) {
        if (s->token.ptr[i] <= ' ' || s->token.ptr[i] > '~') {
            conf_error(c, n->start, "a token must be visible ASCII without spaces");
            return;
        }
    }
    if (n && s->token.len > 0 && s->token.len < SHORT_SECRET) {
        conf_warning(c, n->start, "a token of fewer than %d characters can be guessed",
                     SHORT_SECRET);
    }
    if (!address_is_loopback(&s->listen) && s->token.len == 0 && s->listen_node) {
        conf_error(c, s->listen_node->start,
                   "others can reach %s: without 'token' only a loopback address is allowed",
                   conf_quote(c, s->listen_node).ptr);
    }
}

static void check_samples(struct conf *c, const struct agent_settings *s)
{
    const struct conf_node *n = conf_get(c->root, STR("thresholds"));
    if (n && s->policy.samples_bad > s->policy.samples_of) {
        conf_error(c, n->start, "'samples_bad' cannot be more than 'samples_of'");
    }
    if (n && s->policy.hung_after_ms < s->policy.late_after_ms) {
        conf_error(c, n->start, "'hung_after' cannot be less than 'late_after'");
    }
}

enum err agent_settings_load(struct agent_settings *s, struct str path,
                             struct conf_errors *errors)
{
    struct conf conf;
    if (conf_open(&conf, path, errors)) {
        conf.texts = &s->arena;
        (void)conf_read_map(&conf, conf.root, &ROOT_TABLE, s);
        check_token(&conf, s);
        check_samples(&conf, s);
        s->listen_node = NULL;
    }
    conf_close(&conf);
    return errors->error_count > 0 ? ERR_SYNTAX : ERR_OK;
}
