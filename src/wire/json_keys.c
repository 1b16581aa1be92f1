#include "wire/json_keys.h"

#include <stdlib.h>

#include "wire/json.h"
#include "wire/json_scan.h"

/* Reads a key byte by byte with escapes resolved. */
struct key_reader {
    const char *p;
    const char *end;
    char held[4]; /* what an escape stood for */
    size_t held_at;
    size_t held_len;
};

static int read_byte(struct key_reader *r)
{
    if (r->held_at == r->held_len) {
        if (r->p == r->end) {
            return -1;
        }
        if (*r->p != '\\') {
            return (unsigned char)*r->p++;
        }
        r->held_len = json_unescape(&r->p, r->held);
        r->held_at = 0;
    }
    return (unsigned char)r->held[r->held_at++];
}

int json_compare_keys(struct str a, struct str b)
{
    struct key_reader ra = {.p = a.ptr, .end = a.ptr + a.len};
    struct key_reader rb = {.p = b.ptr, .end = b.ptr + b.len};
    int ca;
    int cb;
    do {
        ca = read_byte(&ra);
        cb = read_byte(&rb);
    } while (ca == cb && ca >= 0);
    return (ca > cb) - (ca < cb);
}

/* qsort's: equal keys in the order of the text. */
static int order_keys(const void *left, const void *right)
{
    const struct str *a = left;
    const struct str *b = right;
    int order = json_compare_keys(*a, *b);
    return order != 0 ? order : (a->ptr > b->ptr) - (a->ptr < b->ptr);
}

const char *json_find_twin(struct str text)
{
    struct str key[JSON_MEMBERS_MAX];
    size_t count = 0;
    const char *twin = NULL;
    struct json_iter it;
    json_iter_init(&it, json_value(text));
    while (count < JSON_MEMBERS_MAX && json_iter_next(&it)) {
        key[count++] = it.key;
    }
    qsort(key, count, sizeof(key[0]), order_keys);
    for (size_t i = 1; i < count; i++) {
        if (json_compare_keys(key[i - 1], key[i]) == 0 && (!twin || key[i].ptr < twin)) {
            twin = key[i].ptr;
        }
    }
    return twin;
}
