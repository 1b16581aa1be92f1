#include "ops/alert_pack.h"

#include <jansson.h>
#include <stddef.h>
#include <string.h>

#include "base/check.h"

struct text_field {
    const char *name;
    size_t offset;
    size_t size;
};

struct number_field {
    const char *name;
    size_t offset;
    bool is_small; /* uint32_t, else uint64_t */
};

#define TEXT(field)                                                               \
    {                                                                             \
#field, offsetof(struct alert, field), sizeof(((struct alert *)0)->field) \
    }
static const struct text_field TEXTS[] = {
    TEXT(gateway), TEXT(subject), TEXT(from), TEXT(to), TEXT(error), TEXT(action),
};
#undef TEXT

#define LARGE(name, field)                         \
    {                                              \
        name, offsetof(struct alert, field), false \
    }
#define SMALL(name, field)                        \
    {                                             \
        name, offsetof(struct alert, field), true \
    }
static const struct number_field NUMBERS[] = {
    LARGE("number", number),
    LARGE("incident", incident),
    LARGE("wall_ms", wall_ms),
    LARGE("opened_wall_ms", opened_wall_ms),
    LARGE("closed_wall_ms", closed_wall_ms),
    SMALL("from_tier", from_tier),
    SMALL("to_tier", to_tier),
    LARGE("requests", felt.requests),
    LARGE("moved", felt.moved),
    LARGE("resumed", felt.resumed),
    LARGE("degraded", felt.degraded),
    LARGE("failed", felt.failed),
    SMALL("lines_left_out", lines_left_out),
};
#undef LARGE
#undef SMALL

enum {
    TEXT_COUNT = sizeof(TEXTS) / sizeof(TEXTS[0]),
    NUMBER_COUNT = sizeof(NUMBERS) / sizeof(NUMBERS[0])
};

/* Texts hold what backends said: where that is no UTF-8 it is written as Latin-1. */
static json_t *text_of(const char *z)
{
    json_t *text = json_string(z);
    if (text) {
        return text;
    }
    char wide[2 * ALERT_LINE + 1];
    size_t len = 0;
    for (; *z != '\0' && len + 2 < sizeof(wide); z++) {
        unsigned char c = (unsigned char)*z;
        if (c >= 0x80) {
            wide[len++] = (char)(0xC0 | c >> 6);
            wide[len++] = (char)(0x80 | (c & 0x3F));
        } else {
            wide[len++] = (char)c;
        }
    }
    return json_stringn(wide, len);
}

static void put(json_t *o, const char *name, json_t *value)
{
    CHECK(value && json_object_set_new(o, name, value) == 0);
}

char *alert_pack(const struct alert *a)
{
    json_t *o = json_object();
    json_t *lines = json_array();
    put(o, "moment", json_string(alert_moment_name(a->moment)));
    put(o, "severity", json_string(severity_name(a->severity)));
    put(o, "subject_is_model", json_boolean(a->subject_is_model));
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        put(o, TEXTS[i].name, text_of((const char *)a + TEXTS[i].offset));
    }
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        const void *at = (const char *)a + NUMBERS[i].offset;
        uint64_t value = NUMBERS[i].is_small ? *(const uint32_t *)at : *(const uint64_t *)at;
        put(o, NUMBERS[i].name, json_integer((json_int_t)value));
    }
    for (uint32_t i = 0; i < a->line_count; i++) {
        CHECK(json_array_append_new(lines, text_of(a->lines[i])) == 0);
    }
    put(o, "lines", lines);
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    CHECK(text);
    return text;
}

static const char *get_text(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));
    return text ? text : "";
}

static bool get_words(const json_t *o, struct alert *out)
{
    unsigned moment = 0;
    unsigned severity = 0;
    const char *name = get_text(o, "moment");
    const char *grade = get_text(o, "severity");
    while (moment <= ALERT_TEST &&
           strcmp(alert_moment_name((enum alert_moment)moment), name) != 0) {
        moment++;
    }
    while (severity < SEVERITIES &&
           strcmp(severity_name((enum severity)severity), grade) != 0) {
        severity++;
    }
    if (moment > ALERT_TEST || severity == SEVERITIES) {
        return false;
    }
    out->moment = (enum alert_moment)moment;
    out->severity = (enum severity)severity;
    return true;
}

static void get_number(const json_t *o, const struct number_field *f, struct alert *out)
{
    void *at = (char *)out + f->offset;
    json_int_t value = json_integer_value(json_object_get(o, f->name));
    if (f->is_small) {
        *(uint32_t *)at = (uint32_t)value;
    } else {
        *(uint64_t *)at = (uint64_t)value;
    }
}

static void get_lines(const json_t *o, struct alert *out)
{
    const json_t *lines = json_object_get(o, "lines");
    for (size_t i = 0; i < json_array_size(lines) && i < ALERT_LINES; i++) {
        const char *line = json_string_value(json_array_get(lines, i));
        EVENT_PUT(out->lines[out->line_count], str_from(line ? line : ""));
        out->line_count++;
    }
}

bool alert_unpack(struct str text, struct alert *out)
{
    json_t *o = json_loadb(str_chars(text), text.len, 0, NULL);
    *out = (struct alert){.number = 0};
    bool is_one = o && get_words(o, out);
    if (is_one) {
        out->subject_is_model = json_is_true(json_object_get(o, "subject_is_model"));
        for (size_t i = 0; i < TEXT_COUNT; i++) {
            event_put((char *)out + TEXTS[i].offset, TEXTS[i].size,
                      str_from(get_text(o, TEXTS[i].name)));
        }
        for (size_t i = 0; i < NUMBER_COUNT; i++) {
            get_number(o, &NUMBERS[i], out);
        }
        get_lines(o, out);
    }
    json_decref(o);
    return is_one;
}
