#include "cmd/demo.h"

#include <stdarg.h>
#include <stdio.h>

#include <jansson.h>

#include "base/clock.h"
#include "cmd/color.h"
#include "cmd/demo_seam.h"
#include "cmd/demo_stage.h"
#include "cmd/demo_stream.h"
#include "cmd/escape.h"
#include "cmd/fetch.h"
#include "cmd/status_table.h"

enum { ANSWER_MS = 120000, STATUS_MS = 5000, SETTLE_MS = 30000, KILL_AFTER = 12 };

#define QUESTION "Tell me a long story about a lighthouse keeper."
#define SECOND_QUESTION "Name one color of the sea."

const struct command DEMO_COMMAND = {
    .name = "demo",
    .summary = "Two real local backends, one streamed answer, the first backend killed in "
               "mid-sentence.",
    .run = cmd_demo,
};

struct demo {
    struct demo_stage stage;
    struct arena arena;
    int killed_pid;
    size_t held;   /* expectations */
    size_t failed; /* expectations */
};

static void __attribute__((format(printf, 3, 4)))
expect(struct demo *d, bool held, const char *format, ...)
{
    va_list args;
    (void)fputs(held ? "   ok      " : "   FAILED  ", stdout);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)putchar('\n');
    (void)fflush(stdout);
    d->held += held ? 1 : 0;
    d->failed += held ? 0 : 1;
}

/* --- the status --- */

/* NULL: it did not come. json_decref. */
static json_t *get_status(struct demo *d)
{
    struct fetched got;
    struct fetch_conf conf = {.method = "GET",
                              .url = d->stage.admin,
                              .target = STR("/status"),
                              .timeout_ms = STATUS_MS,
                              .stop_fd = d->stage.stop_fd};
    enum err e = fetch(&conf, &got);
    json_t *status = e == ERR_OK && got.status == 200
                         ? json_loadb(got.body.ptr, got.body.len, 0, NULL)
                         : NULL;
    fetched_fini(&got);
    return status;
}

static bool has_state(const json_t *status, const char *name, const char *state)
{
    size_t i;
    json_t *backend;
    json_array_foreach(json_object_get(status, "backends"), i, backend)
    {
        const char *its_name = json_string_value(json_object_get(backend, "name"));
        const char *its_state = json_string_value(json_object_get(backend, "state"));
        if (its_name && its_state && strcmp(its_name, name) == 0) {
            return strcmp(its_state, state) == 0;
        }
    }
    return false;
}

static bool are_well(struct demo *d)
{
    json_t *status = get_status(d);
    bool well =
        has_state(status, "first", "HEALTHY") && has_state(status, "standby", "HEALTHY");
    json_decref(status);
    return well;
}

/* Until the gateway has seen both backends well. False: a signal came. */
static bool settle(struct demo *d)
{
    enum { LOOK_AGAIN_MS = 100 };
    uint64_t due_ms = clock_mono_ms() + SETTLE_MS;
    bool well = are_well(d);
    while (!well && clock_mono_ms() < due_ms) {
        if (!demo_stage_pause(&d->stage, LOOK_AGAIN_MS)) {
            return false;
        }
        well = are_well(d);
    }
    expect(d, well, "both backends are HEALTHY");
    return true;
}

static void show_status(struct demo *d)
{
    json_t *status = get_status(d);
    (void)puts("\n== fallthrough status");
    if (status) {
        status_table_print(status, stdout, color_is_wanted());
    }
    (void)putchar('\n');
    expect(d, has_state(status, "first", "DOWN"), "first is DOWN");
    expect(d, has_state(status, "standby", "HEALTHY"), "standby is HEALTHY");
    json_decref(status);
}

/* --- the broken answer --- */

/* What is between the request and its end. */
struct asked {
    struct demo *demo;
    struct demo_seam seam;
};

static void kill_first(struct asked *q)
{
    struct demo_process *first = &q->demo->stage.first;
    q->demo->killed_pid = (int)first->pid;
    demo_seam_mark_kill(&q->seam, q->demo->killed_pid);
    demo_process_kill(first);
}

static void on_content(void *owner, struct str text)
{
    struct asked *q = owner;
    demo_seam_show(&q->seam, text);
    if (q->seam.pieces == KILL_AFTER) {
        kill_first(q);
    }
}

/* "first:ok,first:reset,standby:resumed": the head of a stream is long gone when it breaks, so
 * the whole trail is in the log only. */
static struct str logged_trail(struct demo *d)
{
    struct str line =
        demo_process_said(&d->stage.gateway, STR("\"msg\":\"stream resumed\""), &d->arena);
    line = arena_printf(&d->arena, "{%.*s", STR_FMT(line)); /* its first members are missing */
    json_t *members = json_loadb(line.ptr, line.len, 0, NULL);
    const char *trail = json_string_value(json_object_get(members, "attempts"));
    struct str shown = escape_text(&d->arena, str_from(trail ? trail : "none"), "");
    json_decref(members);
    return shown;
}

static void expect_whole(struct demo *d, const struct demo_stream *got,
                         const struct demo_seam *seam)
{
    expect(d, got->status == 200 && seam->pieces >= KILL_AFTER,
           "the answer began: status %d, %zu tokens", got->status, seam->pieces);
    expect(d, d->killed_pid > 0, "the first backend was killed in mid-sentence");
    expect(d, got->error.len == 0, "the client got no error event: %.*s",
           STR_FMT(got->error.len > 0 ? got->error : STR("none")));
    expect(d, seam->is_crossed,
           "the answer went on at the standby after %llu ms: %zu tokens in all",
           (unsigned long long)seam->gap_ms, seam->pieces);
    expect(d, got->has_done && got->has_finish_reason && got->has_clean_end,
           "and ended whole: finish_reason, [DONE], a clean end");
}

static void expect_told(struct demo *d, const struct demo_stream *got)
{
    struct str trail = logged_trail(d);
    expect(d, str_eq(got->attempts, STR("first:ok")),
           "x-fallthrough-attempts when it began: %.*s", STR_FMT(got->attempts));
    expect(d, str_ends(trail, STR("standby:resumed")), "attempts in the gateway's log: %.*s",
           STR_FMT(trail));
    expect(d, got->is_resumed && str_eq(got->backend, STR("standby")),
           "the last chunk says _resumed: %s, _backend: %.*s",
           got->is_resumed ? "true" : "false", STR_FMT(got->backend));
}

/* False: a signal came. */
static bool stream(struct demo *d)
{
    struct demo_stream got;
    struct asked q = {.demo = d};
    struct demo_stream_conf conf = {
        .url = d->stage.api,
        .request = STR("{\"model\":\"" DEMO_MODEL "\",\"stream\":true,\"max_tokens\":400,"
                       "\"temperature\":0,\"messages\":[{\"role\":\"user\",\"content\":"
                       "\"" QUESTION "\"}]}"),
        .timeout_ms = ANSWER_MS,
        .stop_fd = d->stage.stop_fd,
        .on_content = on_content,
        .owner = &q};
    (void)puts("\n== a streamed question: " QUESTION "\n");
    demo_seam_init(&q.seam, &d->stage);
    demo_stream_run(&conf, &got, &d->arena);
    demo_seam_end(&q.seam);
    (void)puts("\n");
    if (!demo_stage_pause(&d->stage, 0)) {
        return false;
    }
    expect_whole(d, &got, &q.seam);
    expect_told(d, &got);
    return true;
}

/* --- the next one --- */

static struct str header(const struct fetched *got, const char *name, struct arena *a)
{
    struct str value = fetched_header(got, name);
    return value.len > 0 ? escape_text(a, value, "") : STR("none");
}

static void print_answer(struct demo *d, const struct fetched *got)
{
    json_t *body = json_loadb(got->body.ptr, got->body.len, 0, NULL);
    const json_t *choice = json_array_get(json_object_get(body, "choices"), 0);
    const char *content =
        json_string_value(json_object_get(json_object_get(choice, "message"), "content"));
    (void)printf("%s\n\n",
                 escape_text(&d->arena, str_from(content ? content : ""), "\n\t").ptr);
    expect(d, content && content[0] != '\0', "the answer has words in it");
    json_decref(body);
}

static bool ask_again(struct demo *d)
{
    struct fetched got;
    struct fetch_conf conf = {
        .method = "POST",
        .url = d->stage.api,
        .target = STR("/v1/chat/completions"),
        .json = STR("{\"model\":\"" DEMO_MODEL "\",\"max_tokens\":24,\"temperature\":0,"
                    "\"messages\":[{\"role\":\"user\",\"content\":\"" SECOND_QUESTION "\"}]}"),
        .timeout_ms = ANSWER_MS,
        .stop_fd = d->stage.stop_fd};
    (void)puts("\n== the next request: " SECOND_QUESTION "\n");
    (void)fflush(stdout);
    uint64_t began_ms = clock_mono_ms();
    enum err e = fetch(&conf, &got);
    uint64_t took_ms = clock_mono_ms() - began_ms;
    bool goes_on = demo_stage_pause(&d->stage, 0);
    if (goes_on) {
        struct str backend = header(&got, "x-fallthrough-backend", &d->arena);
        struct str attempts = header(&got, "x-fallthrough-attempts", &d->arena);
        print_answer(d, &got);
        expect(d, e == ERR_OK && got.status == 200, "status %d in %llu ms%s%s", got.status,
               (unsigned long long)took_ms, e == ERR_OK ? "" : ": ", got.why);
        expect(d, str_eq(backend, STR("standby")), "x-fallthrough-backend: %.*s",
               STR_FMT(backend));
        expect(d, str_ends(attempts, STR("standby:ok")), "x-fallthrough-attempts: %.*s",
               STR_FMT(attempts));
    }
    fetched_fini(&got);
    return goes_on;
}

/* --- the command --- */

static int conclude(const struct demo *d, bool is_played)
{
    if (!is_played) {
        (void)fputs("fallthrough demo: not played to its end\n", stderr);
        return CMD_FAILED;
    }
    if (d->failed > 0) {
        (void)printf("\n%zu of %zu expectations failed\n", d->failed, d->failed + d->held);
        return CMD_FAILED;
    }
    (void)printf("\nall %zu expectations held\n", d->held);
    return CMD_FINE;
}

static int play(void)
{
    struct demo d = {.held = 0};
    arena_init(&d.arena);
    bool is_played = demo_stage_open(&d.stage) && settle(&d) && stream(&d) && ask_again(&d);
    if (is_played) {
        show_status(&d);
    }
    if (d.failed > 0) {
        demo_process_show_log(&d.stage.gateway);
    }
    demo_stage_close(&d.stage);
    arena_fini(&d.arena);
    return conclude(&d, is_played);
}

int cmd_demo(int argc, char **argv)
{
    int first = 0;
    int code = options_read(&DEMO_COMMAND, argc, argv, NULL, &first);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    return play();
}
