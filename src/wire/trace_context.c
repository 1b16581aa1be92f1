#include "wire/trace_context.h"

#include <string.h>

enum { TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53 };

/* Lower-case hexadecimal digits only. */
static bool read_hex(struct str digits, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.ptr[i];
        bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && (c < 'a' || c > 'f')) {
            return false;
        }
        value = value << 4 | (uint64_t)(is_digit ? c - '0' : c - 'a' + 10);
    }
    *out = value;
    return true;
}

static bool has_form(struct str s, uint64_t version)
{
    bool is_whole = s.len == TRACEPARENT_LEN ||
                    (version > 0 && s.len > TRACEPARENT_LEN && s.ptr[TRACEPARENT_LEN] == '-');
    return is_whole && s.ptr[TRACE_AT - 1] == '-' && s.ptr[SPAN_AT - 1] == '-' &&
           s.ptr[FLAGS_AT - 1] == '-';
}

enum err trace_context_read(struct str traceparent, struct trace_context *out)
{
    struct trace_context t = {.flags = 0};
    uint64_t version = 0;
    uint64_t flags = 0;
    const char *p = traceparent.ptr;
    if (traceparent.len < TRACEPARENT_LEN || !read_hex(str_of(p, 2), &version) ||
        version == 0xff || !has_form(traceparent, version)) {
        return ERR_SYNTAX;
    }
    bool is_hex = read_hex(str_of(p + TRACE_AT, 16), &t.trace_high) &&
                  read_hex(str_of(p + TRACE_AT + 16, 16), &t.trace_low) &&
                  read_hex(str_of(p + SPAN_AT, 16), &t.span) &&
                  read_hex(str_of(p + FLAGS_AT, 2), &flags);
    if (!is_hex || (t.trace_high | t.trace_low) == 0 || t.span == 0) {
        return ERR_SYNTAX;
    }
    t.flags = flags & TRACE_FLAG_SAMPLED;
    *out = t;
    return ERR_OK;
}

static void put(char *at, struct str s)
{
    memcpy(at, s.ptr, s.len);
}

void trace_context_write(const struct trace_context *t, char out[TRACEPARENT_LEN])
{
    char digits[STR_NUMBER_MAX];
    put(out, STR("00-"));
    put(out + TRACE_AT, str_hex64(t->trace_high, digits));
    put(out + TRACE_AT + 16, str_hex64(t->trace_low, digits));
    put(out + SPAN_AT - 1, STR("-"));
    put(out + SPAN_AT, str_hex64(t->span, digits));
    put(out + FLAGS_AT - 1, (t->flags & TRACE_FLAG_SAMPLED) ? STR("-01") : STR("-00"));
}

/* --- tracestate --- */

static bool is_printable(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((s.ptr[i] < ' ' || s.ptr[i] > '~') && s.ptr[i] != '\t') {
            return false;
        }
    }
    return true;
}

/* The next entry goes behind the others; false when it has no room, or is none. */
static bool add_entry(struct str entry, char *room, size_t *used)
{
    size_t comma = *used > 0 ? 1 : 0;
    if (!is_printable(entry) || *used + comma + entry.len > TRACESTATE_MAX) {
        return false;
    }
    memcpy(room + *used, ",", comma);
    memcpy(room + *used + comma, entry.ptr, entry.len);
    *used += comma + entry.len;
    return true;
}

struct str trace_state_join(const struct http_header *headers, size_t count,
                            char room[TRACESTATE_MAX])
{
    size_t used = 0;
    bool goes_on = true;
    for (size_t i = 0; i < count && goes_on; i++) {
        struct str rest = headers[i].value;
        if (!str_eq_nocase(headers[i].name, STR("tracestate"))) {
            continue;
        }
        while (rest.len > 0 && goes_on) {
            struct str entry = str_trim(str_cut(&rest, ','));
            goes_on = entry.len == 0 || add_entry(entry, room, &used);
        }
    }
    return str_of(room, used);
}
