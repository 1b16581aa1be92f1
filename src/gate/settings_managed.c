#include <string.h>

#include "base/conf_value.h"
#include "gate/settings_private.h"
#include "wire/url.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
enum { WORDS_MAX = 1024, TEXT_BYTES = 4096, RESTARTS_MAX = 64 };

static void read_command(struct conf *c, const struct conf_node *n, void *into)
{
    struct managed_policy *m = into;
    if (n->kind != CONF_LIST || n->count == 0 || n->count > WORDS_MAX) {
        conf_error(c, n->start,
                   "'command' must be a list of words, such as [vllm, serve, MODEL]");
        return;
    }
    char **word = arena_zalloc(c->texts, (n->count + 1) * sizeof(char *));
    for (size_t i = 0; i < n->count; i++) {
        struct str text = STR("");
        if (!conf_text(c, n->items[i].value, &text)) {
            return;
        }
        if (memchr(str_chars(text), '\0', text.len) != NULL || (i == 0 && text.len == 0)) {
            conf_error(c, n->items[i].value->start, "a word of a command cannot be that");
            return;
        }
        word[i] = arena_chars(c->texts, text);
    }
    m->command = word;
}

static void read_agent(struct conf *c, const struct conf_node *n, void *into)
{
    static const struct conf_row ROW = {.name = "agent",
                                        .type = CONF_STRING,
                                        CONF_FIELD(struct managed_policy, agent),
                                        .min = 1,
                                        .max = TEXT_BYTES};
    struct managed_policy *m = into;
    struct url u;
    const char *why = "it needs no TLS on this machine";
    if (!conf_read_value(c, n, &ROW, m)) {
        return;
    }
    if (url_parse(m->agent, &u, &why) != ERR_OK || u.tls) {
        conf_error(c, n->start, "'agent' is no usable URL such as http://127.0.0.1:8402: %s",
                   why);
    }
}

#define DURATION(key, place, low, high, is, what)                                       \
    {                                                                                   \
        .name = (key), .type = CONF_DURATION, CONF_FIELD(struct managed_policy, place), \
        .min = (low), .max = (high), .fallback = (is), .help = (what)                   \
    }

static const struct conf_row STOP_ROWS[] = {
    DURATION("term", term_ms, 0, HOUR, "20s", "after SIGTERM to its main process"),
    DURATION("rest", rest_ms, 0, HOUR, "5s", "after SIGTERM to all that is left"),
    DURATION("kill", kill_ms, 100, HOUR, "10s", "after SIGKILL"),
};
const struct conf_table MANAGED_STOP_TABLE = {.what = "'stop' of 'managed'",
                                              CONF_ROWS(STOP_ROWS)};

static const struct conf_row BACKOFF_ROWS[] = {
    DURATION("first", first_ms, 1, HOUR, "1s", "between its starts after a failure, doubled"),
    DURATION("max", max_ms, 1, HOUR, "5m", "the longest"),
};
const struct conf_table MANAGED_BACKOFF_TABLE = {.what = "'backoff' of 'managed'",
                                                 CONF_ROWS(BACKOFF_ROWS)};

static const struct conf_row GIVE_UP_ROWS[] = {
    {.name = "restarts",
     .type = CONF_INTEGER,
     CONF_FIELD(struct managed_policy, give_up_restarts),
     .min = 0,
     .max = RESTARTS_MAX,
     .fallback = "6",
     .help = "one more failure gives up until the next need; 0: never"},
    DURATION("within", give_up_within_ms, 1, DAY, "30m", "counted over"),
};
const struct conf_table MANAGED_GIVE_UP_TABLE = {.what = "'give_up' of 'managed'",
                                                 CONF_ROWS(GIVE_UP_ROWS)};

static const char *const STARTS[] = {"on_demand", "always", NULL};

static const struct conf_row MANAGED_ROWS[] = {
    {.name = "command",
     .type = CONF_READ,
     .flags = CONF_REQUIRED,
     .read = read_command,
     .help = "what starts it, as a list of words; it must stay in the foreground"},
    {.name = "start",
     .type = CONF_WORD,
     CONF_FIELD(struct managed_policy, start),
     .words = STARTS,
     .fallback = "on_demand",
     .help = "on_demand (nobody of the tiers above is usable) or always"},
    DURATION("stop_after", stop_after_ms, 0, DAY, "10m",
             "a better tier has served for so long without a break; 0: it is not stopped"),
    {.name = "gpu",
     .type = CONF_STRING,
     CONF_FIELD(struct managed_policy, gpu),
     .min = 0,
     .max = NAME_MAX_BYTES,
     .help = "a name: of all that have the same one, one at a time is started"},
    {.name = "needs_memory",
     .type = CONF_SIZE,
     CONF_FIELD(struct managed_policy, needs_memory),
     .min = 0,
     .max = INT64_MAX,
     .fallback = "0",
     .help = "that some GPU must have free before a start, by the agent"},
    {.name = "agent",
     .type = CONF_READ,
     .read = read_agent,
     .help = "URL of the GPU agent of this machine"},
    {.name = "agent_token",
     .type = CONF_STRING,
     .flags = CONF_SECRET,
     CONF_FIELD(struct managed_policy, agent_token),
     .min = 1,
     .max = TEXT_BYTES,
     .help = "sent to it"},
    {.name = "output",
     .type = CONF_PATH,
     CONF_FIELD(struct managed_policy, output),
     .min = 1,
     .max = TEXT_BYTES,
     .help = "file that its output and its guard's log are appended to, instead of our "
             "standard error"},
    {.name = "token",
     .type = CONF_BOOL,
     CONF_FIELD(struct managed_policy, wants_token),
     .fallback = "true",
     .help = "up only after one generated token; false: health alone tells"},
    DURATION("start_timeout", start_ms, 100, DAY, "15m", "from its start to the first token"),
    DURATION("hang_after", hang_ms, 0, HOUR, "60s",
             "work and no token for so long: its process is restarted; 0: not looked for"),
    {.name = "stop",
     .type = CONF_TABLE,
     .table = &MANAGED_STOP_TABLE,
     .help = "how it is ended"},
    {.name = "backoff",
     .type = CONF_TABLE,
     .table = &MANAGED_BACKOFF_TABLE,
     .help = "between its starts"},
    {.name = "give_up",
     .type = CONF_TABLE,
     .table = &MANAGED_GIVE_UP_TABLE,
     .help = "how many failures are too many"},
};
const struct conf_table MANAGED_TABLE = {.what = "'managed'", CONF_ROWS(MANAGED_ROWS)};

void managed_set_defaults(struct managed_policy *m)
{
    *m = (struct managed_policy){.start = MANAGED_ON_DEMAND,
                                 .stop_after_ms = 10 * MINUTE,
                                 .gpu = STR(""),
                                 .agent = STR(""),
                                 .agent_token = STR(""),
                                 .output = STR(""),
                                 .wants_token = true,
                                 .start_ms = 15 * MINUTE,
                                 .hang_ms = MINUTE,
                                 .term_ms = 20 * SECOND,
                                 .rest_ms = 5 * SECOND,
                                 .kill_ms = 10 * SECOND,
                                 .first_ms = SECOND,
                                 .max_ms = 5 * MINUTE,
                                 .give_up_restarts = 6,
                                 .give_up_within_ms = 30 * MINUTE};
}

void managed_check(struct draft *d, const struct conf_node *n, const struct backend *b)
{
    const struct conf_node *managed = conf_get(n, STR("managed"));
    if (!managed || managed->kind != CONF_MAP) {
        return;
    }
    if (b->type == BACKEND_ANTHROPIC) {
        conf_error(d->conf, managed->start,
                   "a backend of type anthropic cannot be started here");
    }
    if (b->host.len > 0 && b->tls) {
        conf_error(d->conf, managed->start,
                   "'managed' needs a plain http url: the server is started on this machine");
    }
    if (b->managed.needs_memory > 0 && b->managed.agent.len == 0) {
        conf_error(d->conf, conf_get(managed, STR("needs_memory"))->start,
                   "'needs_memory' needs 'agent': the GPU agent tells what is free");
    }
}
