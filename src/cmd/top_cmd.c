#include "cmd/top_cmd.h"

#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "cmd/admin_get.h"
#include "cmd/color.h"
#include "cmd/escape.h"
#include "cmd/status_table.h"
#include "cmd/top_screen.h"

enum { TURN_MS = 1000, ANSWER_MS = 5000, KEYS_AT_ONCE = 256 };

struct top_options {
    bool json;
    const char *admin;
};

static const struct option_row OPTIONS[] = {OPTION_JSON(struct top_options, json),
                                            OPTION_ADMIN(struct top_options, admin)};

const struct command TOP_COMMAND = {
    .name = "top",
    .summary = "Shows the same as status, live in the terminal.",
    .options = OPTIONS,
    .option_count = sizeof(OPTIONS) / sizeof(OPTIONS[0]),
    .run = cmd_top,
};

/* One of the two things that are asked again and again. */
struct question {
    struct top *top;
    struct fetch_conf conf;
    struct fetch *fetch; /* under way; NULL: none */
    struct fetched got;
    bool has_ended;
    enum err result;
    json_t *answer; /* the last one that could be used; NULL: none yet */
};

static const int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT};
enum { SIGNAL_COUNT = sizeof(SIGNALS) / sizeof(SIGNALS[0]) };

struct top {
    struct loop *loop;
    struct screen screen;
    struct top_view view;
    struct question status;
    struct question events;
    struct task task; /* looks at what has come, and draws */
    struct timer turn;
    uv_poll_t keys;
    uv_signal_t signals[SIGNAL_COUNT];
    struct arena arena; /* of what lives as long as this */
    char clock[9];      /* of the last answer */
    uint64_t answered_ms;
    char problem[256];
};

/* --- asking --- */

static void on_answer(void *arg, enum err result)
{
    struct question *q = arg;
    q->has_ended = true;
    q->result = result;
    task_ready(q->top->loop, &q->top->task);
}

static void ask(struct question *q)
{
    if (!q->fetch) {
        q->has_ended = false;
        q->fetch = fetch_open(q->top->loop, &q->conf, &q->got, on_answer, q);
    }
}

static void drop(struct question *q)
{
    if (q->fetch) {
        fetch_close(&q->fetch);
        fetched_fini(&q->got);
    }
}

/* Why the answer cannot be used; an empty str: it can. */
static struct str problem_of(const struct question *q, json_t *answer, struct arena *a)
{
    if (q->result != ERR_OK) {
        return escape_text(a, str_from(q->got.why), "");
    }
    if (q->got.status != 200) {
        return arena_printf(a, "the admin port answered %d", q->got.status);
    }
    return answer ? STR("") : STR("what came is not the answer of a gateway");
}

/* True: there is a newer answer. */
static bool take(struct question *q, char *problem, size_t size)
{
    struct arena a;
    json_t *answer = NULL;
    arena_init(&a);
    if (q->result == ERR_OK && q->got.status == 200) {
        answer = json_loadb(q->got.body.ptr, q->got.body.len, 0, NULL);
    }
    if (answer && !json_is_object(answer)) {
        json_decref(answer);
        answer = NULL;
    }
    (void)snprintf(problem, size, "%.*s", STR_FMT(problem_of(q, answer, &a)));
    if (answer) {
        json_decref(q->answer);
        q->answer = answer;
    }
    drop(q);
    arena_fini(&a);
    return answer != NULL;
}

static void note_time(struct top *t)
{
    char now[25];
    clock_format(clock_wall_ms(), now);
    (void)snprintf(t->clock, sizeof(t->clock), "%.8s", now + 11);
    t->answered_ms = clock_mono_ms();
}

/* The events are asked for after the figures, so that two connections are never needed. */
static void take_answers(struct top *t)
{
    char unused[sizeof(t->problem)];
    if (t->status.fetch && t->status.has_ended &&
        take(&t->status, t->problem, sizeof(t->problem))) {
        note_time(t);
        ask(&t->events);
    }
    if (t->events.fetch && t->events.has_ended) {
        (void)take(&t->events, unused, sizeof(unused));
    }
}

/* --- showing --- */

static void draw(struct top *t)
{
    struct arena a;
    arena_init(&a);
    t->view.columns = t->screen.columns;
    t->view.rows = t->screen.rows;
    t->view.clock = str_from(t->clock);
    t->view.problem = str_from(t->problem);
    uint64_t seconds = (clock_mono_ms() - t->answered_ms) / 1000;
    t->view.problem_since_s = (double)seconds;
    struct top_frame frame = top_frame_make(t->status.answer, t->events.answer, &t->view, &a);
    if (!screen_draw(&t->screen, &frame)) {
        loop_stop(t->loop);
    }
    arena_fini(&a);
}

static void run(struct task *task)
{
    struct top *t = container_of(task, struct top, task);
    take_answers(t);
    draw(t);
}

static void on_turn(struct timer *timer)
{
    struct top *t = container_of(timer, struct top, turn);
    if (!t->view.is_paused) {
        ask(&t->status);
    }
    task_ready(t->loop, &t->task);
    timer_arm(t->loop, &t->turn, loop_now_ms(t->loop) + TURN_MS);
}

/* --- keys and signals --- */

static void on_keys(uv_poll_t *handle, int status, int events)
{
    struct top *t = handle->data;
    char typed[KEYS_AT_ONCE];
    (void)events;
    ssize_t n = status == 0 ? read(STDIN_FILENO, typed, sizeof(typed)) : -1;
    if (n <= 0) { /* the terminal is gone */
        (void)uv_poll_stop(handle);
        return;
    }
    if (!top_view_keys(&t->view, str_of(typed, (size_t)n))) {
        loop_stop(t->loop);
        return;
    }
    task_ready(t->loop, &t->task);
}

/* The shell gets its screen back, and we stop as whoever asked for it meant. */
static void pause_job(struct top *t)
{
    screen_close(&t->screen);
    (void)raise(SIGSTOP);
    screen_open(&t->screen);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct top *t = handle->data;
    if (number == SIGTSTP) {
        pause_job(t);
    } else if (number == SIGCONT) { /* the terminal may have been another's meanwhile */
        screen_close(&t->screen);
        screen_open(&t->screen);
    } else if (number == SIGWINCH) {
        screen_measure(&t->screen);
    } else {
        loop_stop(t->loop);
        return;
    }
    task_ready(t->loop, &t->task);
}

static void watch(struct top *t)
{
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        t->signals[i].data = t;
        if (uv_signal_init(loop_uv(t->loop), &t->signals[i]) == 0) {
            (void)uv_signal_start(&t->signals[i], on_signal, SIGNALS[i]);
        }
    }
    if (t->screen.has_keys && uv_poll_init(loop_uv(t->loop), &t->keys, STDIN_FILENO) == 0) {
        t->keys.data = t;
        (void)uv_poll_start(&t->keys, UV_READABLE, on_keys);
    }
}

/* --- life --- */

/* `first`: taken over. */
static void begin(struct top *t, const struct top_options *o, json_t *first)
{
    *t = (struct top){.loop = loop_new()};
    arena_init(&t->arena);
    (void)admin_conf("top", o->admin, STR("/status"), &t->status.conf);
    (void)admin_conf("top", o->admin, STR("/events?limit=50"), &t->events.conf);
    t->status.conf.timeout_ms = ANSWER_MS;
    t->events.conf.timeout_ms = ANSWER_MS;
    t->status.top = t;
    t->events.top = t;
    t->status.answer = first;
    t->view = (struct top_view){
        .is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
        .in_color = color_is_wanted(),
        .gateway = escape_text(&t->arena, admin_origin(&t->status.conf, &t->arena), "")};
    task_init(&t->task, run);
    timer_init(&t->turn, on_turn);
    note_time(t);
}

static void end(struct top *t)
{
    drop(&t->status);
    drop(&t->events);
    task_cancel(t->loop, &t->task);
    timer_drop(t->loop, &t->turn);
    loop_free(&t->loop);
    json_decref(t->status.answer);
    json_decref(t->events.answer);
    arena_fini(&t->arena);
}

static void show_live(const struct top_options *o, json_t *first)
{
    struct top t;
    begin(&t, o, first);
    screen_open(&t.screen);
    watch(&t);
    ask(&t.events);
    draw(&t);
    timer_arm(t.loop, &t.turn, loop_now_ms(t.loop) + TURN_MS);
    loop_run(t.loop);
    screen_close(&t.screen);
    end(&t);
}

static bool is_drawable(void)
{
    const char *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) == 1 && terminal && terminal[0] != '\0' &&
           strcmp(terminal, "dumb") != 0;
}

static int show(const struct top_options *o)
{
    struct fetched got;
    json_t *status = NULL;
    int code = admin_get("top", o->admin, STR("/status"), &got, &status);
    if (code == CMD_FINE && o->json) {
        admin_print_body(&got);
    } else if (code == CMD_FINE && is_drawable()) {
        show_live(o, json_incref(status));
    } else if (code == CMD_FINE) {
        (void)fputs("fallthrough top: no terminal that can be drawn on; this is status, once\n",
                    stderr);
        status_table_print(status, stdout, color_is_wanted());
    }
    json_decref(status);
    fetched_fini(&got);
    return code;
}

int cmd_top(int argc, char **argv)
{
    struct top_options o = {.json = false};
    int first = 0;
    int code = options_read(&TOP_COMMAND, argc, argv, &o, &first);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    (void)setlocale(LC_CTYPE, "");
    return show(&o);
}
