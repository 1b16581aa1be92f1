#include "ops/event_json.h"

#include "base/clock.h"
#include "ops/tell.h"

static json_t *text_or_null(const char *text)
{
    return text[0] != '\0' ? tell_text(str_from(text)) : json_null();
}

static json_t *numbers_object(const struct event *e)
{
    const struct event_row *row = event_row(e->kind);
    json_t *o = json_object();
    for (size_t i = 0; i < EVENT_NUMBERS; i++) {
        if (row->numbers[i][0] != '\0') {
            tell_put(o, row->numbers[i], json_integer(e->numbers[i]));
        }
    }
    return o;
}

json_t *event_json(const struct event *e)
{
    char at[25];
    char text[EVENT_TEXT];
    json_t *o = json_object();
    clock_format(e->wall_ms, at);
    event_text(e, text);
    tell_put(o, "id", tell_whole(e->id));
    tell_put(o, "at", json_string(at));
    tell_put(o, "kind", json_string(event_row(e->kind)->name));
    tell_put(o, "severity", json_string(severity_name(e->severity)));
    tell_put(o, "incident", e->incident > 0 ? tell_whole(e->incident) : json_null());
    tell_put(o, "backend", text_or_null(e->backend));
    tell_put(o, "other", text_or_null(e->other));
    tell_put(o, "model", text_or_null(e->model));
    tell_put(o, "word", text_or_null(e->word));
    tell_put(o, "was", text_or_null(e->was));
    tell_put(o, "cause", text_or_null(e->cause));
    tell_put(o, "text", tell_text(str_from(text)));
    tell_put(o, "times", tell_whole(e->times));
    tell_put(o, "numbers", numbers_object(e));
    return o;
}
