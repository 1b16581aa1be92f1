#include "base/conf_value.h"
#include "gate/settings_private.h"
#include "wire/mail_address.h"
#include "wire/url.h"

/*
 * One channel of the file's `alerts`: a mapping of `email` or of `webhook`.
 */

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };
enum { URL_BYTES = 2048, SECRET_BYTES = 4096, USER_BYTES = 256, PATH_BYTES = 2048 };
enum { BURST_MAX = 1000, RECIPIENTS_MAX = 64, DAY_MIN = 24 * 60 };

#define PAGERDUTY_URL "https://events.pagerduty.com/v2/enqueue"
#define ALERTMANAGER_PATH "/api/v2/alerts"

static const char *const SEVERITY_WORDS[] = {"info", "warning", "error", NULL};
static const char *const STARTTLS_WORDS[] = {"required", "auto", "off", NULL};
/* In the order of enum alert_format, without ALERT_MAIL. */
static const char *const FORMAT_WORDS[] = {"json", "slack", "pagerduty", "alertmanager", NULL};

/* --- what all channels have --- */

static void read_name(struct conf *c, const struct conf_node *n, void *into)
{
    struct alert_channel *ch = into;
    struct str text = STR("");
    if (!conf_text(c, n, &text)) {
        return;
    }
    bool is_good = text.len > 0 && text.len <= NAME_MAX_BYTES;
    for (size_t i = 0; i < text.len; i++) {
        char b = text.ptr[i];
        bool is_word =
            (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9');
        is_good = is_good && (is_word || b == '.' || b == '_' || b == '-');
    }
    if (!is_good) {
        conf_error(c, n->start,
                   "a channel's name has up to %d letters, digits, '.', '_' and '-'",
                   NAME_MAX_BYTES);
        return;
    }
    ch->name = text;
}

static const struct conf_row RATE_ROWS[] = {
    {.name = "burst",
     .type = CONF_INTEGER,
     CONF_FIELD(struct alert_rate, burst),
     .min = 1,
     .max = BURST_MAX,
     .fallback = "3",
     .help = "single messages at once; more go into a digest"},
    {.name = "every",
     .type = CONF_DURATION,
     CONF_FIELD(struct alert_rate, refill_ms),
     .min = 100,
     .max = 24 * HOUR,
     .fallback = "10m",
     .help = "until one more may go singly"},
};
const struct conf_table ALERT_RATE_TABLE = {.what = "a channel's 'rate'", CONF_ROWS(RATE_ROWS)};

/* "07:30" to minutes since midnight. */
static bool read_minute(struct conf *c, const struct conf_node *n, const char *key,
                        uint16_t *out)
{
    struct str text = STR("");
    uint64_t hour = 0;
    uint64_t minute = 0;
    if (!conf_text(c, n, &text)) {
        return false;
    }
    bool is_good = text.len == 5 && text.ptr[2] == ':' &&
                   str_to_u64(str_of(text.ptr, 2), 23, &hour) == ERR_OK &&
                   str_to_u64(str_from_at(text, 3), 59, &minute) == ERR_OK;
    if (!is_good) {
        conf_error(c, n->start, "'%s' must be a time of day such as \"22:00\", not %s", key,
                   conf_quote(c, n).ptr);
        return false;
    }
    *out = (uint16_t)(hour * 60 + minute);
    return true;
}

static void read_quiet_from(struct conf *c, const struct conf_node *n, void *into)
{
    (void)read_minute(c, n, "from", &((struct quiet_hours *)into)->from_min);
}

static void read_quiet_to(struct conf *c, const struct conf_node *n, void *into)
{
    (void)read_minute(c, n, "to", &((struct quiet_hours *)into)->to_min);
}

static const struct conf_row QUIET_ROWS[] = {
    {.name = "from",
     .type = CONF_READ,
     .flags = CONF_REQUIRED,
     .read = read_quiet_from,
     .help = "when they begin, by the gateway's local time"},
    {.name = "to",
     .type = CONF_READ,
     .flags = CONF_REQUIRED,
     .read = read_quiet_to,
     .help = "when they end; earlier than from: over midnight"},
    {.name = "severity",
     .type = CONF_WORD,
     CONF_FIELD(struct quiet_hours, at_least),
     .words = SEVERITY_WORDS,
     .fallback = "error",
     .help = "this and worse is told all the same"},
};
const struct conf_table QUIET_HOURS_TABLE = {.what = "'quiet_hours'", CONF_ROWS(QUIET_ROWS)};

#define NAME_ROW                                                              \
    {                                                                         \
        .name = "name", .type = CONF_READ, .read = read_name,                 \
        .help = "what events and 'alert test' call it, unique among channels" \
    }
#define SEVERITY_ROW                                                                       \
    {                                                                                      \
        .name = "severity", .type = CONF_WORD, CONF_FIELD(struct alert_channel, at_least), \
        .words = SEVERITY_WORDS, .fallback = "warning",                                    \
        .help = "less severe incidents are not told here"                                  \
    }
#define RATE_ROW                                                                    \
    {                                                                               \
        .name = "rate", .type = CONF_TABLE, CONF_FIELD(struct alert_channel, rate), \
        .table = &ALERT_RATE_TABLE, .help = "how many single messages"              \
    }
#define QUIET_ROW                                                                           \
    {                                                                                       \
        .name = "quiet_hours", .type = CONF_TABLE, CONF_FIELD(struct alert_channel, quiet), \
        .table = &QUIET_HOURS_TABLE, .help = "when only the worst is told"                  \
    }
#define TIMEOUT_ROW                                                                   \
    {                                                                                 \
        .name = "timeout", .type = CONF_DURATION,                                     \
        CONF_FIELD(struct alert_channel, timeout_ms), .min = 100, .max = 10 * MINUTE, \
        .fallback = "20s", .help = "for one delivery as a whole"                      \
    }
#define CA_ROW                                                                           \
    {                                                                                    \
        .name = "ca", .type = CONF_PATH, CONF_FIELD(struct alert_channel, ca), .min = 1, \
        .max = PATH_BYTES,                                                               \
        .help = "PEM file of the authorities that may sign the server's certificate"     \
    }

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char b = (unsigned char)s.ptr[i];
        if (b < 0x20 || b == 0x7f) {
            return true;
        }
    }
    return false;
}

/* Whether the server is one that only this machine can reach. */
static bool is_loopback(const struct url *u)
{
    struct address a = {.host = u->host, .is_ipv6 = u->is_ipv6, .path = STR("")};
    return address_is_loopback(&a);
}

/* --- email --- */

/* smtp://host[:port], as if it were an http URL. False: *why says what is wrong. */
static bool parse_smtp(struct conf *c, struct str text, struct url *out, const char **why)
{
    bool is_tls = str_starts_nocase(text, STR("smtps://"));
    if (!is_tls && !str_starts_nocase(text, STR("smtp://"))) {
        *why = "it must begin with smtp:// or smtps://";
        return false;
    }
    struct str rest = str_from_at(text, is_tls ? 8 : 7);
    struct str http = arena_printf(&c->arena, "http://%.*s", STR_FMT(rest));
    if (url_parse(http, out, why) != ERR_OK) {
        return false;
    }
    *why = "a path is not allowed";
    out->tls = is_tls;
    return out->path.len == 0;
}

static void read_smtp(struct conf *c, const struct conf_node *n, void *into)
{
    struct alert_channel *ch = into;
    struct str text = STR("");
    struct url u;
    const char *why = "malformed";
    if (!conf_text(c, n, &text)) {
        return;
    }
    if (text.len > URL_BYTES || !parse_smtp(c, text, &u, &why)) {
        conf_hide(c, n); /* somebody may have put a password into it */
        conf_error(c, n->start, "'smtp' is no URL such as smtp://mail.example.com:587: %s",
                   why);
        return;
    }
    ch->url = arena_printf(c->texts, "%s://%s%.*s%s", u.tls ? "smtps" : "smtp",
                           u.is_ipv6 ? "[" : "", STR_FMT(u.host), u.is_ipv6 ? "]" : "");
    if (u.has_port) {
        ch->url = arena_printf(c->texts, "%.*s:%u", STR_FMT(ch->url), u.port);
    }
}

static bool read_address(struct conf *c, const struct conf_node *n, struct str *out)
{
    struct str text = STR("");
    const char *why = NULL;
    if (!conf_text(c, n, &text)) {
        return false;
    }
    if (!mail_address_is_good(text, &why)) {
        conf_error(c, n->start, "%s is no mail address such as ops@example.com: %s",
                   conf_quote(c, n).ptr, why);
        return false;
    }
    *out = text;
    return true;
}

static void read_from(struct conf *c, const struct conf_node *n, void *into)
{
    (void)read_address(c, n, &((struct alert_channel *)into)->from);
}

static void read_to(struct conf *c, const struct conf_node *n, void *into)
{
    struct alert_channel *ch = into;
    size_t count = n->kind == CONF_LIST ? n->count : 1;
    if (count == 0 || count > RECIPIENTS_MAX) {
        conf_error(c, n->start, "'to' must have from 1 to %d addresses", RECIPIENTS_MAX);
        return;
    }
    struct str *all = arena_zalloc(c->texts, count * sizeof(*all));
    for (size_t i = 0; i < count; i++) {
        const struct conf_node *item = n->kind == CONF_LIST ? n->items[i].value : n;
        ch->to_count += read_address(c, item, &all[ch->to_count]) ? 1 : 0;
    }
    ch->to = all;
}

static const struct conf_row EMAIL_ROWS[] = {
    NAME_ROW,
    {.name = "smtp",
     .type = CONF_READ,
     .flags = CONF_REQUIRED,
     .read = read_smtp,
     .help = "smtp://host[:port] (port 25, 587 for submission) or smtps://... (465)"},
    {.name = "user",
     .type = CONF_STRING,
     CONF_FIELD(struct alert_channel, user),
     .min = 1,
     .max = USER_BYTES,
     .help = "for AUTH PLAIN or LOGIN"},
    {.name = "password",
     .type = CONF_STRING,
     .flags = CONF_SECRET,
     CONF_FIELD(struct alert_channel, password),
     .min = 1,
     .max = SECRET_BYTES,
     .help = "the same"},
    {.name = "from",
     .type = CONF_READ,
     .flags = CONF_REQUIRED,
     .read = read_from,
     .help = "the sender's address"},
    {.name = "to",
     .type = CONF_READ,
     .flags = CONF_REQUIRED,
     .read = read_to,
     .help = "the recipient's address, or a list of them"},
    {.name = "starttls",
     .type = CONF_WORD,
     CONF_FIELD(struct alert_channel, starttls),
     .words = STARTTLS_WORDS,
     .help = "of smtp://: required, auto or off"},
    CA_ROW,
    SEVERITY_ROW,
    RATE_ROW,
    QUIET_ROW,
    TIMEOUT_ROW,
};
const struct conf_table EMAIL_TABLE = {.what = "a mail channel", CONF_ROWS(EMAIL_ROWS)};

static void check_login(struct conf *c, const struct conf_node *n,
                        const struct alert_channel *ch)
{
    const struct conf_node *user = conf_get(n, STR("user"));
    const struct conf_node *password = conf_get(n, STR("password"));
    if ((user != NULL) != (password != NULL)) {
        conf_error(c, user ? user->start : password->start,
                   "'user' and 'password' go together");
    }
    if (user && has_control(ch->user)) {
        conf_error(c, user->start, "'user' must not hold control characters");
    }
    if (password && has_control(ch->password)) {
        conf_error(c, password->start, "'password' must not hold control characters");
    }
}

static void check_tls(struct conf *c, const struct conf_node *n, const struct alert_channel *ch)
{
    const struct conf_node *starttls = conf_get(n, STR("starttls"));
    const struct conf_node *ca = conf_get(n, STR("ca"));
    struct url u;
    const char *why = NULL;
    if (ch->url.len == 0 || !parse_smtp(c, ch->url, &u, &why)) {
        return; /* a mistake was noted */
    }
    if (u.tls && starttls) {
        conf_error(c, starttls->start, "'starttls' is for smtp://, not for smtps://");
    }
    if (!u.tls && ca && ch->starttls == STARTTLS_OFF) {
        conf_error(c, ca->start, "'ca' needs smtps:// or STARTTLS");
    }
    if (!u.tls && ch->password.len > 0 && ch->starttls != STARTTLS_REQUIRED &&
        !is_loopback(&u)) {
        conf_warning(c, starttls ? starttls->start : n->start,
                     "the password may go to the server in the clear");
    }
}

void alert_read_email(struct conf *c, const struct conf_node *n, struct alert_channel *out)
{
    /* Who has a password must not lose it to somebody on the way; else mail is better than no
     * mail. */
    bool has_password = n->kind == CONF_MAP && conf_get(n, STR("password"));
    out->starttls = has_password ? STARTTLS_REQUIRED : STARTTLS_AUTO;
    (void)conf_read_map(c, n, &EMAIL_TABLE, out);
    if (n->kind == CONF_MAP) {
        check_login(c, n, out);
        check_tls(c, n, out);
    }
}

/* --- webhook --- */

/* The URL without its query, which url_parse does not take. */
static bool parse_hook(struct str text, struct url *out, const char **why)
{
    struct str query = text;
    struct str base = str_cut(&query, '?');
    if (url_parse(base, out, why) != ERR_OK) {
        return false;
    }
    *why = "malformed query";
    return access_is_visible(query) && !str_has(query, STR("#"));
}

static void read_hook_url(struct conf *c, const struct conf_node *n, void *into)
{
    static const struct conf_row ROW = {.name = "url",
                                        .type = CONF_STRING,
                                        .flags = CONF_SECRET,
                                        CONF_FIELD(struct alert_channel, url),
                                        .min = 1,
                                        .max = URL_BYTES};
    struct alert_channel *ch = into;
    struct url u;
    const char *why = NULL;
    if (!conf_read_value(c, n, &ROW, ch)) {
        return;
    }
    if (!parse_hook(ch->url, &u, &why)) {
        conf_error(c, n->start, "'url' is no URL such as https://hooks.example.com/...: %s",
                   why ? why : "malformed");
        ch->url = STR("");
    }
}

static void read_format(struct conf *c, const struct conf_node *n, void *into)
{
    static const struct conf_row ROW = {.name = "format",
                                        .type = CONF_WORD,
                                        .offset = 0,
                                        .width = sizeof(uint32_t),
                                        .words = FORMAT_WORDS};
    uint32_t index = 0;
    if (conf_read_value(c, n, &ROW, &index)) {
        ((struct alert_channel *)into)->format = (enum alert_format)(ALERT_JSON + index);
    }
}

static bool is_ours(struct conf *c, const struct conf_item *item)
{
    if (!str_starts_nocase(item->key, STR("x-fallthrough-"))) {
        return false;
    }
    conf_error(c, item->mark, "header '%.*s' is set by fallthrough itself", STR_FMT(item->key));
    return true;
}

static void read_header(struct conf *c, const struct conf_item *item, struct alert_channel *ch,
                        struct alert_header *all)
{
    struct str value = STR("");
    if (is_ours(c, item) || !header_read(c, item, &value)) {
        return;
    }
    for (size_t i = 0; i < ch->header_count; i++) {
        if (str_eq_nocase(all[i].name, item->key)) {
            conf_error(c, item->mark, "header '%.*s' is given twice", STR_FMT(item->key));
            return;
        }
    }
    all[ch->header_count++] =
        (struct alert_header){.name = arena_dup(c->texts, item->key), .value = value};
}

static void read_headers(struct conf *c, const struct conf_node *n, void *into)
{
    struct alert_channel *ch = into;
    if (n->kind != CONF_MAP || n->count > HEADERS_MAX) {
        conf_hide(c, n);
        conf_error(c, n->start, "'headers' must be a mapping of up to %d names to values",
                   HEADERS_MAX);
        return;
    }
    struct alert_header *all = arena_zalloc(c->texts, (n->count + 1) * sizeof(*all));
    ch->headers = all;
    for (size_t i = 0; i < n->count; i++) {
        read_header(c, &n->items[i], ch, all);
    }
}

static const struct conf_row WEBHOOK_ROWS[] = {
    NAME_ROW,
    {.name = "url",
     .type = CONF_READ,
     .flags = CONF_SECRET,
     .read = read_hook_url,
     .help = "https://... or http://...; of alertmanager without its /api/v2/alerts"},
    {.name = "format",
     .type = CONF_READ,
     .read = read_format,
     .fallback = "json",
     .help = "json, slack, pagerduty or alertmanager"},
    {.name = "secret",
     .type = CONF_STRING,
     .flags = CONF_SECRET,
     CONF_FIELD(struct alert_channel, secret),
     .min = 1,
     .max = SECRET_BYTES,
     .help = "of json: signs each message with HMAC-SHA256"},
    {.name = "routing_key",
     .type = CONF_STRING,
     .flags = CONF_SECRET,
     CONF_FIELD(struct alert_channel, routing_key),
     .min = 1,
     .max = SECRET_BYTES,
     .help = "of pagerduty: the integration key of the service"},
    {.name = "headers",
     .type = CONF_READ,
     .flags = CONF_SECRET,
     .read = read_headers,
     .help = "further headers of each message"},
    CA_ROW,
    SEVERITY_ROW,
    RATE_ROW,
    QUIET_ROW,
    TIMEOUT_ROW,
};
const struct conf_table WEBHOOK_TABLE = {.what = "a webhook channel", CONF_ROWS(WEBHOOK_ROWS)};

/* Keys that only one format knows, and that it may need. */
static void check_own_keys(struct conf *c, const struct conf_node *n,
                           const struct alert_channel *ch)
{
    const struct conf_node *secret = conf_get(n, STR("secret"));
    const struct conf_node *key = conf_get(n, STR("routing_key"));
    if (secret && ch->format != ALERT_JSON) {
        conf_error(c, secret->start, "'secret' is for format json");
    }
    if (key && ch->format != ALERT_PAGERDUTY) {
        conf_error(c, key->start, "'routing_key' is for format pagerduty");
    }
    if (!key && ch->format == ALERT_PAGERDUTY) {
        conf_error(c, n->start, "format pagerduty needs 'routing_key'");
    }
    if (key && !access_is_visible(ch->routing_key)) {
        conf_error(c, key->start, "'routing_key' must be visible ASCII without spaces");
    }
}

static void complete_url(struct conf *c, const struct conf_node *n, struct alert_channel *ch)
{
    const struct conf_node *ca = conf_get(n, STR("ca"));
    struct url u;
    const char *why = NULL;
    if (!conf_get(n, STR("url")) && ch->format == ALERT_PAGERDUTY) {
        ch->url = STR(PAGERDUTY_URL);
    } else if (!conf_get(n, STR("url"))) {
        conf_error(c, n->start, "a webhook channel needs 'url'");
    }
    if (ch->url.len == 0 || !parse_hook(ch->url, &u, &why)) {
        return; /* a mistake was noted */
    }
    if (ca && !u.tls) {
        conf_error(c, ca->start, "'ca' needs an https url");
    }
    if (ch->format != ALERT_ALERTMANAGER || str_ends(u.path, STR(ALERTMANAGER_PATH))) {
        return;
    }
    if (str_has(ch->url, STR("?"))) {
        conf_error(c, conf_get(n, STR("url"))->start,
                   "the 'url' of an alertmanager has no query");
        return;
    }
    size_t base = (size_t)(u.path.ptr + u.path.len - ch->url.ptr);
    ch->url =
        arena_printf(c->texts, "%.*s" ALERTMANAGER_PATH, STR_FMT(str_of(ch->url.ptr, base)));
}

void alert_read_webhook(struct conf *c, const struct conf_node *n, struct alert_channel *out)
{
    (void)conf_read_map(c, n, &WEBHOOK_TABLE, out);
    if (n->kind == CONF_MAP) {
        check_own_keys(c, n, out);
        complete_url(c, n, out);
    }
}
