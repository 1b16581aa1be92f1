#include "alert/hook_slack.h"

#include <inttypes.h>
#include <string.h>

#include "alert/entities.h"
#include "alert/wording.h"
#include "base/utf8.h"

/* Slack's own limits are 150 characters for a header and 3,000 for a section. */
enum { HEADER_MAX = 150, SECTION_MAX = 2900 };

static json_t *section_text(struct str text)
{
    /* verbatim: names that look like links or channels are none. */
    return json_pack("{ss ss sb}", "type", "mrkdwn", "text", text.ptr, "verbatim", 1);
}

static json_t *make_fields(const struct wording *w, struct arena *a)
{
    json_t *fields = json_array();
    for (size_t i = 0; i < w->fact_count; i++) {
        struct str value = entities_for_slack(a, w->facts[i].value);
        (void)json_array_append_new(
            fields,
            section_text(arena_printf(a, "*%s*\n%.*s", w->facts[i].name, STR_FMT(value))));
    }
    return fields;
}

/* As many lines as a section takes. */
static struct str make_list(const struct wording *w, struct arena *a)
{
    struct str all = arena_printf(a, "*%s*", w->lines_title);
    size_t i = 0;
    for (; i < w->line_count; i++) {
        struct str line = entities_for_slack(a, w->lines[i]);
        if (all.len + line.len > SECTION_MAX) {
            break;
        }
        all = arena_printf(a, "%.*s\n\xe2\x80\xa2 %.*s", STR_FMT(all), STR_FMT(line));
    }
    uint64_t more = w->line_count - i + w->lines_left_out;
    return more == 0
               ? all
               : arena_printf(a, "%.*s\n\xe2\x80\xa2 and %" PRIu64 " more", STR_FMT(all), more);
}

json_t *hook_slack(const struct alert *alert, struct arena *a)
{
    struct wording w;
    wording_make(alert, a, &w);
    struct str header = entities_for_slack(a, utf8_cut(w.title, HEADER_MAX));
    struct str headline = entities_for_slack(a, w.headline);
    json_t *blocks =
        json_pack("[{ss s{ss ss}} {ss so} {ss so}]", "type", "header", "text", "type",
                  "plain_text", "text", header.ptr, "type", "section", "text",
                  section_text(headline), "type", "section", "fields", make_fields(&w, a));
    if (w.line_count > 0) {
        (void)json_array_append_new(blocks, json_pack("{ss so}", "type", "section", "text",
                                                      section_text(make_list(&w, a))));
    }
    struct str title = entities_for_slack(a, w.title);
    struct str text = arena_printf(a, "%.*s\n%.*s", STR_FMT(title), STR_FMT(headline));
    return json_pack("{ss so}", "text", text.ptr, "blocks", blocks);
}
