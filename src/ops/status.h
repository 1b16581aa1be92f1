#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "ops/model_watch.h"
#include "ops/rates.h"
#include "tiers/board.h"
#include "tiers/catalog.h"
#include "tiers/processes.h"
#include "tiers/tally.h"
#include "tiers/verdict_log.h"

/*
 * What the gateway looks like now, as JSON: the only source of the status page and of the
 * command line. Keys and addresses with user data are not in it.
 */

struct chronicle;
struct loop;
struct otlp;       /* ops/otlp.h */
struct access_log; /* ops/access_log.h */

/* What became of the alerts of one channel since the start. */
struct alert_counts {
    struct str name;
    const char *format;
    uint64_t sent;
    uint64_t failed;      /* given up */
    uint64_t waiting;     /* now */
    char last_error[240]; /* of the last try that failed; "": none has since one went through */
};

struct status_source {
    const struct catalog *catalog;
    const struct board *board;
    const struct tally *tally;
    const struct verdict_log *verdicts;
    const struct processes *processes;
    const struct rates *rates;
    const struct model_watch *watch;
    const struct otlp *spans;            /* NULL: no traces */
    const struct access_log *access_log; /* NULL: there is none */
    const _Atomic bool *draining;
    const _Atomic uint32_t *connections;
    uint64_t started_wall_ms;
    struct chronicle *chronicle; /* for metrics; NULL: none */
    struct loop *const *loops;   /* likewise: of control, then of each worker */
    size_t loop_count;
    size_t alert_channels; /* of these `alerts` tells one, in the control thread */
    void (*alerts)(void *arg, size_t channel, struct alert_counts *out);
    void *alerts_arg;
};

/*
 * {"version","at","uptime_s","draining","connections",
 *  "alerts":{"channels":[{"name","format","sent","failed","waiting","last_error"}]},
 *  "models":[{"name","aliases","can_serve","policy","waiting","queue",
 *             "serving":{"tier","backends","since","for_s"},"trend",
 *             "tiers":[{"tier","backends":[{"name","model","resume","status","why","until_s",
 *                                           "breaker","share","relapses",
 *                                           "context","capabilities"}]}]}],
 *  "backends":[{"name","type","url","state","reason","why","since","for_s",
 *               "operator","operator_since","resume",
 *               "in_flight","max_concurrent","weight","vitals","engine","tokens_per_s",
 *               "gpu":{"state","reason","why","counsel","for_s"},
 *               "guard":{"state","reason","for_s"},
 *               "first_token_p50_ms","first_token_p99_ms","attempts","failures","held_for_s",
 *               "degrade":{"max_tokens","temperature","notice"},
 *               "managed":{"state","why","for_s","starts","restarts","pid","stops_in_s"},
 *               "verdicts":[{"at","ago_s","first","times","model","verdict","status","then",
 *                            "trial"}]}]}
 * `operator` is "draining" or "disabled", null while the operator has said nothing.
 * `resume` is "exact", "differs" or "no", null while it is not measured; a backend's is the
 * worst of its models'. `status` is a pick_status_name, `breaker` a breaker_view_word, `share`
 * the per cent of its requests that it may get; `waiting` counts those that wait for a slot,
 * at most `queue`; `max_concurrent` is null where there is none; `capabilities` {"tools",
 * "vision","json_schema","logprobs","embeddings"}; `context` and each of those is null while it
 * is not known. `gpu` and `guard` are null where nobody is asked, `managed` for what the
 * gateway does not start itself. `verdicts` are those of tiers/verdict_log.h, the newest first.
 * `at` is the gateway's clock. `serving` tells which backends would get the next request, and
 * since when that tier is the one; `tier` is null while nobody could serve. `degrade` is null
 * where nothing is made weaker. `trend` is there only when `with_trend`: the last hour,
 *
 *     {"slot_s",
 *      "total":{"requests","failed","last_resort","degraded","tokens","first_token_p50_ms",
 *               "first_token_p99_ms"},
 *      "requests":[…],"failed":[…],"last_resort":[…],"degraded":[…],"tokens_per_s":[…],
 *      "first_token_p50_ms":[…],"first_token_p99_ms":[…]}
 *
 * a number for each slot, the oldest first, the running one last, at most an hour of them.
 * `requests` are those that got an answer or an error of ours; `failed`, `last_resort` and
 * `degraded` are some of them. Tokens and first tokens are those of all the model's backends;
 * null: there was none. Lives as long as the arena.
 */
struct str status_json(const struct status_source *s, bool with_trend, uint64_t now_ms,
                       struct arena *a);
