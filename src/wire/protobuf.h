#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/*
 * Writes protocol buffers (the binary format, https://protobuf.dev/programming-guides/encoding)
 * into a buffer, field by field. Messages within messages are opened and closed; lengths are
 * put in when they are known. Fields with the default value are not left out: the caller does
 * that where it matters. Over the buffer's maximum `is_cut` is set, and what is there is no
 * message. Reads them field by field, too. Pure; any thread.
 */

struct protobuf {
    struct buf *out; /* borrowed */
    bool is_cut;
};

/* Opens a message as field `number`; what it returns goes to protobuf_close, the innermost
 * first. */
size_t protobuf_open(struct protobuf *p, uint32_t number);
void protobuf_close(struct protobuf *p, size_t opened);

void protobuf_put_uint(struct protobuf *p, uint32_t number, uint64_t value); /* varint types */
void protobuf_put_fixed32(struct protobuf *p, uint32_t number, uint32_t value);
void protobuf_put_fixed64(struct protobuf *p, uint32_t number, uint64_t value);
void protobuf_put_double(struct protobuf *p, uint32_t number, double value);
void protobuf_put_text(struct protobuf *p, uint32_t number, struct str value); /* and bytes */

/* --- reading --- */

struct protobuf_field {
    uint32_t number;
    uint64_t value;   /* of a number, as it stands: varints and fixed ones */
    struct str bytes; /* of a text, bytes or a message; a slice of the input */
};

/* Takes the next field off the front of a message. ERR_EOF at its end, ERR_SYNTAX for what is
 * no field (groups are none). */
NODISCARD enum err protobuf_next(struct str *rest, struct protobuf_field *out);
