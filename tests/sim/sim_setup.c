#include "sim_setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/mman.h>

#include "base/buf.h"
#include "base/check.h"
#include "sim_draw.h"
#include "sim_record.h"
#include "sim_server.h"
#include "sim_text.h"

enum { TEXT_MAX = 1 << 16, PATH_MAX_BYTES = 64 };

static const char *const types[] = {"vllm", "llamacpp", "ollama", "openai"};

struct str setup_model(void)
{
    return STR("sim-model");
}

/* Few slots, so that exchanges of one episode wait for each other; drawn apart, so that all
 * else is as it would be without. */
static void put_slots(const struct setup *s, struct buf *out, struct rand *slots)
{
    if (s->has_slots && draw_percent(slots, 75)) {
        put_format(out, ", max_concurrent: %u", draw_between(slots, 1, 2));
    }
    if (draw_percent(slots, 30)) {
        put_format(out, ", weight: %u", draw_between(slots, 1, 5));
    }
}

static void put_load(struct setup *s, struct buf *out, struct rand *slots)
{
    static const char *const policies[] = {"least_load", "least_load", "round_robin",
                                           "weighted",   "prefix",     "session"};
    s->queue_max = rand_below(slots, 5);
    s->queue_wait_ms = draw_between(slots, 500, 40000);
    put_format(out, "queue: {max: %u", s->queue_max);
    put_format(out, ", wait: %ums", s->queue_wait_ms);
    put_format(out, ", overflow: %s}\n", draw_percent(slots, 60) ? "true" : "false");
    put_format(out, "load: {policy: %s}\n", policies[rand_below(slots, 6)]);
}

static void put_backends(const struct setup *s, struct buf *out, struct rand *r,
                         struct rand *slots, uint32_t count)
{
    put(out, STR("backends:\n"));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t kind = rand_below(r, 100);
        const char *type = types[kind < 40 ? 0 : kind < 65 ? 1 : kind < 85 ? 2 : 3];
        put_format(out, "  b%u: {type: %s, url: 'http://127.0.0.1:%u'", i, type,
                   (unsigned)servers_port(i));
        if (draw_percent(r, 10)) {
            put_format(out, ", degrade: {max_tokens: %u}", draw_between(r, 3, 60));
        } else if (draw_percent(r, 30)) {
            put(out, STR(", degrade: off"));
        }
        if (draw_percent(r, 15)) {
            put_format(out, ", deadlines: {first_token: %us", draw_between(r, 2, 8));
            put_format(out, ", stall: %us}", draw_between(r, 2, 8));
        }
        put_slots(s, out, slots);
        put(out, STR("}\n"));
    }
}

/* Each backend once, in order, so many to a tier as is drawn. */
static void put_model(struct buf *out, struct rand *r, uint32_t count)
{
    put(out, STR("models:\n  sim-model:\n    aliases: [other-name]\n    tiers:\n"));
    for (uint32_t at = 0; at < count;) {
        uint32_t size = draw_percent(r, 60) ? 1 : draw_between(r, 1, count - at);
        put(out, STR("      - {"));
        for (uint32_t i = at; i < at + size; i++) {
            put_format(out, "%sb%u: model-of-b%u", i > at ? ", " : "", i, i);
        }
        put(out, STR("}\n"));
        at += size;
    }
}

static void put_durations(struct buf *out, struct rand *r)
{
    put_format(out, "deadlines: {connect: %ums, first_token_per_1k: 500ms",
               draw_between(r, 200, 2000));
    put_format(out, ", first_token: %us", draw_between(r, 2, 8));
    put_format(out, ", stall: %us", draw_between(r, 2, 8));
    put_format(out, ", total: %us}\n", draw_between(r, 8, 60));
    put_format(out, "retry: {same_backend: %u", rand_below(r, 3));
    put_format(out, ", backoff: %ums", draw_between(r, 1, 500));
    put_format(out, ", retry_after_up_to: %us, budget: off}\n", rand_below(r, 4));
    put_format(out, "health: {degraded_after: 500ms, interval: %us", draw_between(r, 1, 10));
    put_format(out, ", timeout: %us", draw_between(r, 1, 5));
    put_format(out, ", down_after: %u", draw_between(r, 1, 3));
    put_format(out, ", up_after: %u}\n", draw_between(r, 1, 2));
}

static void put_policies(struct setup *s, struct buf *out, struct rand *r)
{
    static const char *const resumes[] = {
        [SETUP_EXACT] = "exact", [SETUP_ANY] = "any", [SETUP_OFF] = "off"};
    static const char *const upstreams[] = {"auto", "auto", "always", "never"};
    static const char *const comments[] = {"10s", "10s", "10s", "500ms", "0"};
    static const char *const marks[] = {"body", "headers", "off"};
    uint32_t kind = rand_below(r, 6);
    s->resume = kind < 3 ? SETUP_EXACT : kind < 5 ? SETUP_ANY : SETUP_OFF;
    s->marks_bodies = draw_percent(r, 50);
    /* Calibration would ask backends beside what the oracle expects. */
    put_format(out, "streams: {calibrate: 0, resume: %s", resumes[s->resume]);
    put_format(out, ", upstream: %s", upstreams[rand_below(r, 4)]);
    put_format(out, ", keep_alive: %s}\n", comments[rand_below(r, 5)]);
    put_format(out, "annotate: %s\n", marks[s->marks_bodies ? 0 : draw_between(r, 1, 2)]);
    put_durations(out, r);
}

static void put_hedge(struct setup *s, struct buf *out, struct rand *r)
{
    static const uint32_t shares[] = {0, 30, 100, 100};
    s->hedges = draw_percent(r, 30);
    s->hedge_share = shares[rand_below(r, 4)];
    if (s->hedges) {
        put_format(out, "hedge: {after: %ums", draw_between(r, 1, 400));
        put_format(out, ", max_share: %u%%}\n", s->hedge_share);
    }
}

static struct settings *load(struct str text)
{
    char path[PATH_MAX_BYTES];
    struct settings *s = NULL;
    struct conf_errors errors;
    int fd = memfd_create("sim.yaml", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, text.ptr, text.len) == (ssize_t)text.len);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    conf_errors_init(&errors);
    if (settings_load(str_from(path), &errors, &s) != ERR_OK) {
        conf_errors_print(&errors, stderr);
        exit(1);
    }
    conf_errors_fini(&errors);
    close(fd);
    return s;
}

void setup_load(struct setup *s, uint64_t seed, uint64_t number, bool show)
{
    struct rand r = draw_stream(seed, LANE_SETTINGS, number);
    struct buf text;
    uint32_t kind = rand_below(&r, 100);
    uint32_t count = kind < 15   ? 1
                     : kind < 55 ? 2
                                 : draw_between(&r, 3, RECORD_SERVERS_MAX - 1);
    buf_init(&text, TEXT_MAX);
    struct rand slots = draw_stream(seed, LANE_SLOTS, number);
    s->has_slots = draw_percent(&slots, 40);
    put_backends(s, &text, &r, &slots, count);
    put_load(s, &text, &slots);
    put_model(&text, &r, count);
    put_policies(s, &text, &r);
    put_hedge(s, &text, &r);
    if (show) {
        (void)fprintf(stderr, "%.*s\n", STR_FMT(buf_str(&text)));
    }
    s->settings = load(buf_str(&text));
    s->model = &s->settings->catalog.models[0];
    buf_fini(&text);
}

void setup_unload(struct setup *s)
{
    settings_free(&s->settings);
}
