#include "tiers/event.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"

static const struct event_row rows[EVENT_KINDS] = {
#define EVENT_ROW(name_, flow_, severity_, n1, n2, n3, words_) \
    [EVENT_KIND_##name_] = {.name = #name_,                    \
                            .flow = EVENT_##flow_,             \
                            .severity = SEVERITY_##severity_,  \
                            .numbers = {n1, n2, n3},           \
                            .words = (words_)},
    EVENT_LIST(EVENT_ROW)
#undef EVENT_ROW
};

const char *severity_name(enum severity s)
{
    static const char *const names[SEVERITIES] = {"info", "warning", "error"};
    CHECK((unsigned)s < SEVERITIES);
    return names[s];
}

const struct event_row *event_row(enum event_kind kind)
{
    CHECK((unsigned)kind < EVENT_KINDS);
    return &rows[kind];
}

enum event_kind event_kind_find(struct str name)
{
    unsigned kind = 0;
    while (kind < EVENT_KINDS && !str_eq(name, str_from(rows[kind].name))) {
        kind++;
    }
    return (enum event_kind)kind;
}

struct event event_of(enum event_kind kind, uint64_t wall_ms, uint64_t mono_ms)
{
    return (struct event){.wall_ms = wall_ms,
                          .mono_ms = mono_ms,
                          .kind = kind,
                          .severity = event_row(kind)->severity,
                          .times = 1};
}

static bool continues_character(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

void event_put(char *field, size_t size, struct str text)
{
    size_t len = text.len < size - 1 ? text.len : size - 1;
    while (len > 0 && len < text.len && continues_character(text.ptr[len])) {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        field[i] = (char)(c < ' ' || c == 0x7F ? '?' : c);
    }
    field[len] = '\0';
}

/* What `$x` stands for; numbers are written into `room`. */
static const char *value_of(const struct event *e, char x, char room[24])
{
    switch (x) {
    case 'b':
        return e->backend;
    case 'o':
        return e->other;
    case 'm':
        return e->model;
    case 's':
        return e->backend[0] != '\0' ? e->backend : e->model;
    case 'w':
        return e->word;
    case 'p':
        return e->was;
    case 'c':
        return e->cause;
    default:
        CHECK(x >= '1' && x < '1' + EVENT_NUMBERS);
        (void)snprintf(room, 24, "%lld", (long long)e->numbers[x - '1']);
        return room;
    }
}

void event_text(const struct event *e, char out[EVENT_TEXT])
{
    const char *words = event_row(e->kind)->words;
    size_t at = 0;
    if (e->kind == EVENT_KIND_state && strcmp(e->word, e->was) == 0) {
        words = "$b stays $w: $c"; /* the cause is another one */
    }
    for (; *words != '\0' && at < EVENT_TEXT - 1; words++) {
        char room[24];
        if (*words != '$') {
            out[at++] = *words;
            continue;
        }
        words++;
        const char *value = value_of(e, *words, room);
        size_t len = strlen(value);
        len = len < EVENT_TEXT - 1 - at ? len : EVENT_TEXT - 1 - at;
        memcpy(out + at, value, len);
        at += len;
    }
    out[at] = '\0';
}
