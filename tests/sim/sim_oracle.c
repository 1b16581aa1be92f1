#include "sim_oracle.h"

#include <inttypes.h>

#include "sim_judgement.h"
#include "sim_loop.h"

/* After its due time an exchange may wait so long for a backend's last word. */
enum { GRACE_MS = 1100, LINGER_MS = 1600, HOLD_MOST_MS = 30000 };

static void wrong_text(const struct judgement *j, const char *what, struct str got,
                       struct str wanted)
{
    size_t at = 0;
    while (at < got.len && at < wanted.len && got.ptr[at] == wanted.ptr[at]) {
        at++;
    }
    struct str got_rest = str_from_at(got, at);
    struct str wanted_rest = str_from_at(wanted, at);
    record_fail(j->oracle->record, j->x,
                "%s at byte %zu: '%.*s' instead of '%.*s' (%zu of %zu bytes)", what, at,
                got_rest.len < 60 ? (int)got_rest.len : 60, str_chars(got_rest),
                wanted_rest.len < 60 ? (int)wanted_rest.len : 60, str_chars(wanted_rest),
                got.len, wanted.len);
}

/* --- what is asked of backends --- */

static void check_count(struct judgement *j, const struct backend *b)
{
    uint32_t fresh = 0;
    uint32_t continued = 0;
    for (uint32_t i = 0; i < j->x->ask_count; i++) {
        const struct ask *k = &j->x->asks[i];
        if (k->backend == b->index && !k->is_repeated) {
            fresh += k->continues ? 0 : 1;
            continued += k->continues ? 1 : 0;
        }
    }
    /* Once more from the beginning, when it has refused to continue. */
    uint32_t most = 1 + b->retry.same_backend + (continued > 0 ? 1 : 0);
    most += j->oracle->setup->hedges ? 1 : 0; /* who came too late may be the next */
    /* A stream goes on elsewhere at once; a collected answer is tried again like any other. */
    uint32_t most_continued = j->x->plan.stream ? 1 : 1 + b->retry.same_backend;
    if (j->oracle->setup->has_slots) {
        /* It refused to continue, and before it could be asked otherwise its slot was gone. */
        most_continued++;
        most++;
    }
    bool is_too_often = !j->x->plan.stream && fresh + continued > most;
    if (fresh > most || continued > most_continued || is_too_often) {
        record_fail(j->oracle->record, j->x, "%.*s is asked %u times, and %u times to continue",
                    STR_FMT(b->name), fresh, continued);
    }
}

/* A whole answer is not asked for again. (One that has more tokens than were wanted, because
 * nobody could count them, is longer than what others call whole.) */
static void check_no_more(struct judgement *j)
{
    bool is_countable = j->x->plan.is_counted || !j->x->plan.has_limit;
    for (uint32_t i = 0; i + 1 < j->x->ask_count; i++) {
        const struct ask *k = &j->x->asks[i];
        bool was_alone = !j->oracle->setup->hedges;
        if (was_alone && is_countable && k->hope == HOPE_SURE && ask_has_finished(k) &&
            !k->is_repeated) {
            judgement_wrong(j, "asked again after an answer that was whole");
        }
    }
}

static void check_asks(struct judgement *j)
{
    for (size_t t = 0; t < j->model->tier_count; t++) {
        for (size_t i = 0; i < j->model->tiers[t].member_count; i++) {
            check_count(j, j->model->tiers[t].members[i].backend);
        }
    }
    check_no_more(j);
}

static bool is_silence(enum failure f)
{
    return f == FAILURE_first_token_timeout || f == FAILURE_stall || f == FAILURE_send_timeout;
}

static bool is_break(enum failure f)
{
    return f == FAILURE_reset || f == FAILURE_closed || f == FAILURE_truncated;
}

/* Down for what it never did. */
static bool is_slandered(const struct server *sv, const struct known_backend *known)
{
    if (known->state != STATE_DOWN || known->cause.kind != CAUSE_TRAFFIC) {
        return false;
    }
    return (is_silence(known->cause.failure) && !sv->has_been_silent) ||
           (is_break(known->cause.failure) && !sv->has_broken);
}

/* A backend that never did anything wrong is not to be blamed. */
static void check_blame(struct judgement *j)
{
    const struct servers *all = j->oracle->servers;
    for (uint32_t i = 0; i < all->count && j->x->answered_ms > 0; i++) {
        const struct known_backend *known = &j->x->known[i];
        if (known->hold_ms > HOLD_MOST_MS) {
            record_fail(j->oracle->record, j->x, "b%u is left alone for %u ms", i,
                        known->hold_ms);
        }
        if (is_slandered(&all->at[i], known)) {
            record_fail(j->oracle->record, j->x, "b%u is down for %s, but never was to blame",
                        i, cause_word(known->cause));
        }
        if (!all->at[i].has_misbehaved && (known->state == STATE_DOWN || known->hold_ms > 0)) {
            record_fail(j->oracle->record, j->x, "%.*s is taken for bad, but did nothing wrong",
                        STR_FMT(all->at[i].conf->name));
        }
    }
}

/* --- what the client has --- */

static void check_beginning(struct judgement *j)
{
    const struct plan *p = &j->x->plan;
    for (uint32_t i = 0; i < j->rd.choices; i++) {
        if (!str_starts(p->content[i].text, j->rd.choice[i].text)) {
            wrong_text(j, "the text is not the script's", j->rd.choice[i].text,
                       p->content[i].text);
        }
    }
    if (p->stop.len > 0 && str_has(j->rd.choice[0].text, p->stop)) {
        judgement_wrong(j, "the text holds a stop string");
    }
    if (!str_starts(p->reasoning.text, j->rd.reasoning)) {
        wrong_text(j, "the reasoning is not the script's", j->rd.reasoning, p->reasoning.text);
    }
    for (uint32_t i = 0; i < j->rd.calls; i++) {
        if (!str_starts(p->calls[i].arguments, j->rd.call[i].arguments) ||
            !str_eq(p->calls[i].name, j->rd.call[i].name) || j->rd.call[i].id.len == 0) {
            wrong_text(j, "a tool call is not the script's", j->rd.call[i].arguments,
                       p->calls[i].arguments);
        }
    }
}

/* As far as the answer says who gave it. */
static bool is_by(const struct judgement *j, const struct ask *k)
{
    return str_eq(j->rd.backend, j->oracle->servers->at[k->backend].conf->name);
}

/* The ask that ended the answer; NULL: none has. Of two at once it is the one that is named, or
 * whose end it is. */
static const struct ask *finisher(const struct judgement *j)
{
    const struct ask *found = NULL;
    for (uint32_t i = j->x->ask_count; i > 0; i--) {
        const struct ask *k = &j->x->asks[i - 1];
        size_t end = k->to > 0 ? k->plan->content[0].end[k->to - 1] : 0;
        bool fits = j->rd.backend.len > 0 ? is_by(j, k) : j->rd.choice[0].text.len == end;
        if (ask_may_have_finished(k) && (!found || (j->x->doubled > 0 && fits))) {
            found = k;
            if (fits) {
                break;
            }
        }
    }
    return found;
}

static void check_choice(struct judgement *j, uint32_t i, struct str text, const char *finish)
{
    const struct read_choice *c = &j->rd.choice[i];
    if (!str_eq(c->text, text)) {
        wrong_text(j, "the whole text is not the script's", c->text, text);
    }
    if (c->finishes != 1 || !str_eq(c->finish, str_from(finish))) {
        record_fail(j->oracle->record, j->x, "%u finish_reasons, '%.*s' instead of '%s'",
                    c->finishes, STR_FMT(c->finish), finish);
    }
    if (c->roles > 1) {
        judgement_wrong(j, "the role is said twice");
    }
}

/* Where the answer was begun anew after its first words, or these were repeated, what tells of
 * them is left out. */
static bool was_repeated(const struct judgement *j, const struct ask *last)
{
    for (const struct ask *k = j->x->asks; k <= last; k++) {
        if (k->is_echoing || (!k->continues && k > j->x->asks)) {
            return true;
        }
    }
    return false;
}

static void check_logprobs(struct judgement *j, const struct ask *last)
{
    for (uint32_t i = 0; i < j->rd.choices && j->x->plan.wants_logprobs; i++) {
        const struct read_choice *c = &j->rd.choice[i];
        bool is_partial = was_repeated(j, last);
        if (c->flaw_of_logprobs && (j->rd.is_stream || !is_partial)) {
            judgement_wrong(j, c->flaw_of_logprobs);
        }
        if (!c->has_all_logprobs && !is_partial) {
            judgement_wrong(j, "logprobs are missing");
        }
    }
}

static void check_usage(struct judgement *j, const struct ask *last)
{
    const struct plan *p = &j->x->plan;
    const struct reading *rd = &j->rd;
    enum fault_place place = fault_place(last->fault);
    bool is_told = last->over_ms > 0 && !last->is_cancelled && !last->is_killed &&
                   last->hope == HOPE_SURE && j->x->answered_ms < j->due_ms &&
                   (place == AT_NOTHING || place == AT_END || last->fault == SIM_pause);
    bool is_text = p->reasoning.count == 0 && p->call_count == 0 && !p->has_halves;
    bool is_measured = is_text && p->n == 1 && j->x->counted > 0 && j->x->counted == last->to &&
                       j->x->knows_prompt;
    bool is_wanted = !p->stream || p->wants_usage;
    if (is_wanted && !rd->has_usage) {
        judgement_wrong(j, "the usage is missing");
    }
    if (!is_wanted && rd->has_usage) {
        judgement_wrong(j, "nobody asked for the usage");
    }
    if (!rd->has_usage) {
        return;
    }
    bool is_counted = p->is_counted || (is_text && j->x->counted == last->from);
    bool is_exact = is_measured || (is_told && (is_counted || !last->continues));
    if (rd->total_tokens != rd->prompt_tokens + rd->completion_tokens ||
        (is_exact &&
         (rd->prompt_tokens != p->prompt_tokens || rd->completion_tokens != last->to))) {
        record_fail(j->oracle->record, j->x,
                    "usage is %" PRIu64 " + %" PRIu64 " = %" PRIu64 ", not %" PRIu64 " + %u",
                    rd->prompt_tokens, rd->completion_tokens, rd->total_tokens,
                    p->prompt_tokens, last->to);
    }
}

static void check_marks(struct judgement *j, const struct ask *last)
{
    const struct server *sv = &j->oracle->servers->at[last->backend];
    bool is_marked = j->oracle->setup->marks_bodies;
    if (is_marked != (j->rd.backend.len > 0) ||
        (is_marked && !str_eq(j->rd.backend, sv->conf->name))) {
        judgement_wrong(j, "_backend is not the one that finished");
    }
    if (j->rd.is_resumed && j->x->ask_count < 2) {
        judgement_wrong(j, "_resumed, but only one backend was asked");
    }
}

/* By the client's limit, or by what a backend is cut to. */
static bool is_limit_reached(const struct judgement *j, uint32_t given)
{
    const struct plan *p = &j->x->plan;
    bool is_reached = p->has_limit && (p->is_counted ? given == p->limit : given >= p->limit);
    for (uint32_t i = 0; i < j->x->ask_count; i++) {
        const struct ask *k = &j->x->asks[i];
        is_reached = is_reached || (k->has_limit && given >= k->from + k->limit);
    }
    return is_reached;
}

/* The gateway itself ends an answer whose tokens are used up. Without a tokenizer it counts
 * chunks, which may be fewer. */
static bool is_used_up(const struct judgement *j)
{
    uint32_t given = 0;
    bool is_whole = said_is_prefix(&j->x->plan.content[0], j->rd.choice[0].text, &given);
    return is_whole && str_eq(j->rd.choice[0].finish, STR("length")) &&
           is_limit_reached(j, given);
}

static void check_used_up(struct judgement *j)
{
    if (!is_used_up(j)) {
        judgement_wrong(j, "an answer looks whole that no backend has finished");
        return;
    }
    check_choice(j, 0, j->rd.choice[0].text, "length");
}

/* It ends it as well where a stop string begins before a seam and ends behind it. */
static bool is_stopped(const struct judgement *j)
{
    const struct plan *p = &j->x->plan;
    struct str given = said_tokens(&p->content[0], 0, p->stop_at + 1);
    bool was_continued = false;
    for (uint32_t i = 0; i < j->x->ask_count; i++) {
        const struct ask *k = &j->x->asks[i];
        was_continued = was_continued || (k->from == p->stop_at + 1 && ask_has_spoken(k));
    }
    return p->stop.len > 0 && p->is_stop_late && was_continued &&
           str_eq(j->rd.choice[0].text, given);
}

static void check_whole(struct judgement *j)
{
    const struct plan *p = &j->x->plan;
    const struct ask *last = finisher(j);
    j->oracle->whole++;
    j->oracle->resumed += j->rd.is_resumed ? 1 : 0;
    if (is_stopped(j) && !is_used_up(j)) {
        check_choice(j, 0, j->rd.choice[0].text, "stop");
        return;
    }
    bool is_doubtful = last && (last->hope == HOPE_SOME || j->oracle->setup->hedges);
    if (!last || (is_doubtful && is_used_up(j))) {
        check_used_up(j);
        return;
    }
    if (j->rd.choices != p->n) {
        judgement_wrong(j, "not as many choices as were asked for");
    }
    check_choice(j, 0, said_tokens(&p->content[0], 0, last->to), last->finish);
    for (uint32_t i = 1; i < p->n; i++) {
        check_choice(j, i, p->content[i].text, "stop");
    }
    if (!str_eq(j->rd.reasoning, p->reasoning.text)) {
        wrong_text(j, "the reasoning is not whole", j->rd.reasoning, p->reasoning.text);
    }
    if (j->rd.calls != p->call_count) {
        judgement_wrong(j, "not as many tool calls as the script has");
    }
    for (uint32_t i = 0; i < j->rd.calls; i++) {
        if (!str_eq(j->rd.call[i].arguments, p->calls[i].arguments)) {
            wrong_text(j, "the arguments are not whole", j->rd.call[i].arguments,
                       p->calls[i].arguments);
        }
    }
    check_logprobs(j, last);
    check_usage(j, last);
    check_marks(j, last);
}

/* --- the verdict --- */

static void check_time(struct judgement *j)
{
    bool is_own_fault = j->x->plan.is_slow || j->x->left_ms > 0;
    if (!is_own_fault && j->x->answered_ms > j->due_ms + GRACE_MS) {
        record_fail(j->oracle->record, j->x, "answered %" PRIu64 " ms after its time was over",
                    j->x->answered_ms - j->due_ms);
    }
}

static void check_request_id(struct judgement *j)
{
    const struct http_response *h = &j->x->head;
    struct str id = http_find(h->header, h->header_count, "x-request-id");
    struct str asked = j->x->plan.request_id;
    if (id.len == 0 || (asked.len > 0 && !str_eq(id, asked))) {
        judgement_wrong(j, "x-request-id is missing or another one");
    }
}

static void judge_answer(struct judgement *j)
{
    const struct reading *rd = &j->rd;
    const struct sim_exchange *x = j->x;
    bool is_whole = x->is_complete && !rd->has_error && x->head.status == 200 &&
                    rd->is_stream == x->plan.stream && rd->done == (rd->is_stream ? 1U : 0U);
    bool is_error = x->is_complete && !rd->is_stream && rd->has_error && x->head.status >= 400;
    bool is_break = !x->is_complete && rd->is_stream && rd->has_error && rd->done == 0;
    check_request_id(j);
    if (is_whole) {
        check_whole(j);
    } else if (is_error || is_break) {
        j->oracle->errors += is_error ? 1 : 0;
        j->oracle->broken += is_break ? 1 : 0;
        judgement_check_error(j);
    } else {
        record_fail(j->oracle->record, x,
                    "neither whole nor an honest error: status %d, %s%s%s, %u [DONE]",
                    x->head.status, rd->is_stream ? "a stream" : "no stream",
                    x->is_complete ? ", complete" : ", cut", rd->has_error ? ", an error" : "",
                    rd->done);
    }
}

static bool has_given(const struct reading *rd)
{
    bool has_text = rd->reasoning.len > 0 || rd->calls > 0;
    for (uint32_t i = 0; i < rd->choices; i++) {
        has_text = has_text || rd->choice[i].text.len > 0 || rd->choice[i].finishes > 0;
    }
    return rd->is_stream && has_text;
}

static uint64_t total_ms(const struct model *m)
{
    uint64_t longest = 0;
    for (size_t t = 0; t < m->tier_count; t++) {
        for (size_t i = 0; i < m->tiers[t].member_count; i++) {
            uint64_t one = m->tiers[t].members[i].backend->deadlines.total_ms;
            longest = one > longest ? one : longest;
        }
    }
    return longest;
}

void oracle_judge(struct oracle *o, struct sim_exchange *x)
{
    struct judgement j = {.oracle = o, .x = x, .model = o->setup->model};
    struct arena a;
    j.due_ms = x->asked_ms + total_ms(j.model);
    arena_init(&a);
    if (x->has_head) {
        reading_make(&j.rd, x, &a);
        j.is_committed = has_given(&j.rd);
        check_beginning(&j);
    }
    check_asks(&j);
    check_blame(&j);
    if (x->left_ms > 0) {
        o->left++;
    } else if (o->record->is_cut && !x->is_complete) {
        o->cut++;
    } else if (!x->has_head) {
        judgement_wrong(&j, "no answer at all");
    } else {
        if (j.rd.flaw) {
            judgement_wrong(&j, j.rd.flaw);
        }
        check_time(&j);
        judge_answer(&j);
    }
    record_trace(o->record, "exchange %" PRIu64 " is over: %s", x->plan.number,
                 o->record->failure ? o->record->failure : "fine");
    arena_fini(&a);
}

void oracle_judge_quiet(struct oracle *o)
{
    for (uint32_t i = 0; i < o->record->count; i++) {
        const struct sim_exchange *x = &o->record->exchanges[i];
        uint64_t since_ms = x->left_ms > 0 ? x->left_ms : x->answered_ms;
        for (uint32_t at = 0; x->is_over && at < x->ask_count; at++) {
            const struct ask *k = &x->asks[at];
            uint64_t over_ms = k->over_ms > 0 ? k->over_ms : sim_now_ms();
            bool is_moot = x->left_ms > 0 && !ask_may_have_finished(k);
            if (over_ms > since_ms + (is_moot ? 1 : LINGER_MS) && !x->plan.is_slow) {
                record_fail(o->record, x, "an attempt outlives its exchange by %" PRIu64 " ms",
                            over_ms - since_ms);
            }
        }
    }
}
