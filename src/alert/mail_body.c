#include "alert/mail_body.h"

#include <inttypes.h>
#include <string.h>

#include "alert/entities.h"
#include "base/buf.h"
#include "base/check.h"

/* Twelve lines of 240 bytes and eight facts of 400, each byte as an entity of six, in cells. */
enum { BODY_MAX = 256 * 1024 };

static void put(struct buf *b, struct str s)
{
    CHECK(buf_append(b, s) == ERR_OK);
}

static struct str take(struct buf *b, struct arena *a)
{
    struct str s = arena_dup(a, buf_str(b));
    buf_fini(b);
    return s;
}

/* --- text --- */

struct str mail_body_text(const struct wording *w, struct arena *a)
{
    enum { NAME_WIDTH = 16 }; /* "What users felt:" */
    struct buf b;
    buf_init(&b, BODY_MAX);
    CHECK(buf_printf(&b, "%.*s\n\n", STR_FMT(w->headline)) == ERR_OK);
    for (size_t i = 0; i < w->fact_count; i++) {
        const struct fact *f = &w->facts[i];
        struct str name = arena_printf(a, "%s:", f->name);
        CHECK(buf_printf(&b, "%-*.*s %.*s\n", NAME_WIDTH, STR_FMT(name), STR_FMT(f->value)) ==
              ERR_OK);
    }
    if (w->line_count > 0) {
        CHECK(buf_printf(&b, "\n%s:\n", w->lines_title) == ERR_OK);
    }
    for (size_t i = 0; i < w->line_count; i++) {
        CHECK(buf_printf(&b, "* %.*s\n", STR_FMT(w->lines[i])) == ERR_OK);
    }
    if (w->lines_left_out > 0) {
        CHECK(buf_printf(&b, "* and %" PRIu32 " more\n", w->lines_left_out) == ERR_OK);
    }
    /* RFC 3676: what follows such a line is a signature. */
    put(&b, STR("\n-- \nSent by fallthrough\n"));
    return take(&b, a);
}

/* --- html --- */

static const char *color_of(enum severity severity, bool is_over)
{
    if (is_over) {
        return "#1a7f37";
    }
    switch (severity) {
    case SEVERITY_INFO:
        return "#0969da";
    case SEVERITY_WARN:
        return "#bf6a02";
    case SEVERITY_ERROR:
        return "#cf222e";
    }
    BUG("no such severity");
}

static void put_html_facts(struct buf *b, const struct wording *w, struct arena *a)
{
    put(b, STR("<table role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\" "
               "style=\"border-collapse:collapse;width:100%\">\n"));
    for (size_t i = 0; i < w->fact_count; i++) {
        const struct fact *f = &w->facts[i];
        CHECK(buf_printf(b,
                         "<tr><td style=\"padding:6px 12px 6px 0;vertical-align:top;"
                         "color:#57606a;white-space:nowrap\">%s</td>"
                         "<td style=\"padding:6px 0;vertical-align:top;"
                         "overflow-wrap:anywhere\">%.*s</td></tr>\n",
                         f->name, STR_FMT(entities_for_html(a, f->value))) == ERR_OK);
    }
    put(b, STR("</table>\n"));
}

static void put_html_lines(struct buf *b, const struct wording *w, struct arena *a)
{
    if (w->line_count == 0) {
        return;
    }
    CHECK(buf_printf(b,
                     "<p style=\"margin:16px 0 4px;color:#57606a\">%s</p>\n"
                     "<ul style=\"margin:0;padding-left:20px\">\n",
                     w->lines_title) == ERR_OK);
    for (size_t i = 0; i < w->line_count; i++) {
        CHECK(buf_printf(b, "<li style=\"overflow-wrap:anywhere\">%.*s</li>\n",
                         STR_FMT(entities_for_html(a, w->lines[i]))) == ERR_OK);
    }
    if (w->lines_left_out > 0) {
        CHECK(buf_printf(b, "<li>and %" PRIu32 " more</li>\n", w->lines_left_out) == ERR_OK);
    }
    put(b, STR("</ul>\n"));
}

struct str mail_body_html(const struct wording *w, enum severity severity, bool is_over,
                          struct arena *a)
{
    struct buf b;
    buf_init(&b, BODY_MAX);
    CHECK(buf_printf(&b,
                     "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                     "<title>%.*s</title></head>\n",
                     STR_FMT(entities_for_html(a, w->title))) == ERR_OK);
    put(&b, STR("<body style=\"margin:0;padding:16px;font:15px/1.4 system-ui,sans-serif;"
                "color:#1f2328;background:#ffffff\">\n"));
    CHECK(buf_printf(&b,
                     "<div style=\"max-width:600px\">\n<p style=\"margin:0 0 12px;"
                     "padding:8px 12px;border-left:4px solid %s;font-size:17px;"
                     "font-weight:600\">%.*s</p>\n",
                     color_of(severity, is_over),
                     STR_FMT(entities_for_html(a, w->headline))) == ERR_OK);
    put_html_facts(&b, w, a);
    put_html_lines(&b, w, a);
    put(&b, STR("<p style=\"margin:16px 0 0;color:#57606a;font-size:13px\">Sent by fallthrough"
                "</p>\n</div>\n</body></html>\n"));
    return take(&b, a);
}
