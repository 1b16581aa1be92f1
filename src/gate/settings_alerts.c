#include "base/conf_value.h"
#include "gate/settings_private.h"

/*
 * The file's `alerts`: what holds for all channels, and the two lists of channels, which are
 * gathered into one. What a channel says is read by settings_alert_channel.
 */

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };
enum { CHANNELS_MAX = 64, FOR_MS = 5 * SECOND, DIGEST_MS = 10 * MINUTE };
enum { RATE_BURST = 3, RATE_MS = 10 * MINUTE, TIMEOUT_MS = 20 * SECOND };

struct alerts_draft {
    struct alert_policy policy;
    const struct conf_node *email, *webhook; /* NULL: absent */
};

static void note_email(struct conf *c, const struct conf_node *n, void *into)
{
    (void)c;
    ((struct alerts_draft *)into)->email = n;
}

static void note_webhook(struct conf *c, const struct conf_node *n, void *into)
{
    (void)c;
    ((struct alerts_draft *)into)->webhook = n;
}

static const struct conf_row ALERTS_ROWS[] = {
    {.name = "for",
     .type = CONF_DURATION,
     CONF_FIELD(struct alerts_draft, policy.for_ms),
     .max = 24 * HOUR,
     .fallback = "5s",
     .help = "how long an incident must last before anybody is told"},
    {.name = "digest",
     .type = CONF_DURATION,
     CONF_FIELD(struct alerts_draft, policy.digest_ms),
     .min = 100,
     .max = 24 * HOUR,
     .fallback = "10m",
     .help = "between two digests, which hold what a channel's rate kept back"},
    {.name = "email",
     .type = CONF_READ,
     .flags = CONF_SECRET,
     .read = note_email,
     .help = "a mail channel, or a list of them"},
    {.name = "webhook",
     .type = CONF_READ,
     .flags = CONF_SECRET,
     .read = note_webhook,
     .help = "a webhook channel, or a list of them"},
};
const struct conf_table ALERTS_TABLE = {.what = "'alerts'", CONF_ROWS(ALERTS_ROWS)};

void alerts_set(struct alert_policy *p)
{
    *p = (struct alert_policy){.for_ms = FOR_MS, .digest_ms = DIGEST_MS};
}

static void set_channel(struct alert_channel *ch, enum alert_format format)
{
    *ch = (struct alert_channel){.name = STR(""),
                                 .format = format,
                                 .at_least = SEVERITY_WARN,
                                 .rate = {.burst = RATE_BURST, .refill_ms = RATE_MS},
                                 .quiet = {.at_least = SEVERITY_ERROR},
                                 .timeout_ms = TIMEOUT_MS,
                                 .url = STR(""),
                                 .ca = STR(""),
                                 .user = STR(""),
                                 .password = STR(""),
                                 .from = STR(""),
                                 .secret = STR(""),
                                 .routing_key = STR("")};
}

/* How many channels a node is. */
static size_t count_channels(const struct conf_node *n)
{
    if (!n) {
        return 0;
    }
    return n->kind == CONF_LIST ? n->count : 1;
}

static const struct conf_node *get_channel(const struct conf_node *n, size_t i)
{
    return n->kind == CONF_LIST ? n->items[i].value : n;
}

static void read_channels(struct conf *c, const struct conf_node *n, bool is_mail,
                          struct alert_channel *out)
{
    for (size_t i = 0; i < count_channels(n); i++) {
        const struct conf_node *item = get_channel(n, i);
        if (item->kind == CONF_SCALAR) {
            conf_hide(c, item); /* a webhook's URL, perhaps */
        }
        set_channel(&out[i], is_mail ? ALERT_MAIL : ALERT_JSON);
        if (is_mail) {
            alert_read_email(c, item, &out[i]);
        } else {
            alert_read_webhook(c, item, &out[i]);
        }
    }
}

static const struct alert_channel *find_channel(const struct alert_channel *all, size_t count,
                                                struct str name)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq(all[i].name, name)) {
            return &all[i];
        }
    }
    return NULL;
}

/* "email", "email2", …, or the format's name in its place: the first that is not taken. */
static void give_name(struct conf *c, struct alert_channel *all, size_t count, size_t i)
{
    const char *stem = all[i].format == ALERT_MAIL ? "email" : alert_format_name(all[i].format);
    struct str name = str_from(stem);
    for (unsigned n = 2; find_channel(all, count, name); n++) {
        name = arena_printf(c->texts, "%s%u", stem, n);
    }
    all[i].name = name;
}

static void check_names(struct conf *c, const struct alerts_draft *d, struct alert_channel *all)
{
    size_t mails = count_channels(d->email);
    for (size_t i = 0; i < d->policy.channel_count; i++) {
        const struct conf_node *n =
            i < mails ? get_channel(d->email, i) : get_channel(d->webhook, i - mails);
        if (all[i].name.len > 0 && find_channel(all, i, all[i].name)) {
            conf_error(c, n->start, "two channels have the name '%.*s'", STR_FMT(all[i].name));
        }
    }
    for (size_t i = 0; i < d->policy.channel_count; i++) {
        if (all[i].name.len == 0) {
            give_name(c, all, d->policy.channel_count, i);
        }
    }
}

void alerts_read(struct conf *c, const struct conf_node *n, struct alert_policy *out)
{
    struct alerts_draft d = {.policy = *out};
    (void)conf_read_map(c, n, &ALERTS_TABLE, &d);
    size_t mails = count_channels(d.email);
    size_t hooks = count_channels(d.webhook);
    if (mails + hooks > CHANNELS_MAX) {
        conf_error(c, n->start, "more than %d channels", CHANNELS_MAX);
        return;
    }
    struct alert_channel *all = arena_zalloc(c->texts, (mails + hooks + 1) * sizeof(*all));
    d.policy.channels = all;
    d.policy.channel_count = mails + hooks;
    read_channels(c, d.email, true, all);
    read_channels(c, d.webhook, false, all + mails);
    check_names(c, &d, all);
    *out = d.policy;
}
