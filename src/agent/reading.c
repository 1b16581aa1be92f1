#include "agent/reading.h"

#include <stdio.h>
#include <string.h>

enum { FRAME_MAGIC = 0x31475446, HEAD_SIZE = offsetof(struct frame, of) };

const struct reading_row READING_ROWS[READING_COUNT] = {
#define READING_ROW(name, group, key) {group, key},
    READING_LIST(READING_ROW)
#undef READING_ROW
};

void reading_clear(struct gpu_reading *r)
{
    memset(r, 0, sizeof(*r));
    for (size_t i = 0; i < READING_COUNT; i++) {
        r->v[i] = READING_NONE;
    }
}

size_t frame_size(uint32_t kind)
{
    switch (kind) {
    case FRAME_HELLO:
        return HEAD_SIZE + sizeof(struct gpu_hello);
    case FRAME_GPU:
        return HEAD_SIZE + sizeof(struct gpu_reading);
    case FRAME_EVENT:
        return HEAD_SIZE + sizeof(struct gpu_event);
    case FRAME_DONE:
        return HEAD_SIZE + sizeof(uint32_t);
    default:
        return 0;
    }
}

void frame_begin(struct frame *f, enum frame_kind kind)
{
    memset(f, 0, sizeof(*f));
    f->magic = FRAME_MAGIC;
    f->kind = (uint32_t)kind;
}

static void end_text(char *text, size_t size)
{
    text[size - 1] = '\0';
}

static void bound_reading(struct gpu_reading *r)
{
    end_text(r->uuid, sizeof(r->uuid));
    end_text(r->bdf, sizeof(r->bdf));
    end_text(r->name, sizeof(r->name));
    r->process_listed = r->process_listed < PROCESSES_MAX ? r->process_listed : PROCESSES_MAX;
    r->slice_count = r->slice_count < SLICES_MAX ? r->slice_count : SLICES_MAX;
    for (size_t i = 0; i < PROCESSES_MAX; i++) {
        end_text(r->process[i].name, sizeof(r->process[i].name));
    }
    for (size_t i = 0; i < SLICES_MAX; i++) {
        end_text(r->slice[i].uuid, sizeof(r->slice[i].uuid));
    }
}

static void bound_frame(struct frame *f)
{
    if (f->kind == FRAME_GPU) {
        bound_reading(&f->of.gpu);
    } else if (f->kind == FRAME_HELLO) {
        end_text(f->of.hello.driver, sizeof(f->of.hello.driver));
        end_text(f->of.hello.why, sizeof(f->of.hello.why));
    } else if (f->kind == FRAME_EVENT) {
        end_text(f->of.event.bdf, sizeof(f->of.event.bdf));
        end_text(f->of.event.uuid, sizeof(f->of.event.uuid));
    }
}

enum err frame_next(struct buf *b, struct frame *out)
{
    uint32_t head[2];
    struct str in = buf_str(b);
    _Static_assert(offsetof(struct frame, kind) == sizeof(uint32_t), "head is two words");
    if (in.len < sizeof(head)) {
        return ERR_AGAIN;
    }
    memcpy(head, in.ptr, sizeof(head));
    size_t size = frame_size(head[1]);
    if (head[0] != FRAME_MAGIC || size == 0) {
        return ERR_SYNTAX;
    }
    if (in.len < size) {
        return ERR_AGAIN;
    }
    memset(out, 0, sizeof(*out));
    memcpy(out, in.ptr, size);
    buf_consume(b, size);
    bound_frame(out);
    return ERR_OK;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Takes min … max hex digits from the front. */
static bool take_hex(struct str *s, size_t min, size_t max, uint32_t *out)
{
    size_t n = 0;
    *out = 0;
    while (n < s->len && n < max && hex_digit(s->ptr[n]) >= 0) {
        *out = *out << 4 | (uint32_t)hex_digit(s->ptr[n]);
        n++;
    }
    *s = str_from_at(*s, n);
    return n >= min;
}

static bool take_colon(struct str *s)
{
    if (s->len == 0 || s->ptr[0] != ':') {
        return false;
    }
    *s = str_from_at(*s, 1);
    return true;
}

bool bdf_normal(struct str s, char out[BDF_MAX])
{
    uint32_t domain;
    uint32_t bus;
    uint32_t device;
    if (str_starts(s, STR("PCI:"))) {
        s = str_from_at(s, 4);
    }
    if (!take_hex(&s, 4, 8, &domain) || !take_colon(&s) || !take_hex(&s, 2, 2, &bus) ||
        !take_colon(&s) || !take_hex(&s, 2, 2, &device)) {
        return false;
    }
    (void)snprintf(out, BDF_MAX, "%04x:%02x:%02x", domain, bus, device);
    return true;
}

void text_tame(struct str s, char *out, size_t size)
{
    size_t n = s.len < size ? s.len : size - 1;
    for (size_t i = 0; i < n; i++) {
        out[i] = s.ptr[i] >= ' ' && s.ptr[i] <= '~' ? s.ptr[i] : '?';
    }
    out[n] = '\0';
}
