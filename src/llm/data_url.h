#pragma once

#include <stdbool.h>

#include "base/str.h"

/* data: URLs (RFC 2397) that hold base64, as clients send their images. Pure. */

struct data_url {
    struct str media_type; /* "image/png"; empty: not told. Parameters are left out */
    struct str payload;    /* base64 digits (RFC 4648), padded or not; not empty */
};

/* Slices of `url`. False: another kind of URL, or what it holds is no base64. */
bool data_url_read(struct str url, struct data_url *out);
