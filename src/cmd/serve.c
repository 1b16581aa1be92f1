#include "cmd/serve.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "alert/channel.h"
#include "alert/duty.h"
#include "base/check.h"
#include "base/log.h"
#include "cmd/options.h"
#include "gate/calibrator.h"
#include "gate/gateway.h"
#include "gate/manager.h"
#include "gate/prober.h"
#include "gate/tellers.h"
#include "gate/watcher.h"
#include "gate/worker.h"
#include "ops/access_log.h"
#include "ops/admin_api.h"
#include "ops/otlp.h"

enum { DRAIN_LIMIT_MS = 30000, ADMIN_CONNECTIONS = 256, SPANS_LIMIT_MS = 2000 };

/* One worker's thread; its end is told to the main loop. */
struct worker_thread {
    struct serve *serve;
    struct worker *worker;
    uv_thread_t thread;
    struct post ended;
};

/* The running program: the main thread is control. */
struct serve {
    struct settings *settings;
    struct gateway *gateway;
    struct loop *loop;
    struct prober *prober;
    struct calibrator *calibrator;
    struct watcher *watcher;
    struct tellers *tellers;
    struct manager *manager;
    uint64_t drain_due_ms; /* 0: it does not drain */
    struct chronicle *chronicle;
    struct duty *duty; /* NULL: nobody is to be alerted */
    struct admin_api *admin;
    struct access_log *access_log; /* NULL: there is none */
    struct otlp *spans;            /* likewise */
    struct worker_thread *threads;
    struct loop **loops; /* control's, then the workers' */
    size_t thread_count;
    size_t running;
    int *fds; /* worker-major: fds[w * listen_count + i] */
    int admin_fd;
    uv_signal_t on_term, on_int;
};

/* Secrets of the configuration must not end up in a core file; the sanitizers need to look
 * inside. */
static void protect_process(void)
{
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error like a full disk */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    prctl(PR_SET_DUMPABLE, 0);
#endif
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* A client may need a connection to a backend too. What the descriptors allow bounds the limit,
 * so that a shortage ends in our own 503 and not in clients that nobody can even refuse. */
static void bound_connections(struct settings *s)
{
    struct rlimit files;
    uint64_t own = 32 + 12ULL * s->workers + 2 * s->catalog.backend_count;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) {
        return;
    }
    uint64_t left = files.rlim_cur > own + 16 ? files.rlim_cur - own : 16;
    if (s->limits.connections > left / 2) {
        s->limits.connections = (uint32_t)(left / 2);
        log_warn("fewer connections than limits.connections: out of descriptors otherwise",
                 LOG_NUM("connections", s->limits.connections),
                 LOG_NUM("descriptors", files.rlim_cur));
    }
}

/* --- sockets --- */

/* The same address again, with the port that the kernel chose for the first worker. */
static enum err open_again(const struct address *a, int first_fd, int *fd, const char **why)
{
    char name[128];
    struct address bound;
    if (a->is_unix) {
        *fd = dup(first_fd);
        return *fd < 0 ? ERR_NO_FDS : ERR_OK;
    }
    listen_name(first_fd, name, sizeof(name));
    enum err e = address_parse(str_from(name), &bound, why);
    return e == ERR_OK ? listen_open(&bound, fd, why) : e;
}

static void complain(const struct address *a, const char *why)
{
    if (a->is_unix) {
        fprintf(stderr, "fallthrough: cannot listen on unix:%.*s: %s\n", STR_FMT(a->path), why);
    } else {
        fprintf(stderr, "fallthrough: cannot listen on %.*s port %u: %s\n", STR_FMT(a->host),
                a->port, why);
    }
}

static enum err open_listeners(struct serve *s)
{
    const char *why = "";
    size_t count = s->settings->listen_count;
    s->fds = mem_alloc(sizeof(int) * count * s->thread_count);
    enum err e = ERR_OK;
    for (size_t i = 0; i < count * s->thread_count; i++) {
        s->fds[i] = -1;
    }
    for (size_t w = 0; w < s->thread_count && e == ERR_OK; w++) {
        for (size_t i = 0; i < count && e == ERR_OK; i++) {
            const struct address *a = &s->settings->listen[i];
            int *fd = &s->fds[w * count + i];
            e = w == 0 ? listen_open_alone(a, fd, &why) : open_again(a, s->fds[i], fd, &why);
            if (e != ERR_OK) {
                complain(a, why);
            }
        }
    }
    if (e == ERR_OK) {
        e = listen_open_alone(&s->settings->admin, &s->admin_fd, &why);
        if (e != ERR_OK) {
            complain(&s->settings->admin, why);
        }
    }
    return e;
}

static void close_listeners(struct serve *s)
{
    for (size_t i = 0; s->fds && i < s->settings->listen_count * s->thread_count; i++) {
        if (s->fds[i] >= 0) {
            close(s->fds[i]);
            s->fds[i] = -1;
        }
    }
    if (s->admin_fd >= 0) {
        close(s->admin_fd);
        s->admin_fd = -1;
    }
}

static void announce(const struct serve *s)
{
    char admin[128];
    listen_name(s->admin_fd, admin, sizeof(admin));
    for (size_t i = 0; i < s->settings->listen_count; i++) {
        char api[128];
        listen_name(s->fds[i], api, sizeof(api));
        log_info("listening", LOG_TEXT("api", api), LOG_TEXT("admin", admin),
                 LOG_NUM("workers", s->thread_count),
                 LOG_NUM("backends", s->settings->catalog.backend_count),
                 LOG_NUM("models", s->settings->catalog.model_count),
                 LOG_TEXT("version", FALLTHROUGH_VERSION));
    }
}

/* --- threads --- */

static void on_spans_drained(void *arg)
{
    struct serve *s = arg;
    loop_stop(s->loop);
}

/* In the main loop: a worker has ended. */
static void on_worker_ended(struct post *p, void *arg)
{
    struct serve *s = arg;
    (void)p;
    s->running--;
    if (s->running == 0 && s->spans) {
        otlp_drain(s->spans, SPANS_LIMIT_MS, on_spans_drained, s);
    } else if (s->running == 0) {
        loop_stop(s->loop);
    }
}

static void thread_main(void *arg)
{
    struct worker_thread *t = arg;
    worker_run(t->worker);
    loop_post(t->serve->loop, &t->ended);
}

static void start_workers(struct serve *s)
{
    size_t listen_count = s->settings->listen_count;
    for (size_t i = 0; i < s->thread_count; i++) {
        struct worker_thread *t = &s->threads[i];
        t->serve = s;
        t->ended = (struct post){.run = on_worker_ended, .arg = s};
        t->worker =
            worker_new(s->gateway, (uint32_t)i, &s->fds[i * listen_count], listen_count);
        s->loops[i + 1] = t->worker->loop;
    }
    for (size_t i = 0; i < s->thread_count; i++) {
        CHECK(uv_thread_create(&s->threads[i].thread, thread_main, &s->threads[i]) == 0);
        s->running++;
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct serve *s = handle->data;
    if (atomic_exchange(&s->gateway->draining, true)) {
        log_warn("second signal, leaving at once", LOG_NUM("signal", number));
        _exit(1);
    }
    log_info("draining: running answers end, new connections are refused",
             LOG_NUM("signal", number), LOG_NUM("limit_s", DRAIN_LIMIT_MS / 1000));
    close_listeners(s);
    s->drain_due_ms = loop_now_ms(s->loop) + DRAIN_LIMIT_MS;
    for (size_t i = 0; i < s->thread_count; i++) {
        worker_drain(s->threads[i].worker, DRAIN_LIMIT_MS);
    }
}

static void watch_signal(struct serve *s, uv_signal_t *handle, int number)
{
    CHECK(uv_signal_init(loop_uv(s->loop), handle) == 0);
    handle->data = s;
    CHECK(uv_signal_start(handle, on_signal, number) == 0);
}

/* For the watcher, whose loop runs only while the workers are there. */
static void tell_workers(void *arg)
{
    struct serve *s = arg;
    for (size_t i = 0; i < s->thread_count; i++) {
        worker_tell_hang(s->threads[i].worker);
    }
}

static bool on_order(void *arg, const struct backend *b, enum operator_word word,
                     uint64_t now_ms)
{
    return gateway_order(arg, b, word, now_ms);
}

static void start_chronicle(struct serve *s)
{
    const struct history_policy *h = &s->settings->history;
    s->chronicle = chronicle_start(&(struct chronicle_conf){.loop = s->loop,
                                                            .journal = s->gateway->journal,
                                                            .catalog = &s->settings->catalog,
                                                            .settle_ms = h->settle_ms,
                                                            .workers = s->settings->workers,
                                                            .path = h->path,
                                                            .keep_ms = h->keep_ms,
                                                            .max_bytes = h->max_bytes});
}

static void start_spans(struct serve *s)
{
    const struct trace_policy *t = &s->settings->traces;
    if (t->collector) {
        s->spans = otlp_start(&(struct otlp_conf){.loop = s->loop,
                                                  .queue = s->gateway->spans,
                                                  .collector = t->collector,
                                                  .tls = s->gateway->collector_tls,
                                                  .service = t->service,
                                                  .timeout_ms = t->timeout_ms});
    }
}

static void start_duty(struct serve *s)
{
    const struct gateway *g = s->gateway;
    if (s->settings->alerts.channel_count == 0) {
        return;
    }
    channel_start();
    s->duty = duty_start(&(struct duty_conf){.loop = s->loop,
                                             .chronicle = s->chronicle,
                                             .catalog = &s->settings->catalog,
                                             .board = g->board,
                                             .tally = g->tally,
                                             .journal = g->journal,
                                             .policy = &s->settings->alerts,
                                             .settle_ms = s->settings->history.settle_ms,
                                             .history = s->settings->history.path,
                                             .send = channel_send});
}

static void stop_duty(struct serve *s)
{
    if (s->duty) {
        duty_stop(&s->duty);
        channel_stop();
    }
}

static void start_control(struct serve *s)
{
    struct gateway *g = s->gateway;
    struct http_limits limits = s->settings->limits;
    size_t alert_channels = s->settings->alerts.channel_count;
    limits.connections = ADMIN_CONNECTIONS;
    watch_signal(s, &s->on_term, SIGTERM);
    watch_signal(s, &s->on_int, SIGINT);
    start_chronicle(s);
    start_spans(s);
    start_duty(s);
    s->prober = prober_start(g, s->loop);
    s->calibrator = calibrator_start(g, s->loop);
    s->watcher = watcher_start(g, s->loop);
    s->manager = manager_start(g, s->loop);
    g->tell_hang = tell_workers;
    g->tell_hang_arg = s;
    s->tellers = tellers_start(g, s->loop);
    s->admin = admin_api_start(
        &(struct admin_api_conf){.loop = s->loop,
                                 .fd = s->admin_fd,
                                 .token = s->settings->admin_token,
                                 .limits = limits,
                                 .chronicle = s->chronicle,
                                 .order = on_order,
                                 .order_arg = g,
                                 .source = {.catalog = &s->settings->catalog,
                                            .board = g->board,
                                            .tally = g->tally,
                                            .verdicts = g->verdicts,
                                            .processes = g->processes,
                                            .spans = s->spans,
                                            .access_log = s->access_log,
                                            .draining = &g->draining,
                                            .connections = &g->connections,
                                            .started_wall_ms = g->started_wall_ms,
                                            .loops = s->loops,
                                            .loop_count = s->thread_count + 1,
                                            .alert_channels = alert_channels,
                                            .alerts = duty_count,
                                            .alerts_arg = s->duty}});
}

static void run(struct serve *s)
{
    start_control(s);
    start_workers(s);
    announce(s);
    loop_run(s->loop);
    for (size_t i = 0; i < s->thread_count; i++) {
        uv_thread_join(&s->threads[i].thread);
    }
    manager_stop(&s->manager, s->drain_due_ms);
    stop_duty(s);
    chronicle_stop(&s->chronicle);
    admin_api_stop(&s->admin);
    otlp_stop(&s->spans);
    tellers_stop(&s->tellers);
    watcher_stop(&s->watcher);
    calibrator_stop(&s->calibrator);
    prober_stop(&s->prober);
    for (size_t i = 0; i < s->thread_count; i++) {
        worker_free(&s->threads[i].worker);
    }
    log_info("stopped");
}

static enum err open_access_log(struct serve *s)
{
    const struct access_policy *a = &s->settings->access_log;
    if (a->file.len == 0) {
        return ERR_OK;
    }
    enum err e = access_log_start(&(struct access_log_conf){.queue = s->gateway->access_log,
                                                            .file = a->file,
                                                            .format = a->format},
                                  &s->access_log);
    if (e != ERR_OK) {
        fprintf(stderr, "fallthrough: cannot open the access log %.*s: %s\n", STR_FMT(a->file),
                err_text(e));
    }
    return e;
}

static int serve(struct settings *settings)
{
    struct serve s = {.settings = settings, .admin_fd = -1, .thread_count = settings->workers};
    const char *why = "";
    int code = CMD_FAILED;
    s.loop = loop_new();
    s.threads = mem_alloc(sizeof(s.threads[0]) * s.thread_count);
    s.loops = mem_alloc(sizeof(s.loops[0]) * (s.thread_count + 1));
    s.loops[0] = s.loop;
    enum err e = gateway_new(settings, &s.gateway, &why);
    if (e != ERR_OK) {
        fprintf(stderr, "fallthrough: %s\n", why);
        code = CMD_BAD_CONFIG;
    } else if (open_access_log(&s) != ERR_OK) {
        code = CMD_BAD_CONFIG;
    } else if (open_listeners(&s) == ERR_OK) {
        run(&s);
        code = CMD_FINE;
    }
    close_listeners(&s);
    access_log_stop(&s.access_log);
    loop_free(&s.loop);
    gateway_free(&s.gateway);
    free(s.threads);
    free(s.loops);
    free(s.fds);
    return code;
}

/* --- the command --- */

struct serve_options {
    const char *config;
    const char *log_format;
};

static const struct option_row OPTIONS[] = {
    OPTION_CONFIG(struct serve_options, config),
    {.name = "log-format",
     .value = "FORMAT",
     .offset = offsetof(struct serve_options, log_format),
     .help = "logfmt or json, instead of the file's log.format"},
};

const struct command SERVE_COMMAND = {
    .name = "serve",
    .summary = "Runs the gateway.",
    .options = OPTIONS,
    .option_count = sizeof(OPTIONS) / sizeof(OPTIONS[0]),
    .run = cmd_serve,
};

/* The command line's word counts more than the file's. False: it is no format. */
static bool choose_format(struct settings *s, const char *format)
{
    if (!format) {
        return true;
    }
    bool is_json = strcmp(format, "json") == 0;
    s->log_format = is_json ? LOG_JSON : LOG_LOGFMT;
    if (is_json || strcmp(format, "logfmt") == 0) {
        return true;
    }
    fprintf(stderr, "fallthrough: --log-format is logfmt or json, not '%s'\n", format);
    return false;
}

static struct settings *load(const char *path)
{
    struct conf_errors errors;
    struct settings *settings = NULL;
    conf_errors_init(&errors);
    enum err e = settings_load(str_from(path), &errors, &settings);
    conf_errors_print(&errors, stderr);
    conf_errors_fini(&errors);
    return e == ERR_OK ? settings : NULL;
}

int cmd_serve(int argc, char **argv)
{
    struct serve_options o = {.config = NULL, .log_format = NULL};
    int first = 0;
    int code = options_read(&SERVE_COMMAND, argc, argv, &o, &first);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    struct settings *settings = load(options_config(o.config));
    if (!settings) {
        return CMD_BAD_CONFIG;
    }
    if (!choose_format(settings, o.log_format)) {
        settings_free(&settings);
        return CMD_USAGE;
    }
    if (log_open(settings->log_file, settings->log_level, settings->log_format) != ERR_OK) {
        fprintf(stderr, "fallthrough: cannot open the log file %.*s\n",
                STR_FMT(settings->log_file));
        settings_free(&settings);
        return CMD_BAD_CONFIG;
    }
    protect_process();
    bound_connections(settings);
    code = serve(settings);
    settings_free(&settings);
    return code;
}
