#include "guard/log_ring.h"

#include <string.h>

#include "base/check.h"

void line_maker_end(struct line_maker *m, void (*take)(void *owner, struct str line),
                    void *owner)
{
    if (m->len > 0) {
        take(owner, str_of(m->text, m->len));
    }
    m->len = 0;
}

void line_maker_feed(struct line_maker *m, struct str bytes,
                     void (*take)(void *owner, struct str line), void *owner)
{
    for (size_t i = 0; i < bytes.len; i++) {
        char ch = bytes.ptr[i];
        if (ch == '\n' || ch == '\r') {
            line_maker_end(m, take, owner);
        } else if (m->len < sizeof(m->text)) {
            m->text[m->len++] = ch;
        }
    }
}

void log_ring_put(struct log_ring *r, struct str line)
{
    struct log_line *to = &r->line[r->total % LOG_RING_LINES];
    size_t len = line.len < sizeof(to->text) ? line.len : sizeof(to->text);
    memcpy(to->text, str_chars(line), len);
    to->len = (unsigned short)len;
    r->total++;
}

size_t log_ring_count(const struct log_ring *r)
{
    return r->total < LOG_RING_LINES ? r->total : LOG_RING_LINES;
}

struct str log_ring_at(const struct log_ring *r, size_t index)
{
    CHECK(index < log_ring_count(r));
    size_t oldest = r->total - log_ring_count(r);
    const struct log_line *line = &r->line[(oldest + index) % LOG_RING_LINES];
    return str_of(line->text, line->len);
}
