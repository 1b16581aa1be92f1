#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/field_line.h"

/* The one exported mutable of the program, hidden behind functions: where lines go. */
static struct {
    int fd;
    enum log_format format;
    _Atomic int level;
    _Atomic uint64_t dropped;
    _Atomic uint64_t untold; /* dropped since a line last went through */
} sink = {.fd = STDERR_FILENO, .format = LOG_LOGFMT, .level = LOG_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

enum err log_open(struct str file, enum log_level level, enum log_format format)
{
    int fd = STDERR_FILENO;
    if (!str_eq(file, STR("stderr"))) {
        char path[1024];
        if (file.len >= sizeof(path)) {
            return ERR_TOO_LARGE;
        }
        snprintf(path, sizeof(path), "%.*s", STR_FMT(file));
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
        if (fd < 0) {
            return err_from_errno(errno);
        }
    }
    sink.fd = fd;
    sink.format = format;
    sink.level = (int)level;
    return ERR_OK;
}

enum log_level log_level(void)
{
    return (enum log_level)atomic_load_explicit(&sink.level, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&sink.dropped, memory_order_relaxed);
}

static void note_dropped(void)
{
    atomic_fetch_add_explicit(&sink.dropped, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&sink.untold, 1, memory_order_relaxed);
}

/* A pipe that polls writable has room for PIPE_BUF (4096) bytes, so the write does not block.
 */
static void emit(const struct field_line *l, uint64_t told)
{
    struct pollfd p = {.fd = sink.fd, .events = POLLOUT};
    if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) &&
        write(sink.fd, l->text, l->len) == (ssize_t)l->len) {
        atomic_fetch_sub_explicit(&sink.untold, told, memory_order_relaxed);
    } else {
        note_dropped();
    }
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    struct field_line l;
    uint64_t untold = atomic_load_explicit(&sink.untold, memory_order_relaxed);
    field_line_begin(&l, sink.format);
    field_line_time(&l, "time", clock_wall_ms());
    field_line_text(&l, "level", str_from(level_names[level]));
    field_line_text(&l, "msg", str_from(message));
    for (const struct log_field *f = fields; f->kind != LOG_END; f++) {
        if (f->kind == LOG_KIND_NUMBER) {
            field_line_number(&l, f->name, f->number);
        } else {
            field_line_text(&l, f->name, f->kind == LOG_KIND_TEXT ? str_from(f->text) : f->str);
        }
    }
    if (untold > 0) {
        field_line_number(&l, "dropped_lines", (int64_t)untold);
    }
    field_line_end(&l);
    emit(&l, untold);
}
