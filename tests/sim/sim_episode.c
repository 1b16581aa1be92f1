#include "sim_episode.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "gate/prober.h"
#include "gate/worker.h"
#include "sim_client.h"
#include "sim_draw.h"
#include "sim_loop.h"
#include "sim_memory.h"
#include "sim_server.h"
#include "sim_setup.h"
#include "tiers/lines.h"
#include "tiers/loads.h"

enum {
    WORKERS_MAX = 2,
    WATCH_MS = 500,
    QUIET_MS = 2000,
    DRAIN_MS = 90000,
    END_MS = 900000, /* an episode that takes longer hangs */
    SPIN_TIMERS = 60,
    SPIN_TASKS = 20000
};

struct episode {
    struct record record;
    struct servers servers;
    struct oracle oracle;
    struct rand rand;
    struct gateway *gateway;
    struct worker *workers[WORKERS_MAX];
    uint32_t worker_count;
    struct loop *control;
    struct prober *prober; /* NULL: nobody probes */
    struct client clients[RECORD_EXCHANGES_MAX];
    struct sim_event watch;
    struct sim_event drain;
    bool is_draining;
    uint32_t drain_limit_ms;
    uint64_t started_ms;
    uint64_t quiet_since_ms; /* 0: some exchange is under way */
};

/* --- what must hold when all is quiet --- */

static size_t count_idle(const struct episode *ep)
{
    size_t idle = 0;
    for (uint32_t w = 0; w < ep->worker_count; w++) {
        for (uint32_t i = 0; i < ep->servers.count; i++) {
            idle += upstream_idle(ep->workers[w]->upstreams[i]);
        }
    }
    return idle;
}

static size_t count_clients(const struct episode *ep)
{
    size_t open = 0;
    for (uint32_t w = 0; w < ep->worker_count; w++) {
        open += http_server_connections(ep->workers[w]->server);
    }
    return open;
}

static void check_worker(struct episode *ep, struct worker *w)
{
    if (w->exchanges.count > 0) {
        record_fail(&ep->record, NULL, "%zu exchanges live on after their clients' end",
                    w->exchanges.count);
    }
    if (sim_loop_ready(w->loop) > 0) {
        record_fail(&ep->record, NULL, "tasks are ready though nothing happens");
    }
}

/* A slot is neither lost nor given twice. */
static void check_slots(struct episode *ep)
{
    const struct loads *loads = board_loads(ep->gateway->board);
    for (uint32_t i = 0; i < ep->servers.count; i++) {
        uint32_t most = ep->servers.at[i].conf->max_concurrent;
        uint32_t now = board_view(ep->gateway->board, i, sim_now_ms()).in_flight;
        if (most > 0 && (now > most || loads_claimed(loads, i) > most)) {
            record_fail(&ep->record, NULL, "%u attempts at b%u, which may have %u", now, i,
                        most);
        }
    }
}

static void check_lines_are_empty(struct episode *ep)
{
    const struct loads *loads = board_loads(ep->gateway->board);
    for (uint32_t i = 0; i < ep->servers.count; i++) {
        if (loads_claimed(loads, i) > 0 || loads_of(loads, i, 0) > 0) {
            record_fail(&ep->record, NULL, "b%u has slots taken or work, and nothing to do", i);
        }
    }
    if (lines_waiting(loads_lines(loads), 0) > 0) {
        record_fail(&ep->record, NULL, "somebody waits in a line, but there is nobody");
    }
}

/* Connections to backends: those in the pools, and the prober's, one at most to each. */
static void check_quiet(struct episode *ep)
{
    size_t idle = count_idle(ep);
    size_t open = servers_sessions(&ep->servers);
    size_t probes = ep->prober ? ep->servers.count : 0;
    for (uint32_t w = 0; w < ep->worker_count; w++) {
        check_worker(ep, ep->workers[w]);
    }
    if (open > idle + probes) {
        record_fail(&ep->record, NULL, "%zu connections to backends are open, %zu in the pools",
                    open, idle);
    }
    for (uint32_t i = 0; i < ep->servers.count; i++) {
        struct backend_view v = board_view(ep->gateway->board, i, sim_now_ms());
        if (v.in_flight > 0) {
            record_fail(&ep->record, NULL, "%u attempts at b%u are counted as in flight",
                        v.in_flight, i);
        }
    }
    for (uint32_t w = 0; w < ep->worker_count; w++) {
        /* The pools' sweeps, and a due of each client's connection. */
        size_t armed = sim_loop_armed(ep->workers[w]->loop);
        if (armed > ep->servers.count + count_clients(ep) + (ep->is_draining ? 1 : 0)) {
            record_fail(&ep->record, NULL, "%zu timers are armed though all is quiet", armed);
        }
    }
    check_lines_are_empty(ep);
    oracle_judge_quiet(&ep->oracle);
}

/* --- the course of it --- */

static bool all_done(const struct episode *ep)
{
    for (uint32_t i = 0; i < ep->record.count; i++) {
        if (!client_is_done(&ep->clients[i])) {
            return false;
        }
    }
    return true;
}

static bool is_between(const struct episode *ep)
{
    for (uint32_t i = 0; i < ep->record.count; i++) {
        if (ep->clients[i].now) {
            return false;
        }
    }
    return true;
}

static void begin_drain(struct episode *ep, uint32_t limit_ms)
{
    if (ep->is_draining) {
        return;
    }
    record_trace(&ep->record, "the gateway drains, for at most %u ms", limit_ms);
    ep->is_draining = true;
    ep->record.is_cut = limit_ms < DRAIN_MS;
    atomic_store(&ep->gateway->draining, true);
    for (uint32_t w = 0; w < ep->worker_count; w++) {
        worker_drain(ep->workers[w], limit_ms);
    }
}

static void on_drain(struct sim_event *e)
{
    struct episode *ep = container_of(e, struct episode, drain);
    begin_drain(ep, ep->drain_limit_ms);
}

/* Every half second: is all quiet, and has it been for long enough to be judged? */
static void on_watch(struct sim_event *e)
{
    struct episode *ep = container_of(e, struct episode, watch);
    uint64_t now_ms = sim_now_ms();
    for (uint32_t i = 0; i < ep->record.count; i++) {
        client_check_waiting(&ep->clients[i]);
    }
    check_slots(ep);
    if (!is_between(ep)) {
        ep->quiet_since_ms = 0;
    } else if (ep->quiet_since_ms == 0) {
        ep->quiet_since_ms = now_ms;
    } else if (now_ms >= ep->quiet_since_ms + QUIET_MS) {
        check_quiet(ep);
        if (all_done(ep)) {
            begin_drain(ep, DRAIN_MS);
            return;
        }
    }
    if (now_ms < ep->started_ms + END_MS) {
        sim_event_set(&ep->watch, WATCH_MS);
    }
}

static bool are_stopped(const struct episode *ep)
{
    for (uint32_t w = 0; w < ep->worker_count; w++) {
        if (!sim_loop_is_stopped(ep->workers[w]->loop)) {
            return false;
        }
    }
    return true;
}

static bool is_hanging(struct episode *ep)
{
    struct sim_spin spin = sim_kernel_spin();
    if (sim_now_ms() >= ep->started_ms + END_MS + WATCH_MS) {
        record_fail(&ep->record, NULL, "an exchange or the gateway's drain does not end");
        return true;
    }
    if (spin.tasks > SPIN_TASKS) {
        record_fail(&ep->record, NULL, "tasks ready each other without end");
        return true;
    }
    return false;
}

static void run(struct episode *ep)
{
    while (!are_stopped(ep) && !is_hanging(ep)) {
        if (!sim_step()) {
            record_fail(&ep->record, NULL, "nothing will ever happen again");
            return;
        }
    }
    if (sim_kernel_spin().timers > SPIN_TIMERS) {
        record_fail(&ep->record, NULL, "a timer fires %u times in a row for nothing",
                    sim_kernel_spin().timers);
    }
}

/* --- the beginning and the end --- */

static void on_judge(void *owner, struct sim_exchange *x)
{
    struct episode *ep = owner;
    ep->quiet_since_ms = 0;
    oracle_judge(&ep->oracle, x);
}

static void start_gateway(struct episode *ep, const struct setup *setup, uint64_t seed)
{
    const char *why = "";
    enum err e = gateway_new(setup->settings, &ep->gateway, &why);
    CHECK(e == ERR_OK);
    ep->gateway->hash_key = (struct hash_key){seed, ep->record.first};
    ep->worker_count = draw_percent(&ep->rand, 75) ? 1 : WORKERS_MAX;
    for (uint32_t w = 0; w < ep->worker_count; w++) {
        int fd = (int)w;
        ep->workers[w] = worker_new(ep->gateway, w, &fd, 1);
        ep->workers[w]->rand = draw_stream(seed, LANE_WORKER, ep->record.first + w);
    }
    ep->control = loop_new();
    if (draw_percent(&ep->rand, 60)) {
        ep->prober = prober_start(ep->gateway, ep->control);
    }
}

/* As a calibration would have found them. */
static void tell_abilities(struct episode *ep, const struct setup *setup)
{
    struct board *b = ep->gateway->board;
    for (uint32_t i = 0; i < ep->servers.count && setup->knows_echo; i++) {
        const struct server *sv = &ep->servers.at[i];
        if (sv->is_echoing) {
            CHECK(board_set_ability(b, sv->serving, ABILITY_ECHO, board_outages(b, i)));
        }
    }
}

static void make_exchanges(struct episode *ep, uint64_t seed)
{
    uint32_t manner = rand_below(&ep->rand, 3); /* one client, one each, or by chance */
    ep->record.count = RECORD_EXCHANGES_MAX;
    for (uint32_t i = 0; i < ep->record.count; i++) {
        struct worker *w = ep->workers[rand_below(&ep->rand, ep->worker_count)];
        client_init(&ep->clients[i], &ep->record, &ep->servers, w, &ep->rand);
        ep->clients[i].judge = on_judge;
        ep->clients[i].owner = ep;
    }
    for (uint32_t i = 0; i < ep->record.count; i++) {
        struct sim_exchange *x = &ep->record.exchanges[i];
        struct rand r = draw_stream(seed, LANE_PLAN, ep->record.first + i);
        uint32_t at = manner == 0 ? 0 : manner == 1 ? i : rand_below(&ep->rand, 2);
        struct client *c = &ep->clients[at];
        plan_make(&x->plan, ep->record.first + i,
                  draw_percent(&r, 80) ? setup_model() : STR("other-name"), &r,
                  &ep->record.arena);
        buf_init(&x->body, 64 << 20);
        c->queue[c->count++] = x;
    }
}

static void start(struct episode *ep, uint64_t seed, const struct setup *setup)
{
    sim_event_init(&ep->watch, on_watch);
    sim_event_init(&ep->drain, on_drain);
    ep->started_ms = sim_now_ms();
    servers_start(&ep->servers, &ep->record, setup,
                  draw_stream(rand_next(&ep->rand), LANE_EPISODE, 1), seed);
    start_gateway(ep, setup, seed);
    tell_abilities(ep, setup);
    make_exchanges(ep, seed);
    ep->oracle =
        (struct oracle){.record = &ep->record, .setup = setup, .servers = &ep->servers};
    uint32_t spread_ms = draw_percent(&ep->rand, 50) ? 5 : 3000;
    for (uint32_t i = 0; i < ep->record.count; i++) {
        client_start(&ep->clients[i], rand_below(&ep->rand, spread_ms));
    }
    sim_event_set(&ep->watch, WATCH_MS);
    if (draw_percent(&ep->rand, 3)) {
        ep->drain_limit_ms = draw_percent(&ep->rand, 60) ? DRAIN_MS : 2000;
        sim_event_set(&ep->drain, rand_below(&ep->rand, 4000));
    }
}

/* Hedges stay within their share, and are told as what they are. */
static void check_hedges(struct episode *ep, const struct setup *setup)
{
    const struct tally *t = ep->gateway->tally;
    uint64_t doubled = 0;
    uint64_t begun = 0;
    for (uint32_t i = 0; i < ep->record.count; i++) {
        const struct sim_exchange *x = &ep->record.exchanges[i];
        doubled += x->doubled > 0 ? 1 : 0; /* a broken connection repeats one */
        begun += x->asked_ms > 0 ? 1 : 0;
    }
    uint64_t made = tally_hedges(t, 0, HEDGE_won) + tally_hedges(t, 0, HEDGE_lost);
    uint64_t most = setup->hedges ? begun * setup->hedge_share / 100 : 0;
    if (doubled > made || made > most) {
        record_fail(&ep->record, NULL,
                    "%" PRIu64 " hedges were made (%" PRIu64 " seen), not %" PRIu64
                    " at most in %" PRIu64 " exchanges",
                    made, doubled, most, begun);
    }
}

static void stop(struct episode *ep)
{
    sim_event_cancel(&ep->watch);
    sim_event_cancel(&ep->drain);
    if (ep->prober) {
        prober_stop(&ep->prober);
    }
    for (uint32_t i = 0; i < ep->record.count; i++) {
        client_stop(&ep->clients[i]);
        buf_fini(&ep->record.exchanges[i].body);
    }
    for (uint32_t w = 0; w < ep->worker_count; w++) {
        worker_free(&ep->workers[w]);
    }
    loop_free(&ep->control);
    gateway_free(&ep->gateway);
    if (sim_conns_open() > 0) {
        record_fail(&ep->record, NULL, "%zu connections are open at the end", sim_conns_open());
    }
    servers_stop(&ep->servers);
}

static void report(const struct episode *ep, struct episode_result *out)
{
    const struct oracle *o = &ep->oracle;
    out->whole += o->whole;
    out->resumed += o->resumed;
    out->errors += o->errors;
    out->broken += o->broken;
    out->left += o->left;
    out->cut += o->cut;
    for (uint32_t i = 0; i < ep->record.count; i++) {
        const struct sim_exchange *x = &ep->record.exchanges[i];
        out->asks += x->ask_count;
        for (uint32_t k = 0; k < x->ask_count; k++) {
            out->faults[x->asks[k].fault]++;
        }
    }
    if (ep->record.failure) {
        out->failed = ep->record.failed;
        (void)snprintf(out->failure, sizeof(out->failure), "%s", ep->record.failure);
    }
}

void episode_run(uint64_t seed, uint64_t number, const struct setup *setup, bool loud,
                 struct episode_result *out)
{
    struct episode *ep = mem_alloc(sizeof(*ep));
    sim_kernel_start(draw_stream(seed, LANE_KERNEL, number));
    ep->rand = draw_stream(seed, LANE_EPISODE, number);
    ep->record.first = number * EPISODE_EXCHANGES;
    ep->record.is_loud = loud;
    arena_init(&ep->record.arena);
    size_t blocks = sim_memory_blocks();
    start(ep, seed, setup);
    run(ep);
    if (!are_stopped(ep)) {
        report(ep, out); /* nothing can be ended that hangs: it is left as it is */
        return;
    }
    check_hedges(ep, setup);
    stop(ep);
    report(ep, out);
    arena_fini(&ep->record.arena);
    sim_kernel_stop();
    size_t left = sim_memory_blocks();
    if (left != blocks && out->failure[0] == '\0') {
        out->failed = ep->record.first;
        (void)snprintf(out->failure, sizeof(out->failure),
                       "%zd blocks of memory are not given back", (ssize_t)(left - blocks));
    }
    free(ep);
}
