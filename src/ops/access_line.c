#include "ops/access_line.h"

/* Of a client that left before anything had been sent; nginx's. */
enum { STATUS_CLIENT_LEFT = 499 };

static void put_text(struct field_line *l, const char *name, struct str value)
{
    if (value.len > 0) {
        field_line_text(l, name, value);
    }
}

static void put_number(struct field_line *l, const char *name, uint64_t value)
{
    if (value > 0) {
        field_line_number(l, name, (int64_t)value);
    }
}

static void put_ms(struct field_line *l, const char *name, uint64_t us)
{
    if (us > 0) {
        field_line_number(l, name, (int64_t)((us + 500) / 1000));
    }
}

static void put_trace(struct field_line *l, const struct account *r)
{
    char digits[2 * STR_NUMBER_MAX];
    if (r->ids.span != 0) {
        (void)str_hex64(r->ids.trace_high, digits);
        (void)str_hex64(r->ids.trace_low, digits + 16);
        field_line_text(l, "trace", str_of(digits, 32));
    }
}

static void put_exchange(struct field_line *l, const struct account *r)
{
    put_text(l, "asked", r->asked);
    put_text(l, "model", r->model ? r->model->name : STR(""));
    put_text(l, "backend", r->backend ? r->backend->name : STR(""));
    put_number(l, "tier", r->tier);
    field_line_text(l, "outcome", str_from(outcome_name(r->outcome)));
    field_line_number(l, "stream", r->streams ? 1 : 0);
    put_number(l, "prompt_tokens", r->prompt_tokens);
    put_number(l, "completion_tokens", r->completion_tokens);
    if (r->first_us > 0) {
        field_line_number(l, "first_token_ms", (int64_t)((r->first_us + 500) / 1000));
    }
    field_line_number(l, "duration_ms", (int64_t)((r->ended_us + 500) / 1000));
    put_ms(l, "queue_ms", r->queued_us);
    field_line_number(l, "bytes_in", (int64_t)r->bytes_in);
    field_line_number(l, "bytes_out", (int64_t)r->bytes_out);
    put_text(l, "attempts", r->trail);
    put_number(l, "resumes", r->resume_count);
    put_text(l, "degraded", r->degraded);
    put_trace(l, r);
}

void access_line_write(const struct account *r, enum log_format format, struct field_line *out)
{
    int status = r->status != 0 ? r->status : STATUS_CLIENT_LEFT;
    field_line_begin(out, format);
    field_line_time(out, "time", r->wall_us / 1000);
    put_text(out, "id", r->request_id);
    put_text(out, "client", r->peer);
    put_text(out, "key", r->key);
    put_text(out, "method", r->method);
    put_text(out, "path", r->path);
    field_line_number(out, "status", status);
    put_text(out, "error", r->error);
    if (r->is_exchange) {
        put_exchange(out, r);
    }
    field_line_end(out);
}
