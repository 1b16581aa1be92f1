#include "cmd/demo_seam.h"

#include <stdio.h>

#include "base/clock.h"
#include "cmd/color.h"
#include "cmd/fetch.h"

enum { METRICS_MS = 5000 };

#define FROM_FIRST "fallthrough_tokens_total{backend=\"first\"} "
#define RESUMED "fallthrough_resumes_total{from=\"first\",to=\"standby\",result=\"ok\"} "

/* The value of the sample whose line begins so; 0 when there is none. */
static uint64_t sample(struct str metrics, struct str beginning)
{
    while (metrics.len > 0) {
        struct str line = str_cut(&metrics, '\n');
        uint64_t value = 0;
        if (str_starts(line, beginning) &&
            str_to_u64(str_from_at(line, beginning.len), UINT64_MAX, &value) == ERR_OK) {
            return value;
        }
    }
    return 0;
}

/* Whether the piece that comes after `shown` others is the standby's. The gateway counts before
 * it sends. */
static bool is_of_standby(struct demo_seam *s)
{
    struct fetched got;
    struct fetch_conf conf = {.method = "GET",
                              .url = s->stage->admin,
                              .target = STR("/metrics"),
                              .timeout_ms = METRICS_MS,
                              .stop_fd = s->stage->stop_fd};
    bool is_known = fetch(&conf, &got) == ERR_OK && got.status == 200;
    bool found = is_known && sample(got.body, STR(RESUMED)) > 0 &&
                 s->pieces >= sample(got.body, STR(FROM_FIRST));
    fetched_fini(&got);
    return found;
}

static void paint(const struct demo_seam *s, const char *color)
{
    if (s->in_color) {
        (void)fputs(color, stdout);
    }
}

void demo_seam_init(struct demo_seam *s, struct demo_stage *stage)
{
    *s = (struct demo_seam){.stage = stage, .in_color = color_is_wanted()};
    paint(s, COLOR_CYAN);
}

static void mark_seam(const struct demo_seam *s)
{
    if (s->in_color) {
        (void)printf(COLOR_YELLOW " >>> first to standby, %llu ms >>>" COLOR_GREEN,
                     (unsigned long long)s->gap_ms);
    }
}

void demo_seam_show(struct demo_seam *s, struct str text)
{
    uint64_t now_ms = clock_mono_ms();
    if (s->is_killed && !s->is_crossed && is_of_standby(s)) {
        s->is_crossed = true;
        s->gap_ms = now_ms - s->shown_ms;
        mark_seam(s);
    }
    (void)printf("%.*s", STR_FMT(text));
    (void)fflush(stdout);
    s->shown_ms = now_ms;
    s->pieces++;
}

void demo_seam_mark_kill(struct demo_seam *s, int pid)
{
    s->is_killed = true;
    if (s->in_color) { /* the mark of the seam will follow */
        (void)printf(COLOR_RED " >>> kill -9 %d" COLOR_CYAN, pid);
    } else {
        (void)printf(" >>> kill -9 %d >>>", pid);
    }
    (void)fflush(stdout);
}

void demo_seam_end(struct demo_seam *s)
{
    paint(s, COLOR_OFF);
    (void)fflush(stdout);
}
