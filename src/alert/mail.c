#include "alert/mail.h"

#include <inttypes.h>
#include <time.h>

#include "alert/mail_body.h"
#include "alert/mime.h"
#include "alert/wording.h"
#include "base/check.h"

enum { MAIL_MAX = 1024 * 1024 };

/* Cannot occur in quoted-printable, where a '=' stands before a digit or a line end. */
#define BOUNDARY "=_fallthrough_part"

/* --- who it is --- */

/* The gateway's name as a domain (RFC 5322 3.6.4), whatever it holds. */
static struct str domain_of(const char *gateway, struct arena *a)
{
    struct str name = arena_dup(a, str_from(gateway));
    char *out = arena_alloc(a, name.len + 1);
    bool was_dot = true;
    size_t len = 0;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_word =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool is_dot = c == '.' && !was_dot && i + 1 < name.len;
        out[len++] = is_word || is_dot ? c : '-';
        was_dot = is_dot;
    }
    return len > 0 ? str_of(out, len) : STR("gateway");
}

struct str mail_thread_id(const struct alert *alert, struct arena *a)
{
    return arena_printf(a, "<incident-%" PRIu64 ".%" PRIu64 ".fallthrough@%.*s>",
                        alert->incident, alert->opened_wall_ms,
                        STR_FMT(domain_of(alert->gateway, a)));
}

static bool is_of_incident(const struct alert *alert)
{
    return alert->moment != ALERT_DIGEST && alert->moment != ALERT_TEST;
}

struct str mail_id(const struct alert *alert, struct arena *a)
{
    if (alert->moment == ALERT_OPENED) {
        return mail_thread_id(alert, a);
    }
    if (is_of_incident(alert)) {
        return arena_printf(
            a, "<incident-%" PRIu64 ".%" PRIu64 ".%s-%" PRIu64 ".fallthrough@%.*s>",
            alert->incident, alert->opened_wall_ms, alert_moment_name(alert->moment),
            alert->number, STR_FMT(domain_of(alert->gateway, a)));
    }
    return arena_printf(a, "<%s-%" PRIu64 ".%" PRIu64 ".fallthrough@%.*s>",
                        alert_moment_name(alert->moment), alert->number, alert->wall_ms,
                        STR_FMT(domain_of(alert->gateway, a)));
}

/* --- the header --- */

/* RFC 5322 3.3, whatever the locale. */
static struct str date_of(uint64_t wall_ms, struct arena *a)
{
    static const char *const DAYS[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const MONTHS[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t s = (time_t)(wall_ms / 1000);
    struct tm t;
    CHECK(gmtime_r(&s, &t) != NULL);
    return arena_printf(a, "%s, %d %s %d %02d:%02d:%02d +0000", DAYS[t.tm_wday], t.tm_mday,
                        MONTHS[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

static void put_header(struct buf *b, const struct alert_channel *ch, const struct alert *alert,
                       struct str subject, struct arena *a)
{
    mime_text_field(b, "Date", date_of(alert->wall_ms, a));
    struct str from = arena_printf(a, "<%.*s>", STR_FMT(ch->from));
    CHECK(buf_printf(b, "From: fallthrough\r\n %.*s\r\n", STR_FMT(from)) == ERR_OK);
    mime_list_field(b, "To", ch->to, ch->to_count);
    mime_text_field(b, "Subject", subject);
    struct str id = mail_id(alert, a);
    mime_list_field(b, "Message-ID", &id, 1);
    if (is_of_incident(alert) && alert->moment != ALERT_OPENED) {
        struct str thread = mail_thread_id(alert, a);
        mime_list_field(b, "In-Reply-To", &thread, 1);
        mime_list_field(b, "References", &thread, 1);
    }
    /* RFC 3834: no answer of a machine is wanted. */
    CHECK(buf_append(b, STR("Auto-Submitted: auto-generated\r\n"
                            "X-Auto-Response-Suppress: All\r\n")) == ERR_OK);
    if (alert->severity == SEVERITY_ERROR && alert->moment != ALERT_OVER) {
        CHECK(buf_append(b, STR("Importance: high\r\n")) == ERR_OK);
    }
    CHECK(buf_append(b, STR("MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n"
                            " boundary=\"" BOUNDARY "\"\r\n\r\n")) == ERR_OK);
}

static void put_part(struct buf *b, const char *type, struct str body)
{
    CHECK(buf_printf(b,
                     "--" BOUNDARY "\r\nContent-Type: %s; charset=utf-8\r\n"
                     "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
                     type) == ERR_OK);
    mime_quoted(b, body);
}

struct str mail_render(const struct alert_channel *ch, const struct alert *alert,
                       struct arena *a)
{
    struct wording w;
    struct buf b;
    buf_init(&b, MAIL_MAX);
    wording_make(alert, a, &w);
    put_header(&b, ch, alert, w.title, a);
    put_part(&b, "text/plain", mail_body_text(&w, a));
    put_part(&b, "text/html",
             mail_body_html(&w, alert->severity, alert->moment == ALERT_OVER, a));
    CHECK(buf_append(&b, STR("--" BOUNDARY "--\r\n")) == ERR_OK);
    struct str mail = arena_dup(a, buf_str(&b));
    buf_fini(&b);
    return mail;
}
