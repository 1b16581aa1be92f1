#include "tiers/alert_words.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tiers/health.h"

enum { TIME_BYTES = 25, CLOCK_AT = 11, CLOCK_CHARS = 8, TEXT_BYTES = 640 };

static void put_line(uint64_t wall_ms, const char *text, char out[ALERT_LINE])
{
    char at[TIME_BYTES];
    char line[CLOCK_CHARS + 2 + TEXT_BYTES];
    clock_format(wall_ms, at);
    (void)snprintf(line, sizeof(line), "%.*sZ %s", CLOCK_CHARS, at + CLOCK_AT, text);
    event_put(out, ALERT_LINE, str_from(line));
}

void alert_words_event(const struct event *e, char out[ALERT_LINE])
{
    char text[EVENT_TEXT];
    event_text(e, text);
    put_line(e->wall_ms, text, out);
}

void alert_words_line(const struct alert *a, char out[ALERT_LINE])
{
    char text[TEXT_BYTES];
    (void)snprintf(text, sizeof(text), "%s: %s: %s; %s", a->subject,
                   alert_moment_name(a->moment), a->error, a->action);
    put_line(a->wall_ms, text, out);
}

void alert_words_add(struct alert *a, const char *line)
{
    if (a->line_count == ALERT_LINES) {
        memmove(a->lines[0], a->lines[1], sizeof(a->lines[0]) * (ALERT_LINES - 1));
        a->line_count--;
        a->lines_left_out++;
    }
    event_put(a->lines[a->line_count++], ALERT_LINE, str_from(line));
}

/* At most so long between two probes of it. */
static uint64_t probe_gap_ms(const struct health_policy *h)
{
    uint64_t gap_ms = h->down_gap_max_ms < h->interval_ms ? h->down_gap_max_ms : h->interval_ms;
    return gap_ms > PROBE_GAP_MS ? gap_ms : PROBE_GAP_MS;
}

static void say_probes(const struct alert_deed *d, char *out, size_t size)
{
    out[0] = '\0';
    if (d->probed && d->probed->managed.command) {
        (void)snprintf(out, size, "; the gateway starts %.*s again", STR_FMT(d->probed->name));
    } else if (d->probed) {
        uint64_t gap_ms = probe_gap_ms(&d->probed->health);
        (void)snprintf(out, size, "; %.*s is probed every %llu%s s", STR_FMT(d->probed->name),
                       (unsigned long long)(gap_ms / 1000), gap_ms % 1000 >= 500 ? ".5" : "");
    }
}

static void say_nobody(const struct alert_deed *d, char *out, size_t size)
{
    const struct last_resort_policy *p = &d->model->last_resort;
    bool has_last_resort = p->cache_ms > 0 || p->message.len > 0;
    struct str rising = d->rising ? d->rising->name : STR("");
    (void)snprintf(out, size, "no backend left: clients get %s%s%.*s%s",
                   has_last_resort ? "the last resort" : "503", d->rising ? " until " : "",
                   STR_FMT(rising), d->rising ? ", which is being started, is up" : "");
}

static void say_traffic(const struct alert_deed *d, const struct alert *a, char *out,
                        size_t size)
{
    if (!d->model) {
        (void)snprintf(out, size, "no model uses it");
    } else if (a->to_tier == 0) {
        say_nobody(d, out, size);
    } else if (d->has_moved) {
        (void)snprintf(out, size, "traffic of %.*s moved to %s (tier %u)",
                       STR_FMT(d->model->name), a->to, a->to_tier);
    } else if (a->moment == ALERT_OVER && a->from_tier != a->to_tier) {
        (void)snprintf(out, size, "traffic of %.*s is back at %s (tier %u)",
                       STR_FMT(d->model->name), a->to, a->to_tier);
    } else {
        (void)snprintf(out, size, "%.*s is served by %s (tier %u)", STR_FMT(d->model->name),
                       a->to, a->to_tier);
    }
}

void alert_words_action(const struct alert_deed *d, struct alert *a)
{
    char traffic[TEXT_BYTES / 2];
    char probes[TEXT_BYTES / 4];
    char text[TEXT_BYTES];
    say_traffic(d, a, traffic, sizeof(traffic));
    say_probes(d, probes, sizeof(probes));
    (void)snprintf(text, sizeof(text), "%s%s", traffic, probes);
    EVENT_PUT(a->action, str_from(text));
}
