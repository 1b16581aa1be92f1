#include "alert/channel.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <string.h>

#include "alert/hook.h"
#include "alert/mail.h"
#include "alert/mime.h"
#include "alert/reply.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"

enum { ANSWER_KEPT = 4096, ANSWER_MAX = 1024 * 1024, RETRY_AFTER_MAX_S = 24 * 3600 };
enum { SECRETS_MAX = 80 }; /* password in three forms, two keys, target, path, 64 headers */

/* One try. */
struct sending {
    const struct alert_channel *ch;
    const struct alert *alert;
    atomic_bool *cancel; /* NULL: cannot be cancelled */
    CURL *curl;
    struct curl_slist *list; /* headers or recipients */
    struct str mail;         /* what of it is not sent yet */
    struct smtp_replies replies;
    struct buf answer; /* the start of an HTTP body */
    size_t answer_bytes;
    char why[CURL_ERROR_SIZE];
    struct arena arena;
};

/* The value of an option is of many types: no function takes it. */
#define SET(s, option, value) CHECK(curl_easy_setopt((s)->curl, (option), (value)) == CURLE_OK)

void channel_start(void)
{
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

void channel_stop(void)
{
    curl_global_cleanup();
}

/* --- called by libcurl --- */

static int on_progress(void *owner, curl_off_t d_all, curl_off_t d, curl_off_t u_all,
                       curl_off_t u)
{
    const struct sending *s = owner;
    (void)d_all;
    (void)d;
    (void)u_all;
    (void)u;
    return s->cancel && atomic_load(s->cancel) ? 1 : 0;
}

static size_t on_mail_wanted(char *room, size_t size, size_t count, void *owner)
{
    struct sending *s = owner;
    size_t len = size * count < s->mail.len ? size * count : s->mail.len;
    memcpy(room, s->mail.ptr, len);
    s->mail = str_from_at(s->mail, len);
    return len;
}

static size_t on_smtp_line(char *line, size_t size, size_t count, void *owner)
{
    struct sending *s = owner;
    smtp_replies_take(&s->replies, str_of(line, size * count));
    return size * count;
}

/* What failed before the mail itself (a server that knows no EHLO, a STARTTLS that could be
 * done without) is past: from here on it is about recipients. */
static int on_debug(CURL *curl, curl_infotype type, char *bytes, size_t len, void *owner)
{
    struct sending *s = owner;
    (void)curl;
    if (type == CURLINFO_HEADER_OUT && str_starts(str_of(bytes, len), STR("MAIL FROM:"))) {
        s->replies.failure = 0;
    }
    return 0;
}

/* The start of it is kept for people; who sends without end is cut off. */
static size_t on_answer(char *piece, size_t size, size_t count, void *owner)
{
    struct sending *s = owner;
    size_t len = size * count;
    size_t room = ANSWER_KEPT - buf_len(&s->answer);
    CHECK(buf_append(&s->answer, str_of(piece, len < room ? len : room)) == ERR_OK);
    s->answer_bytes += len;
    return s->answer_bytes <= ANSWER_MAX ? len : 0;
}

/* --- what is asked for --- */

static void add(struct sending *s, struct str text)
{
    struct str z = arena_dup(&s->arena, text);
    struct curl_slist *longer = curl_slist_append(s->list, z.ptr);
    CHECK(longer != NULL);
    s->list = longer;
}

/* As a string with a NUL; libcurl makes its own copy. */
static const char *z_of(struct sending *s, struct str text)
{
    return arena_dup(&s->arena, text).ptr;
}

static void set_common(struct sending *s, const char *protocols)
{
    SET(s, CURLOPT_URL, z_of(s, s->ch->url));
    SET(s, CURLOPT_PROTOCOLS_STR, protocols);
    SET(s, CURLOPT_FOLLOWLOCATION, 0L);
    SET(s, CURLOPT_PROXY, "");
    SET(s, CURLOPT_NOSIGNAL, 1L);
    SET(s, CURLOPT_QUICK_EXIT, 1L); /* a resolver that hangs is not waited for */
    SET(s, CURLOPT_TIMEOUT_MS, (long)s->ch->timeout_ms);
    SET(s, CURLOPT_CONNECTTIMEOUT_MS, (long)s->ch->timeout_ms);
    SET(s, CURLOPT_ERRORBUFFER, s->why);
    SET(s, CURLOPT_NOPROGRESS, 0L);
    SET(s, CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(s, CURLOPT_XFERINFODATA, s);
    SET(s, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(s, CURLOPT_SSL_VERIFYPEER, 1L);
    SET(s, CURLOPT_SSL_VERIFYHOST, 2L);
    if (s->ch->ca.len > 0) {
        SET(s, CURLOPT_CAINFO, z_of(s, s->ch->ca));
        SET(s, CURLOPT_CAPATH, NULL); /* these and no others */
    }
}

static long ssl_level_of(enum starttls starttls)
{
    switch (starttls) {
    case STARTTLS_REQUIRED:
        return CURLUSESSL_ALL;
    case STARTTLS_AUTO:
        return CURLUSESSL_TRY;
    case STARTTLS_OFF:
        return CURLUSESSL_NONE;
    }
    BUG("no such word");
}

static void log_in(struct sending *s)
{
    const struct alert_channel *ch = s->ch;
    if (!str_starts(ch->url, STR("smtps:"))) {
        SET(s, CURLOPT_USE_SSL, ssl_level_of(ch->starttls));
    }
    if (ch->user.len > 0) {
        SET(s, CURLOPT_USERNAME, z_of(s, ch->user));
        SET(s, CURLOPT_PASSWORD, z_of(s, ch->password));
        /* Left to itself, libcurl prefers Kerberos and NTLM where they are offered, and fails.
         */
        SET(s, CURLOPT_LOGIN_OPTIONS, "AUTH=PLAIN;AUTH=LOGIN");
    }
}

static void listen_to_smtp(struct sending *s)
{
    SET(s, CURLOPT_HEADERFUNCTION, on_smtp_line);
    SET(s, CURLOPT_HEADERDATA, s);
    SET(s, CURLOPT_VERBOSE, 1L); /* on_debug takes all of it, and prints nothing */
    SET(s, CURLOPT_DEBUGFUNCTION, on_debug);
    SET(s, CURLOPT_DEBUGDATA, s);
}

static void ask_by_mail(struct sending *s)
{
    const struct alert_channel *ch = s->ch;
    s->mail = mail_render(ch, s->alert, &s->arena);
    set_common(s, "smtp,smtps");
    log_in(s);
    listen_to_smtp(s);
    SET(s, CURLOPT_MAIL_FROM, arena_printf(&s->arena, "<%.*s>", STR_FMT(ch->from)).ptr);
    for (size_t i = 0; i < ch->to_count; i++) {
        add(s, arena_printf(&s->arena, "<%.*s>", STR_FMT(ch->to[i])));
    }
    SET(s, CURLOPT_MAIL_RCPT, s->list);
    SET(s, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L); /* one unknown recipient costs only himself */
    SET(s, CURLOPT_UPLOAD, 1L);
    SET(s, CURLOPT_READFUNCTION, on_mail_wanted);
    SET(s, CURLOPT_READDATA, s);
}

static void ask_by_post(struct sending *s)
{
    const struct alert_channel *ch = s->ch;
    struct hook hook;
    hook_render(ch, s->alert, clock_wall_ms(), &s->arena, &hook);
    set_common(s, "http,https");
    add(s, STR("Content-Type: application/json"));
    add(s, STR("User-Agent: fallthrough/" FALLTHROUGH_VERSION));
    add(s, STR("Expect:")); /* no question before the body */
    if (hook.signature.len > 0) {
        add(s,
            arena_printf(&s->arena, "X-Fallthrough-Timestamp: %.*s", STR_FMT(hook.timestamp)));
        add(s,
            arena_printf(&s->arena, "X-Fallthrough-Signature: %.*s", STR_FMT(hook.signature)));
    }
    for (size_t i = 0; i < ch->header_count; i++) {
        const struct alert_header *h = &ch->headers[i];
        /* libcurl leaves out "Name:"; "Name;" is its word for one without a value. */
        add(s, h->value.len > 0
                   ? arena_printf(&s->arena, "%.*s: %.*s", STR_FMT(h->name), STR_FMT(h->value))
                   : arena_printf(&s->arena, "%.*s;", STR_FMT(h->name)));
    }
    SET(s, CURLOPT_HTTPHEADER, s->list);
    SET(s, CURLOPT_POST, 1L);
    SET(s, CURLOPT_POSTFIELDSIZE, (long)hook.body.len);
    SET(s, CURLOPT_POSTFIELDS, hook.body.ptr); /* lives in the arena */
    SET(s, CURLOPT_WRITEFUNCTION, on_answer);
    SET(s, CURLOPT_WRITEDATA, s);
}

/* --- what came of it --- */

/* Path and query of a URL. */
static struct str target_of(struct str url)
{
    struct str rest = url;
    (void)str_cut(&rest, '/');
    (void)str_cut(&rest, '/');
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.ptr[i] == '/' || rest.ptr[i] == '?') {
            return str_from_at(rest, i);
        }
    }
    return STR("");
}

static size_t list_secrets(struct sending *s, struct str out[SECRETS_MAX])
{
    const struct alert_channel *ch = s->ch;
    struct str plain = arena_printf(&s->arena, "%c%.*s%c%.*s", '\0', STR_FMT(ch->user), '\0',
                                    STR_FMT(ch->password));
    size_t count = 0;
    if (ch->password.len > 0) {
        /* As AUTH LOGIN and AUTH PLAIN send it: a server may repeat what it does not know. */
        out[count++] = mime_base64(&s->arena, plain);
        out[count++] = mime_base64(&s->arena, ch->password);
    }
    /* Who does not know a path likes to repeat it, and it may hold a token. */
    struct str target = target_of(ch->url);
    struct str query = target;
    out[count++] = target;
    out[count++] = str_cut(&query, '?');
    out[count++] = ch->password;
    out[count++] = ch->secret;
    out[count++] = ch->routing_key;
    for (size_t i = 0; i < ch->header_count && count < SECRETS_MAX; i++) {
        out[count++] = ch->headers[i].value;
    }
    return count;
}

static void put_words(struct sending *s, struct str text, struct delivery_report *out)
{
    struct str secrets[SECRETS_MAX];
    size_t count = list_secrets(s, secrets);
    reply_put(out->words, sizeof(out->words), text, secrets, count);
}

/* What libcurl says of a try that had no answer. */
static void put_why(struct sending *s, CURLcode code, struct delivery_report *out)
{
    if (code == CURLE_ABORTED_BY_CALLBACK) {
        put_words(s, STR("cancelled"), out);
    } else if (code == CURLE_USE_SSL_FAILED) {
        put_words(s, STR("the server does not offer STARTTLS, which is required"), out);
    } else {
        put_words(s, str_from(s->why[0] != '\0' ? s->why : curl_easy_strerror(code)), out);
    }
}

static enum delivery judge_mail(struct sending *s, CURLcode code, struct delivery_report *out)
{
    const struct smtp_replies *r = &s->replies;
    if (code == CURLE_OK) {
        out->status = r->last;
        put_words(s,
                  r->failure > 0
                      ? arena_printf(&s->arena, "not to every recipient: %s", r->failure_words)
                      : str_from(r->last_words),
                  out);
        return DELIVERED;
    }
    if (r->last >= 400) {
        out->status = r->last;
        put_words(s, str_from(r->last_words), out);
        return smtp_replies_judge(r);
    }
    put_why(s, code, out);
    /* The server knows no way to log in that we know: that is not a matter of time. */
    return code == CURLE_LOGIN_DENIED ? DELIVERY_REFUSED : DELIVERY_LATER;
}

static uint32_t retry_after_ms(struct sending *s)
{
    curl_off_t seconds = 0;
    if (curl_easy_getinfo(s->curl, CURLINFO_RETRY_AFTER, &seconds) != CURLE_OK ||
        seconds <= 0) {
        return 0;
    }
    return (uint32_t)(seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S) * 1000;
}

static enum delivery judge_post(struct sending *s, CURLcode code, struct delivery_report *out)
{
    long status = 0;
    (void)curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    bool was_cut = code == CURLE_WRITE_ERROR && s->answer_bytes > ANSWER_MAX;
    if (code != CURLE_OK && !was_cut) {
        put_why(s, code, out);
        return DELIVERY_LATER;
    }
    struct str said = buf_str(&s->answer);
    out->status = (int)status;
    out->retry_after_ms = retry_after_ms(s);
    put_words(s, said.len > 0 ? said : arena_printf(&s->arena, "HTTP status %ld", status), out);
    return reply_judge_http(out->status);
}

enum delivery channel_send(const struct alert_channel *ch, const struct alert *alert,
                           struct delivery_report *out, void *cancel)
{
    struct sending s = {.ch = ch, .alert = alert, .cancel = cancel};
    *out = (struct delivery_report){.status = 0};
    arena_init(&s.arena);
    buf_init(&s.answer, ANSWER_KEPT);
    s.curl = curl_easy_init();
    CHECK(s.curl != NULL);
    bool is_mail = ch->format == ALERT_MAIL;
    if (is_mail) {
        ask_by_mail(&s);
    } else {
        ask_by_post(&s);
    }
    CURLcode code = curl_easy_perform(s.curl);
    enum delivery result = is_mail ? judge_mail(&s, code, out) : judge_post(&s, code, out);
    curl_easy_cleanup(s.curl);
    curl_slist_free_all(s.list);
    buf_fini(&s.answer);
    arena_fini(&s.arena);
    return result;
}
