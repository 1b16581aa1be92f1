#include "agent/gpu_child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/probe_child.h"
#include "base/log.h"
#include "base/mem.h"

enum { BACKOFF_MS = 1000, BACKOFF_MAX_MS = 5 * 60 * 1000, GOOD_ANSWERS = 10, HANDLES = 3 };
enum { READ_BYTES = 16384, EVENT_MARGIN_MS = 50 };

/* One process with its handles; lives until all three are closed. */
struct child_run {
    struct gpu_child *child; /* borrowed; NULL: it is gone */
    uv_process_t process;
    uv_pipe_t questions;
    uv_pipe_t answers;
    int open; /* handles */
    bool has_pipes;
    struct buf in;
    char room[READ_BYTES];
};

struct gpu_child {
    struct gpu_child_conf conf;
    struct child_run *run; /* NULL: none */
    bool is_ready;         /* has said hello */
    bool is_abandoned;
    bool saw;
    uint64_t asked_at_ms; /* started or asked, not answered; 0: nothing is awaited */
    uint64_t start_at_ms; /* the next one */
    uint64_t ask_at_ms;   /* the next question */
    uint64_t backoff_ms;
    uint32_t answers;
    struct gpu_child_counts counts;
    struct frame frame;
};

static void on_closed(uv_handle_t *h)
{
    struct child_run *r = h->data;
    r->open--;
    if (r->open == 0) {
        buf_fini(&r->in);
        free(r);
    }
}

static void close_pipes(struct child_run *r)
{
    if (r->has_pipes) {
        r->has_pipes = false;
        uv_close((uv_handle_t *)&r->questions, on_closed);
        uv_close((uv_handle_t *)&r->answers, on_closed);
    }
}

/* --- what comes --- */

static void take_frame(struct gpu_child *c, uint64_t now_ms)
{
    uint64_t took_ms = c->asked_at_ms > 0 ? now_ms - c->asked_at_ms : 0;
    if (c->frame.kind == FRAME_HELLO) {
        c->is_ready = true;
        c->asked_at_ms = 0;
        c->saw = c->frame.of.hello.init == 0 && c->frame.of.hello.count > 0;
    } else if (c->frame.kind == FRAME_DONE) {
        c->asked_at_ms = 0;
        c->answers++;
        c->backoff_ms = c->answers >= GOOD_ANSWERS ? BACKOFF_MS : c->backoff_ms;
    }
    c->conf.on_frame(c->conf.owner, &c->frame, took_ms);
}

static void take_frames(struct child_run *r)
{
    struct gpu_child *c = r->child;
    enum err e = frame_next(&r->in, &c->frame);
    while (e == ERR_OK && r->has_pipes) {
        take_frame(c, loop_now_ms(c->conf.loop));
        if (c->frame.kind == FRAME_HELLO && c->saw) {
            gpu_child_ask(c, loop_now_ms(c->conf.loop));
        }
        e = frame_next(&r->in, &c->frame);
    }
    if (e == ERR_SYNTAX) {
        log_error("the probe sent what is no frame");
        close_pipes(r);
    }
}

static void on_room(uv_handle_t *h, size_t wanted, uv_buf_t *out)
{
    struct child_run *r = h->data;
    (void)wanted;
    out->base = r->room;
    out->len = sizeof(r->room);
}

static void on_read(uv_stream_t *s, ssize_t got, const uv_buf_t *b)
{
    struct child_run *r = s->data;
    (void)b;
    if (got < 0 || !r->child) {
        uv_read_stop(s); /* its end is told by on_ended */
        return;
    }
    if (got > 0 && buf_append(&r->in, str_of(r->room, (size_t)got)) == ERR_OK) {
        take_frames(r);
    }
}

static void on_ended(uv_process_t *p, int64_t status, int number)
{
    struct child_run *r = p->data;
    struct gpu_child *c = r->child;
    close_pipes(r);
    uv_close((uv_handle_t *)p, on_closed);
    if (!c) {
        return;
    }
    bool was_stuck = c->is_abandoned;
    uint64_t now_ms = loop_now_ms(c->conf.loop);
    log_info("the probe has ended", LOG_NUM("status", status), LOG_NUM("signal", number));
    c->run = NULL;
    c->is_ready = c->is_abandoned = false;
    c->answers = 0;
    c->asked_at_ms = 0;
    if (was_stuck) {
        c->start_at_ms = now_ms;
    } else if (c->saw) {
        c->start_at_ms = now_ms + c->backoff_ms;
        c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
    } else {
        c->start_at_ms = now_ms + c->conf.retry_ms;
    }
    c->conf.on_end(c->conf.owner, c->saw);
}

/* --- start --- */

static struct child_run *make_run(struct gpu_child *c)
{
    struct child_run *r = mem_alloc(sizeof(*r));
    uv_loop_t *uv = loop_uv(c->conf.loop);
    r->child = c;
    r->open = HANDLES;
    r->has_pipes = true;
    buf_init(&r->in, FRAMES_MAX);
    (void)uv_pipe_init(uv, &r->questions, 0);
    (void)uv_pipe_init(uv, &r->answers, 0);
    r->questions.data = r->answers.data = r->process.data = r;
    return r;
}

static int spawn(struct gpu_child *c, struct child_run *r)
{
    char self[] = "/proc/self/exe";
    char command[] = PROBE_COMMAND;
    char event_ms[STR_NUMBER_MAX + 1];
    uint32_t interval_ms = c->conf.interval_ms;
    (void)snprintf(event_ms, sizeof(event_ms), "%u",
                   interval_ms > 2 * EVENT_MARGIN_MS ? interval_ms - EVENT_MARGIN_MS
                                                     : interval_ms / 2);
    char *library = mem_dup(str_from(c->conf.library));
    char *sysfs_root = mem_dup(str_from(c->conf.sysfs_root));
    char *proc_root = mem_dup(str_from(c->conf.proc_root));
    char name[] = "fallthrough";
    char *argv[] = {name, command, library, sysfs_root, proc_root, event_ms, NULL};
    uv_stdio_container_t stdio[3];
    unsigned reads = UV_CREATE_PIPE | UV_READABLE_PIPE; /* as the child does */
    unsigned writes = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
    stdio[0].flags = (uv_stdio_flags)reads;
    stdio[0].data.stream = (uv_stream_t *)&r->questions;
    stdio[1].flags = (uv_stdio_flags)writes;
    stdio[1].data.stream = (uv_stream_t *)&r->answers;
    stdio[2].flags = c->conf.is_mute ? UV_IGNORE : UV_INHERIT_FD;
    stdio[2].data.fd = 2;
    uv_process_options_t o = {
        .exit_cb = on_ended, .file = self, .args = argv, .stdio_count = 3, .stdio = stdio};
    int error = uv_spawn(loop_uv(c->conf.loop), &r->process, &o);
    r->process.data = r; /* uv_spawn clears nothing, but does not promise it */
    free(library);
    free(sysfs_root);
    free(proc_root);
    return error;
}

static void start(struct gpu_child *c, uint64_t now_ms)
{
    struct child_run *r = make_run(c);
    int error = spawn(c, r);
    c->start_at_ms = now_ms + c->backoff_ms;
    if (error != 0) {
        log_error("the probe cannot be started", LOG_TEXT("reason", uv_strerror(error)));
        close_pipes(r);
        uv_close((uv_handle_t *)&r->process, on_closed);
        return;
    }
    c->run = r;
    c->counts.starts++;
    c->is_ready = c->saw = false;
    c->asked_at_ms = now_ms;
    (void)uv_read_start((uv_stream_t *)&r->answers, on_room, on_read);
}

struct gpu_child *gpu_child_new(const struct gpu_child_conf *conf)
{
    struct gpu_child *c = mem_alloc(sizeof(*c));
    c->conf = *conf;
    c->backoff_ms = BACKOFF_MS;
    return c;
}

void gpu_child_free(struct gpu_child **c)
{
    struct gpu_child *gone = *c;
    if (!gone) {
        return;
    }
    *c = NULL;
    if (gone->run) {
        gone->run->child = NULL;
        close_pipes(gone->run);
        uv_close((uv_handle_t *)&gone->run->process, on_closed);
    }
    free(gone);
}

/* --- asking --- */

void gpu_child_ask(struct gpu_child *c, uint64_t now_ms)
{
    char letter[] = "?";
    uv_buf_t b = uv_buf_init(letter, 1);
    bool can_ask = c->run && c->run->has_pipes && c->is_ready && c->saw && c->asked_at_ms == 0;
    if (can_ask && uv_try_write((uv_stream_t *)&c->run->questions, &b, 1) == 1) {
        c->asked_at_ms = now_ms;
    }
}

uint64_t gpu_child_waited_ms(const struct gpu_child *c, uint64_t now_ms)
{
    if (c->asked_at_ms == 0 || now_ms <= c->asked_at_ms) {
        return 0;
    }
    uint64_t waited_ms = now_ms - c->asked_at_ms;
    if (c->is_ready) {
        return waited_ms;
    }
    return waited_ms > c->conf.start_ms ? waited_ms - c->conf.start_ms + c->conf.late_ms : 0;
}

static void abandon(struct gpu_child *c)
{
    log_error("the probe is stuck and left alone; no other is started while it is there",
              LOG_NUM("pid", uv_process_get_pid(&c->run->process)));
    c->is_abandoned = true;
    c->counts.abandoned++;
    close_pipes(c->run);
}

void gpu_child_tick(struct gpu_child *c, uint64_t now_ms)
{
    if (!c->run) {
        if (now_ms >= c->start_at_ms) {
            start(c, now_ms);
        }
        return;
    }
    if (!c->is_abandoned && gpu_child_waited_ms(c, now_ms) >= c->conf.abandon_ms) {
        abandon(c);
        return;
    }
    if (now_ms >= c->ask_at_ms) {
        c->ask_at_ms = now_ms + c->conf.interval_ms;
        gpu_child_ask(c, now_ms);
    }
}

struct gpu_child_counts gpu_child_counts(const struct gpu_child *c)
{
    struct gpu_child_counts n = c->counts;
    n.is_running = c->run != NULL;
    n.is_stuck = c->is_abandoned;
    n.pid = c->run ? uv_process_get_pid(&c->run->process) : 0;
    return n;
}
