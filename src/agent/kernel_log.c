#include "agent/kernel_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"

enum { RECORD_MAX = 16384, PENDING_MAX = 65536, READS_A_TURN = 256, READS_AT_START = 65536 };

struct kernel_log {
    struct kernel_log_conf conf;
    int fd;
    uv_poll_t *poll; /* NULL: a plain file */
    struct buf pending;
    uint64_t overrun;
    bool is_opening;
    char record[RECORD_MAX];
};

static void take_line(struct kernel_log *k, struct str line)
{
    struct kernel_record r;
    if (line.len == 0 || line.ptr[0] == ' ' || !kernel_record_parse(line, &r)) {
        return;
    }
    if (k->is_opening && r.seq <= k->conf.after_seq) {
        return;
    }
    uint64_t now_us = clock_mono_us();
    uint64_t age_ms = now_us > r.usec ? (now_us - r.usec) / 1000 : 0;
    k->conf.on_record(k->conf.owner, &r, age_ms, k->is_opening);
}

/* A FIFO or file gives pieces of records, or several at once. */
static void take_lines(struct kernel_log *k)
{
    struct str all = buf_str(&k->pending);
    size_t used = 0;
    const char *end = memchr(all.ptr, '\n', all.len);
    while (end) {
        size_t len = (size_t)(end - all.ptr) - used;
        take_line(k, str_of(all.ptr + used, len));
        used += len + 1;
        end = used < all.len ? memchr(all.ptr + used, '\n', all.len - used) : NULL;
    }
    buf_consume(&k->pending, used);
}

/* True when there may be more at once. */
static bool read_some(struct kernel_log *k)
{
    ssize_t got = read(k->fd, k->record, sizeof(k->record));
    if (got < 0 && (errno == EPIPE || errno == EINVAL)) {
        k->overrun++; /* overwritten, or longer than any record may be: it is skipped */
        return true;
    }
    if (got <= 0) {
        return got < 0 && errno == EINTR;
    }
    if (buf_append(&k->pending, str_of(k->record, (size_t)got)) != ERR_OK) {
        k->overrun++;
        buf_fini(&k->pending);
        return true;
    }
    take_lines(k);
    return true;
}

static void read_most(struct kernel_log *k, unsigned limit)
{
    bool is_more = true;
    while (is_more && limit > 0) {
        is_more = read_some(k);
        limit--;
    }
}

static void on_readable(uv_poll_t *p, int status, int events)
{
    (void)status;
    (void)events;
    read_most(p->data, READS_A_TURN);
}

static void on_closed(uv_handle_t *h)
{
    free(h);
}

static void watch(struct kernel_log *k)
{
    uv_poll_t *p = mem_alloc(sizeof(*p));
    if (uv_poll_init(loop_uv(k->conf.loop), p, k->fd) != 0) {
        free(p); /* a plain file */
        return;
    }
    p->data = k;
    k->poll = p;
    CHECK(uv_poll_start(p, UV_READABLE, on_readable) == 0);
}

struct kernel_log *kernel_log_open(const struct kernel_log_conf *conf, const char **why)
{
    struct stat st;
    int mode = O_RDONLY;
    if (stat(conf->path, &st) == 0 && S_ISFIFO(st.st_mode)) {
        mode = O_RDWR; /* no end of file when a writer leaves */
    }
    int fd = open(conf->path, mode | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        *why = strerror(errno);
        return NULL;
    }
    struct kernel_log *k = mem_alloc(sizeof(*k));
    k->conf = *conf;
    k->fd = fd;
    buf_init(&k->pending, PENDING_MAX);
    k->is_opening = true;
    read_most(k, READS_AT_START);
    k->is_opening = false;
    watch(k);
    return k;
}

void kernel_log_tick(struct kernel_log *k)
{
    if (!k->poll) {
        read_most(k, READS_A_TURN);
    }
}

uint64_t kernel_log_overrun(const struct kernel_log *k)
{
    return k->overrun;
}

void kernel_log_close(struct kernel_log **k)
{
    struct kernel_log *gone = *k;
    if (!gone) {
        return;
    }
    *k = NULL;
    if (gone->poll) {
        uv_close((uv_handle_t *)gone->poll, on_closed);
    }
    (void)close(gone->fd);
    buf_fini(&gone->pending);
    free(gone);
}
