#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "net/conn.h"

/* One end of a connection with an owner that does as owners do: records, then pulls after the
 * turn. */

enum { ROOM = 4 << 20 };

struct end {
    struct conn *conn;
    unsigned told;
    int calls;
    size_t step; /* bytes of one read; one read for each time it is told */
    char *in;
    size_t in_len;
    enum err in_end; /* how reading ended; ERR_OK: not yet */
    const char *out; /* to be written */
    size_t out_len;
    size_t out_sent;
    int out_blocked; /* how often a write stopped */
    struct rand rand;
};

static inline void on_event(void *owner, unsigned events)
{
    struct end *e = owner;
    e->told |= events;
    e->calls++;
}

static inline void pull(struct end *e)
{
    if ((e->told & CONN_READABLE) == 0) {
        return;
    }
    e->told &= ~(unsigned)CONN_READABLE;
    size_t got = 0;
    assert_true(e->in_len + e->step <= ROOM);
    enum err result = conn_read(e->conn, e->in + e->in_len, e->step, &got);
    if (result == ERR_OK) {
        assert_true(got > 0);
        e->in_len += got;
    } else if (result != ERR_AGAIN) {
        e->in_end = result;
    }
}

/* Offers what is left, cut into parts of other sizes each time. */
static inline void push(struct end *e)
{
    if (e->out_sent == e->out_len || (e->out_blocked > 0 && (e->told & CONN_WRITABLE) == 0)) {
        return;
    }
    e->told &= ~(unsigned)CONN_WRITABLE;
    struct str parts[40];
    size_t count = 0;
    size_t at = e->out_sent;
    for (; count < 39 && at < e->out_len; count++) {
        size_t size = rand_below(&e->rand, 3) == 0 ? rand_below(&e->rand, 40000)
                                                   : rand_below(&e->rand, 300);
        size = size < e->out_len - at ? size : e->out_len - at;
        parts[count] = str_of(e->out + at, size);
        at += size;
    }
    parts[count++] = str_of(e->out + at, e->out_len - at);
    size_t put = 0;
    enum err result = conn_write(e->conn, parts, count, &put);
    e->out_sent += put;
    if (result == ERR_AGAIN) {
        e->out_blocked++;
    } else {
        assert_int_equal(result, ERR_OK);
        assert_int_equal(e->out_sent, e->out_len);
    }
}

static inline void init_end(struct end *e)
{
    *e = (struct end){.step = 65536, .rand = {.state = 7}};
    e->in = malloc(ROOM);
    assert_non_null(e->in);
}

static inline void fini_end(struct end *e)
{
    conn_close(&e->conn);
    free(e->in);
}

static inline char *make_bytes(size_t size)
{
    struct rand rand = {.state = 99};
    char *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)rand_next(&rand);
    }
    return bytes;
}
