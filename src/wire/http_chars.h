#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/*
 * What bytes HTTP allows where (RFC 9110 5.6.2, RFC 3986). Only for the HTTP codecs of this
 * room.
 */

enum http_class {
    HTTP_TOKEN = 1,  /* names of methods, fields, codings */
    HTTP_TARGET = 2, /* of a request target; no '#' */
    HTTP_HOST =
        4, /* of a host name; the sub-delims of RFC 3986 and '%' are left out on purpose */
    HTTP_HEX = 8,
    HTTP_DIGIT = 16
};

extern const uint8_t http_class_of[256];

static inline bool http_is(char c, enum http_class class)
{
    return (http_class_of[(unsigned char)c] & class) != 0;
}

/* How many bytes at the front are of that class. */
size_t http_class_span(struct str s, enum http_class class);

/* How many bytes at the front may stand in a field value: all but control bytes, and tab. */
size_t http_text_span(struct str s);

/* True for one or more token bytes. */
bool http_is_token(struct str s);

/* Of a byte of class HTTP_HEX. */
unsigned http_hex_value(char c);
