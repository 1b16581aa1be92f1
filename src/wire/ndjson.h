#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/*
 * Newline-delimited JSON, pulled as in wire/sse: lines end with LF or CRLF, empty lines are
 * skipped. Slices live until the next ndjson_keep. The last line may lack its LF: ask
 * ndjson_last at the end of the body. Whether a line is JSON is not judged here. Pure.
 */

struct ndjson_decoder {
    /* private: */
    struct buf carry;
    bool carry_given; /* carry was returned: dropped at the next keep */
};

void ndjson_init(struct ndjson_decoder *d, size_t max);
void ndjson_fini(struct ndjson_decoder *d);

/* ERR_OK with a line (without its end), ERR_AGAIN (then call ndjson_keep), ERR_TOO_LARGE. */
NODISCARD enum err ndjson_next(struct ndjson_decoder *d, struct str *in, struct str *line);
NODISCARD enum err ndjson_keep(struct ndjson_decoder *d, struct str *in);

/* At the end of the body: the line that has no LF, or ERR_EOF when there is none. */
NODISCARD enum err ndjson_last(struct ndjson_decoder *d, struct str *line);

bool ndjson_is_inside(const struct ndjson_decoder *d);
