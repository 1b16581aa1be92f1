#include "llm/json_out.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { CAP_MIN = 64 };

void json_out_init(struct json_out *o, struct arena *a, size_t expected)
{
    size_t cap = expected > CAP_MIN ? expected : CAP_MIN;
    *o = (struct json_out){.arena = a, .data = arena_alloc(a, cap), .cap = cap};
}

static void make_room(struct json_out *o, size_t size)
{
    if (size <= o->cap - o->len) {
        return;
    }
    size_t cap = (o->len + size) * 2;
    char *data = arena_alloc(o->arena, cap);
    memcpy(data, o->data, o->len);
    o->data = data;
    o->cap = cap;
}

void json_out_raw(struct json_out *o, struct str text)
{
    if (text.len == 0) {
        return;
    }
    make_room(o, text.len);
    memcpy(o->data + o->len, text.ptr, text.len);
    o->len += text.len;
}

/* Between values the last byte tells: only an opening bracket or a colon asks for no comma. */
static void put_comma(struct json_out *o)
{
    char last = '[';
    if (o->len > 0) {
        last = o->data[o->len - 1];
    }
    if (last != '{' && last != '[' && last != ':') {
        json_out_raw(o, STR(","));
    }
}

void json_out_open(struct json_out *o, char bracket)
{
    put_comma(o);
    json_out_raw(o, str_of(&bracket, 1));
}

void json_out_close(struct json_out *o, char bracket)
{
    json_out_raw(o, str_of(&bracket, 1));
}

void json_out_key(struct json_out *o, const char *key)
{
    put_comma(o);
    json_out_raw(o, STR("\""));
    json_out_raw(o, str_from(key));
    json_out_raw(o, STR("\":"));
}

void json_out_member(struct json_out *o, const char *key, struct str value)
{
    json_out_key(o, key);
    json_out_raw(o, value);
}

void json_out_element(struct json_out *o, struct str value)
{
    put_comma(o);
    json_out_raw(o, value);
}

struct str json_out_str(const struct json_out *o)
{
    return str_of(o->data, o->len);
}

struct str json_out_number(struct arena *a, double number)
{
    struct str text = STR_NONE;
    CHECK(isfinite(number));
    for (int digits = 15; digits <= 17; digits++) {
        text = arena_printf(a, "%.*g", digits, number);
        if (!(strtod(text.ptr, NULL) < number) && !(strtod(text.ptr, NULL) > number)) {
            break;
        }
    }
    return text;
}
