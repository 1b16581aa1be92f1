#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/field_line.h"
#include "base/str.h"

/*
 * Structured lines for people and machines: time, level, one sentence, then fields.
 *
 *     log_info("backend is down", LOG_STR("backend", name), LOG_TEXT("reason", "refused"));
 *     → time=2026-11-21T05:24:02.123Z level=info msg="backend is down" backend=gpu1
 * reason=refused
 *
 * A line is at most LOG_LINE_MAX bytes and is written with one system call; values are escaped,
 * so that no name can forge a line. A line that would block or cannot be written (full disk,
 * stuck pipe) is dropped and counted; the next line that goes through tells the count. Never
 * log bodies or keys. Any thread may call; the sink is the one global of the program.
 */

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };

enum log_kind { LOG_END, LOG_KIND_STR, LOG_KIND_TEXT, LOG_KIND_NUMBER };

struct log_field {
    enum log_kind kind;
    const char *name;
    struct str str;
    const char *text;
    int64_t number;
};

#define LOG_STR(n, s) ((struct log_field){.kind = LOG_KIND_STR, .name = (n), .str = (s)})
#define LOG_TEXT(n, z) ((struct log_field){.kind = LOG_KIND_TEXT, .name = (n), .text = (z)})
#define LOG_NUM(n, v) \
    ((struct log_field){.kind = LOG_KIND_NUMBER, .name = (n), .number = (int64_t)(v)})

/* Opens the sink: "stderr" or a file to append to. Call once at start, before threads. */
NODISCARD enum err log_open(struct str file, enum log_level level, enum log_format format);

enum log_level log_level(void);

/* Fields end with one of kind LOG_END. Use the macros below. */
void log_write(enum log_level level, const char *message, const struct log_field *fields);

/* Lines dropped since the start. */
uint64_t log_dropped(void);

#define LOG_DONE ((struct log_field){.kind = LOG_END})
#define LOG_AT(lvl, message, ...)                                               \
    ((lvl) >= log_level()                                                       \
         ? log_write((lvl), (message), (const struct log_field[]){__VA_ARGS__}) \
         : (void)0)
/* log_info("sentence"[, field…]) */
#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__, LOG_DONE)
#define log_info(...) LOG_AT(LOG_INFO, __VA_ARGS__, LOG_DONE)
#define log_warn(...) LOG_AT(LOG_WARN, __VA_ARGS__, LOG_DONE)
#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__, LOG_DONE)
