#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

/* The one exported mutable of the program, hidden behind functions: where lines go. */
static struct {
    int fd;
    enum log_format format;
    _Atomic int level;
    _Atomic uint64_t dropped;
    _Atomic uint64_t untold; /* dropped since a line last went through */
} sink = {.fd = STDERR_FILENO, .format = LOG_LOGFMT, .level = LOG_INFO};

struct line {
    char text[LOG_LINE_MAX];
    size_t len;
};

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

/* Room is kept at the end for the closing brace and the newline. */
static void put(struct line *l, const char *text, size_t len)
{
    size_t room = sizeof(l->text) - 4 - l->len;
    len = len < room ? len : room;
    memcpy(l->text + l->len, text, len);
    l->len += len;
}

static void put_z(struct line *l, const char *z)
{
    put(l, z, strlen(z));
}

static void put_escaped(struct line *l, struct str s)
{
    static const size_t value_max = 1024;
    size_t len = s.len < value_max ? s.len : value_max;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\') {
            put(l, "\\", 1);
            put(l, s.ptr + i, 1);
        } else if (c < 0x20 || c >= 0x7f) {
            /* Bytes, not characters: a cut or invalid sequence can do no harm this way. */
            char code[7];
            snprintf(code, sizeof(code), "\\u%04x", c);
            put_z(l, code);
        } else {
            put(l, s.ptr + i, 1);
        }
    }
    if (len < s.len) {
        put_z(l, "...");
    }
}

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\') {
            return false;
        }
    }
    return s.len > 0;
}

static void put_value(struct line *l, struct str s)
{
    bool bare = sink.format == LOG_LOGFMT && is_plain(s);
    put(l, "\"", bare ? 0 : 1);
    put_escaped(l, s);
    put(l, "\"", bare ? 0 : 1);
}

static void put_name(struct line *l, const char *name)
{
    if (sink.format == LOG_JSON) {
        put_z(l, l->len > 0 ? ",\"" : "{\"");
        put_z(l, name);
        put_z(l, "\":");
    } else {
        put_z(l, l->len > 0 ? " " : "");
        put_z(l, name);
        put_z(l, "=");
    }
}

static void put_number(struct line *l, int64_t number)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%lld", (long long)number);
    put_z(l, digits);
}

static void put_field(struct line *l, const struct log_field *f)
{
    put_name(l, f->name);
    if (f->kind == LOG_KIND_NUMBER) {
        put_number(l, f->number);
    } else {
        put_value(l, f->kind == LOG_KIND_TEXT ? str_from(f->text) : f->str);
    }
}

static void note_dropped(void)
{
    atomic_fetch_add_explicit(&sink.dropped, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&sink.untold, 1, memory_order_relaxed);
}

/* A pipe that polls writable has room for PIPE_BUF (4096) bytes, so the write does not block.
 */
static void emit(const struct line *l, uint64_t told)
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
    struct line l = {.len = 0};
    char now[25];
    uint64_t untold = atomic_load_explicit(&sink.untold, memory_order_relaxed);
    clock_format(clock_wall_ms(), now);
    put_name(&l, "time");
    put_value(&l, str_from(now));
    put_name(&l, "level");
    put_value(&l, str_from(level_names[level]));
    put_name(&l, "msg");
    put_value(&l, str_from(message));
    for (const struct log_field *f = fields; f->kind != LOG_END; f++) {
        put_field(&l, f);
    }
    if (untold > 0) {
        put_name(&l, "dropped_lines");
        put_number(&l, (int64_t)untold);
    }
    if (sink.format == LOG_JSON) {
        l.text[l.len++] = '}';
    }
    l.text[l.len++] = '\n';
    emit(&l, untold);
}
