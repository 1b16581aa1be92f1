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

static void put(struct protobuf *p, const void *bytes, size_t len)
{
    if (!p->is_cut && buf_append(p->out, str_of(bytes, len)) != ERR_OK) {
        p->is_cut = true;
    }
}

static void put_varint(struct protobuf *p, uint64_t value)
{
    char bytes[VARINT_MAX];
    put(p, bytes, write_varint(value, bytes));
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
    memmove(at + len, at + 1, size);
    memcpy(at, length, len);
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
