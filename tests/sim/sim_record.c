#include "sim_record.h"

#include <stdarg.h>
#include <stdio.h>

#include "sim_loop.h"

enum { LINE_MAX_BYTES = 1000 };

struct sim_exchange *record_find(struct record *rec, uint64_t number)
{
    bool is_known = number >= rec->first && number < rec->first + rec->count;
    return is_known ? &rec->exchanges[number - rec->first] : NULL;
}

void record_trace(const struct record *rec, const char *format, ...)
{
    va_list args;
    if (!rec->is_loud) {
        return;
    }
    (void)fprintf(stderr, "%8llu ms  ", (unsigned long long)sim_now_ms());
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

void record_fail(struct record *rec, const struct sim_exchange *x, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    record_trace(rec, "WRONG: %s", line);
    if (!rec->failure) {
        rec->failure = arena_dup(&rec->arena, str_from(line)).ptr;
        rec->failed = x ? x->plan.number : rec->first;
    }
}
