#include "wire/ndjson.h"

#include <string.h>

void ndjson_init(struct ndjson_decoder *d, size_t max)
{
    d->carry_given = false;
    buf_init(&d->carry, max);
}

void ndjson_fini(struct ndjson_decoder *d)
{
    buf_fini(&d->carry);
}

/* The part of a line that came with earlier bytes. */
static struct str held_part(const struct ndjson_decoder *d)
{
    return d->carry_given ? STR("") : buf_str(&d->carry);
}

static struct str without_cr(struct str line)
{
    line.len -= line.len > 0 && line.ptr[line.len - 1] == '\r';
    return line;
}

/* Cuts what is before the next LF off *in and joins it to what is held. */
static enum err take_line(struct ndjson_decoder *d, struct str *in, struct str *line)
{
    const char *lf = in->len > 0 ? memchr(in->ptr, '\n', in->len) : NULL;
    if (!lf) {
        return ERR_AGAIN;
    }
    *line = str_of(in->ptr, (size_t)(lf - in->ptr));
    if (line->len > d->carry.max) {
        return ERR_TOO_LARGE;
    }
    size_t used = line->len + 1;
    if (held_part(d).len > 0) {
        enum err e = buf_append(&d->carry, *line);
        if (e != ERR_OK) {
            return e;
        }
        *line = buf_str(&d->carry);
        d->carry_given = true;
    }
    *in = str_from_at(*in, used);
    *line = without_cr(*line);
    return ERR_OK;
}

enum err ndjson_next(struct ndjson_decoder *d, struct str *in, struct str *line)
{
    struct str found = STR_NONE;
    enum err e;
    do {
        e = take_line(d, in, &found);
    } while (e == ERR_OK && found.len == 0);
    if (e == ERR_OK) {
        *line = found;
    }
    return e;
}

enum err ndjson_keep(struct ndjson_decoder *d, struct str *in)
{
    if (d->carry_given) {
        buf_consume(&d->carry, buf_len(&d->carry));
        d->carry_given = false;
    }
    if (in->len == 0) {
        return ERR_OK;
    }
    enum err e = buf_append(&d->carry, *in);
    if (e == ERR_OK) {
        *in = str_from_at(*in, in->len);
    }
    return e;
}

enum err ndjson_last(struct ndjson_decoder *d, struct str *line)
{
    struct str found = without_cr(held_part(d));
    if (found.len == 0) {
        return ERR_EOF;
    }
    d->carry_given = true;
    *line = found;
    return ERR_OK;
}

bool ndjson_is_inside(const struct ndjson_decoder *d)
{
    return without_cr(held_part(d)).len > 0;
}
