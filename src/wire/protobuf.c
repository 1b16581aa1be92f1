#include "wire/protobuf.h"

#include <string.h>

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
enum { VARINT_MAX = 10, BITS = 7, MORE = 0x80 };

static size_t write_varint(uint64_t value, char out[VARINT_MAX])
{
    size_t len = 0;
    while (value >= MORE) {
        out[len++] = (char)(value | MORE);
        value >>= BITS;
    }
    out[len++] = (char)value;
    return len;
}

/* Most pieces are a few bytes for which there is room. */
static void put(struct protobuf *p, const char *bytes, size_t len)
{
    struct buf *out = p->out;
    if (out->cap - out->end >= len && !p->is_cut) {
        for (size_t i = 0; i < len; i++) {
            out->data[out->end + i] = bytes[i];
        }
        out->end += len;
    } else if (p->is_cut || buf_append(out, str_of(bytes, len)) != ERR_OK) {
        p->is_cut = true;
    }
}

static void put_varint(struct protobuf *p, uint64_t value)
{
    char bytes[VARINT_MAX];
    bytes[0] = (char)value;
    put(p, bytes, value < MORE ? 1 : write_varint(value, bytes));
}

static void put_key(struct protobuf *p, uint32_t number, enum wire_type type)
{
    put_varint(p, (uint64_t)number << 3 | (uint64_t)type);
}

/* Least significant byte first, whatever the machine. */
static void put_fixed(struct protobuf *p, uint64_t value, size_t len)
{
    char bytes[8];
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (char)(value >> (8 * i));
    }
    put(p, bytes, len);
}

size_t protobuf_open(struct protobuf *p, uint32_t number)
{
    put_key(p, number, WIRE_BYTES);
    put(p, "", 1); /* room for a short length */
    return buf_len(p->out);
}

void protobuf_close(struct protobuf *p, size_t opened)
{
    char length[VARINT_MAX];
    if (p->is_cut) {
        return;
    }
    size_t size = buf_len(p->out) - opened;
    size_t len = write_varint(size, length);
    put(p, length, len - 1); /* only for its room */
    if (p->is_cut) {
        return;
    }
    char *at = p->out->data + p->out->start + opened - 1;
    if (len > 1) {
        memmove(at + len, at + 1, size);
    }
    for (size_t i = 0; i < len; i++) {
        at[i] = length[i];
    }
}

void protobuf_put_uint(struct protobuf *p, uint32_t number, uint64_t value)
{
    put_key(p, number, WIRE_VARINT);
    put_varint(p, value);
}

void protobuf_put_fixed32(struct protobuf *p, uint32_t number, uint32_t value)
{
    put_key(p, number, WIRE_FIXED32);
    put_fixed(p, value, sizeof(value));
}

void protobuf_put_fixed64(struct protobuf *p, uint32_t number, uint64_t value)
{
    put_key(p, number, WIRE_FIXED64);
    put_fixed(p, value, sizeof(value));
}

void protobuf_put_double(struct protobuf *p, uint32_t number, double value)
{
    uint64_t bits;
    _Static_assert(sizeof(bits) == sizeof(value), "IEEE 754");
    memcpy(&bits, &value, sizeof(bits));
    protobuf_put_fixed64(p, number, bits);
}

void protobuf_put_text(struct protobuf *p, uint32_t number, struct str value)
{
    put_key(p, number, WIRE_BYTES);
    put_varint(p, value.len);
    put(p, value.ptr, value.len);
}

/* --- reading --- */

static bool take_varint(struct str *rest, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < rest->len && i < VARINT_MAX; i++) {
        unsigned char byte = (unsigned char)rest->ptr[i];
        value |= (uint64_t)(byte & (MORE - 1)) << (BITS * i);
        if (!(byte & MORE)) {
            *rest = str_from_at(*rest, i + 1);
            *out = value;
            return true;
        }
    }
    return false;
}

static bool take_fixed(struct str *rest, size_t len, uint64_t *out)
{
    uint64_t value = 0;
    if (rest->len < len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        value |= (uint64_t)(unsigned char)rest->ptr[i] << (8 * i);
    }
    *rest = str_from_at(*rest, len);
    *out = value;
    return true;
}

static bool take_bytes(struct str *rest, struct str *out)
{
    uint64_t len = 0;
    if (!take_varint(rest, &len) || len > rest->len) {
        return false;
    }
    *out = str_of(rest->ptr, (size_t)len);
    *rest = str_from_at(*rest, (size_t)len);
    return true;
}

static bool take_value(struct str *rest, uint64_t type, struct protobuf_field *out)
{
    switch (type) {
    case WIRE_VARINT:
        return take_varint(rest, &out->value);
    case WIRE_FIXED64:
        return take_fixed(rest, 8, &out->value);
    case WIRE_FIXED32:
        return take_fixed(rest, 4, &out->value);
    case WIRE_BYTES:
        return take_bytes(rest, &out->bytes);
    default: /* a number of the peer's */
        return false;
    }
}

enum err protobuf_next(struct str *rest, struct protobuf_field *out)
{
    uint64_t key = 0;
    struct protobuf_field f = {.bytes = STR("")};
    if (rest->len == 0) {
        return ERR_EOF;
    }
    if (!take_varint(rest, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX ||
        !take_value(rest, key & 7, &f)) {
        return ERR_SYNTAX;
    }
    f.number = (uint32_t)(key >> 3);
    *out = f;
    return ERR_OK;
}
