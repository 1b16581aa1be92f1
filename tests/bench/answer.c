#include "bench/answer.h"

#include <stdlib.h>

#include "base/check.h"

void answer_init(struct answer *a)
{
    a->events = 0;
    a->status = 0;
    a->has_finish = false;
    a->has_done = false;
    a->is_closing = false;
    a->state = ANSWER_HEAD;
    a->left = 0;
    a->line_len = 0;
    a->tail_len = 0;
    a->last = 0;
}

/* --- What is in the body --- */

static uint64_t count_in(struct str s, struct str what)
{
    uint64_t n = 0;
    for (;;) {
        const char *at = s.len > 0 ? memmem(s.ptr, s.len, what.ptr, what.len) : NULL;
        if (!at) {
            return n;
        }
        n++;
        s = str_from_at(s, (size_t)(at - s.ptr) + what.len);
    }
}

/* Finds in `s`, and those that begin in the tail of what came before it. */
static uint64_t count_new(const struct answer *a, struct str s, struct str what)
{
    char seam[2 * ANSWER_TAIL];
    size_t before = what.len - 1 < a->tail_len ? what.len - 1 : a->tail_len;
    size_t after = what.len - 1 < s.len ? what.len - 1 : s.len;
    memcpy(seam, a->tail + a->tail_len - before, before);
    memcpy(seam + before, s.ptr, after);
    return count_in(str_of(seam, before + after), what) + count_in(s, what);
}

static void keep_tail(struct answer *a, struct str s)
{
    if (s.len >= ANSWER_TAIL) {
        memcpy(a->tail, s.ptr + s.len - ANSWER_TAIL, ANSWER_TAIL);
        a->tail_len = ANSWER_TAIL;
        return;
    }
    size_t keep = ANSWER_TAIL - s.len < a->tail_len ? ANSWER_TAIL - s.len : a->tail_len;
    memmove(a->tail, a->tail + a->tail_len - keep, keep);
    memcpy(a->tail + keep, s.ptr, s.len);
    a->tail_len = keep + s.len;
}

static void look_at(struct answer *a, struct str s)
{
    if (s.len == 0) {
        return;
    }
    a->events += count_new(a, s, STR("data: "));
    a->has_done = a->has_done || count_new(a, s, STR("data: [DONE]")) > 0;
    a->has_finish = a->has_finish || count_new(a, s, STR("\"finish_reason\":\"")) > 0;
    a->last = s.ptr[s.len - 1];
    keep_tail(a, s);
}

/* --- The framing --- */

/* Takes up to and with `end` into the line. ERR_AGAIN: not all has come. */
static enum err take_until(struct answer *a, struct str *rest, struct str end)
{
    while (rest->len > 0) {
        if (a->line_len == ANSWER_LINE_MAX) {
            return ERR_TOO_LARGE;
        }
        a->line[a->line_len++] = rest->ptr[0];
        *rest = str_from_at(*rest, 1);
        if (a->line_len >= end.len &&
            memcmp(a->line + a->line_len - end.len, end.ptr, end.len) == 0) {
            return ERR_OK;
        }
    }
    return ERR_AGAIN;
}

static struct str field_value(struct str line, struct str name)
{
    if (!str_starts_nocase(line, name)) {
        return STR_NONE;
    }
    struct str value = str_from_at(line, name.len);
    value.len -= value.len > 0 && value.ptr[value.len - 1] == '\r';
    return str_trim(value);
}

static enum err read_head(struct answer *a)
{
    struct str head = str_of(a->line, a->line_len);
    bool has_length = false;
    bool is_chunked = false;
    if (!str_starts(head, STR("HTTP/1.1 ")) || head.len < 12) {
        return ERR_SYNTAX;
    }
    a->status = (int)strtol(head.ptr + 9, NULL, 10);
    while (head.len > 0) {
        struct str line = str_cut(&head, '\n');
        struct str length = field_value(line, STR("content-length:"));
        if (length.len > 0) {
            has_length = str_to_u64(length, UINT32_MAX, &a->left) == ERR_OK;
        }
        is_chunked = is_chunked || str_eq_nocase(field_value(line, STR("transfer-encoding:")),
                                                 STR("chunked"));
        a->is_closing =
            a->is_closing || str_eq_nocase(field_value(line, STR("connection:")), STR("close"));
    }
    if (is_chunked == has_length) {
        return ERR_SYNTAX;
    }
    a->state = is_chunked ? ANSWER_SIZE : a->left > 0 ? ANSWER_LENGTH : ANSWER_WHOLE;
    return ERR_OK;
}

static enum err read_size(struct answer *a)
{
    char *end = NULL;
    a->left = strtoull(a->line, &end, 16);
    if (end == a->line || *end != '\r') {
        return ERR_SYNTAX;
    }
    a->state = a->left > 0 ? ANSWER_CHUNK : ANSWER_TRAILER;
    return ERR_OK;
}

/* A line of the framing is complete. */
static enum err end_line(struct answer *a)
{
    enum err e = ERR_OK;
    if (a->state == ANSWER_HEAD) {
        e = read_head(a);
    } else if (a->state == ANSWER_SIZE) {
        e = read_size(a);
    } else if (a->state == ANSWER_CHUNK_END) {
        e = a->line_len == 2 ? ERR_OK : ERR_SYNTAX;
        a->state = ANSWER_SIZE;
    } else if (a->line_len == 2) {
        a->state = ANSWER_WHOLE;
    }
    a->line_len = 0;
    return e;
}

static void take_body(struct answer *a, struct str *rest)
{
    size_t n = rest->len < a->left ? rest->len : (size_t)a->left;
    look_at(a, str_of(rest->ptr, n));
    *rest = str_from_at(*rest, n);
    a->left -= n;
    if (a->left == 0) {
        a->state = a->state == ANSWER_CHUNK ? ANSWER_CHUNK_END : ANSWER_WHOLE;
    }
}

enum err answer_feed(struct answer *a, struct str bytes)
{
    while (a->state != ANSWER_WHOLE) {
        if (bytes.len == 0) {
            return ERR_AGAIN;
        }
        if (a->state == ANSWER_LENGTH || a->state == ANSWER_CHUNK) {
            take_body(a, &bytes);
            continue;
        }
        struct str end = a->state == ANSWER_HEAD ? STR("\r\n\r\n") : STR("\r\n");
        enum err e = take_until(a, &bytes, end);
        e = e ? e : end_line(a);
        if (e != ERR_OK) {
            return e;
        }
    }
    return bytes.len == 0 ? ERR_OK : ERR_SYNTAX; /* nothing else was asked for */
}

const char *answer_fault(const struct answer *a, bool is_stream, uint64_t events)
{
    if (a->status != 200) {
        return "the status is not 200";
    }
    if (!a->has_finish) {
        return "no finish_reason";
    }
    if (is_stream && !a->has_done) {
        return "no [DONE]";
    }
    if (!is_stream && a->last != '}') {
        return "the body does not end with }";
    }
    if (events > 0 && a->events != events) {
        return "not as many events as were sent";
    }
    return NULL;
}
