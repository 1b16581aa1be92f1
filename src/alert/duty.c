#include "alert/duty.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tiers/incumbent.h"

struct duty {
    struct duty_conf conf;
    char gateway[EVENT_NAME];
    struct alert_rules *rules;
    struct alerter *alerter;
    struct timer timer;
};

static struct alert_clock read_clock(const struct duty *d)
{
    struct event_span span = event_ring_span(chronicle_ring(d->conf.chronicle));
    uint64_t wall_ms = clock_wall_ms();
    return (struct alert_clock){.now_ms = clock_mono_ms(),
                                .wall_ms = wall_ms,
                                .minute = alerter_minute(wall_ms),
                                .incident_shift = span.incident_shift};
}

static void look(void *arg, size_t model, struct alert_look *out)
{
    const struct duty *d = arg;
    const struct tally *t = d->conf.tally;
    uint32_t m = (uint32_t)model;
    struct incumbent by =
        incumbent_of(&d->conf.catalog->models[model], d->conf.board, clock_mono_ms());
    *out = (struct alert_look){.by = by.backend, .tier = by.tier, .rising = by.rising};
    for (unsigned o = 0; o < OUTCOME_COUNT; o++) {
        out->requests += tally_ends(t, m, (enum outcome)o);
    }
    out->degraded = tally_degraded_answers(t, m) + tally_ends(t, m, OUTCOME_last_resort);
    out->failed = tally_ends(t, m, OUTCOME_failed) + tally_ends(t, m, OUTCOME_interrupted);
}

static void tell(void *arg, size_t channel, const struct alert *a)
{
    struct duty *d = arg;
    alerter_put(d->alerter, channel, a);
}

static void turn(struct duty *d)
{
    struct alert_clock at = read_clock(d);
    alert_rules_turn(d->rules, &at);
    timer_arm(d->conf.loop, &d->timer, alert_rules_due_ms(d->rules, &at));
}

static void on_time(struct timer *t)
{
    turn(container_of(t, struct duty, timer));
}

/* Of the chronicle; NULL: those were all for now. */
static void on_event(void *arg, const struct event *e)
{
    struct duty *d = arg;
    if (!e) {
        turn(d);
        return;
    }
    struct alert_clock at = read_clock(d);
    alert_rules_take(d->rules, e, &at);
}

static void carry(void *arg, const struct alert_carried *c)
{
    struct duty *d = arg;
    struct alert_clock at = read_clock(d);
    alert_rules_carry(d->rules, c, &at);
    turn(d);
}

static void name_gateway(struct duty *d)
{
    char host[256] = "";
    (void)gethostname(host, sizeof(host) - 1);
    EVENT_PUT(d->gateway, host[0] != '\0' ? str_from(host) : STR("fallthrough"));
}

struct duty *duty_start(const struct duty_conf *conf)
{
    struct duty *d = mem_alloc(sizeof(*d));
    d->conf = *conf;
    tzset();
    name_gateway(d);
    timer_init(&d->timer, on_time);
    d->alerter = alerter_start(&(struct alerter_conf){.policy = conf->policy,
                                                      .path = conf->history,
                                                      .journal = conf->journal,
                                                      .loop = conf->loop,
                                                      .carry = carry,
                                                      .carry_arg = d,
                                                      .send = conf->send});
    struct alert_clock at = read_clock(d);
    d->rules = alert_rules_new(&(struct alert_rules_conf){.catalog = conf->catalog,
                                                          .policy = conf->policy,
                                                          .settle_ms = conf->settle_ms,
                                                          .gateway = d->gateway,
                                                          .look = look,
                                                          .tell = tell,
                                                          .arg = d},
                               &at);
    chronicle_set_tap(conf->chronicle, on_event, d);
    return d;
}

void duty_stop(struct duty **d)
{
    struct duty *gone = *d;
    *d = NULL;
    if (!gone) {
        return;
    }
    struct alert_clock at = read_clock(gone);
    chronicle_set_tap(gone->conf.chronicle, NULL, NULL);
    timer_drop(gone->conf.loop, &gone->timer);
    alert_rules_end(gone->rules, &at);
    alerter_stop(&gone->alerter);
    alert_rules_free(&gone->rules);
    free(gone);
}

_Static_assert(sizeof(((struct alert_counts *)0)->last_error) ==
                   sizeof(((struct alerter_figures *)0)->last_error),
               "both hold what a server says");

void duty_count(void *duty, size_t channel, struct alert_counts *out)
{
    const struct duty *d = duty;
    const struct alert_channel *ch = &d->conf.policy->channels[channel];
    struct alerter_figures f;
    alerter_figures(d->alerter, channel, &f);
    *out = (struct alert_counts){.name = ch->name,
                                 .format = alert_format_name(ch->format),
                                 .sent = f.sent,
                                 .failed = f.failed,
                                 .waiting = f.waiting};
    memcpy(out->last_error, f.last_error, sizeof(f.last_error));
}
