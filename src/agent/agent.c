#include "agent/agent.h"

#include <signal.h>
#include <unistd.h>

#include "agent/agent_core.h"
#include "agent/agent_http.h"
#include "agent/gpu_report.h"
#include "base/check.h"
#include "base/log.h"
#include "net/listener.h"
#include "net/tls.h"

struct server {
    struct agent_core core;
    struct agent_http *http;
    SSL_CTX *tls;
    int fd;
    uv_signal_t on_term, on_int;
};

static void on_signal(uv_signal_t *handle, int number)
{
    struct server *s = handle->data;
    log_info("leaving", LOG_NUM("signal", number));
    loop_stop(s->core.loop);
}

static void watch_signal(struct server *s, uv_signal_t *handle, int number)
{
    CHECK(uv_signal_init(loop_uv(s->core.loop), handle) == 0);
    handle->data = s;
    CHECK(uv_signal_start(handle, on_signal, number) == 0);
}

static void on_change(void *owner)
{
    struct server *s = owner;
    agent_http_wake(s->http);
}

static bool open_tls(struct server *s, const struct agent_settings *settings)
{
    const char *why = "";
    if (settings->tls_cert.len == 0) {
        return true;
    }
    if (tls_server_new(settings->tls_cert, settings->tls_key, &s->tls, &why) != ERR_OK) {
        (void)fprintf(stderr, "fallthrough agent: tls: %s\n", why);
        return false;
    }
    return true;
}

static bool open_port(struct server *s, const struct address *a)
{
    const char *why = "";
    if (listen_open_alone(a, &s->fd, &why) != ERR_OK) {
        struct str where = a->is_unix ? a->path : a->host;
        (void)fprintf(stderr, "fallthrough agent: cannot listen on %.*s port %u: %s\n",
                      STR_FMT(where), a->port, why);
        return false;
    }
    return true;
}

static void run(struct server *s)
{
    char name[128];
    watch_signal(s, &s->on_term, SIGTERM);
    watch_signal(s, &s->on_int, SIGINT);
    s->core.owner = s;
    s->core.keeps_state = true;
    agent_core_start(&s->core);
    s->http = agent_http_start(&s->core, s->fd, s->tls);
    s->core.on_change = on_change;
    listen_name(s->fd, name, sizeof(name));
    log_info("listening", LOG_TEXT("agent", name), LOG_TEXT("version", FALLTHROUGH_VERSION));
    loop_run(s->core.loop);
    agent_http_stop(&s->http);
    agent_core_stop(&s->core);
    log_info("stopped");
}

enum agent_end agent_serve(const struct agent_settings *settings)
{
    struct server s = {.fd = -1, .core = {.settings = settings}};
    enum agent_end end = AGENT_FAILED;
    s.core.loop = loop_new();
    if (open_tls(&s, settings) && open_port(&s, &settings->listen)) {
        run(&s);
        end = AGENT_FINE;
    }
    if (s.fd >= 0) {
        (void)close(s.fd);
    }
    SSL_CTX_free(s.tls);
    loop_free(&s.core.loop);
    return end;
}

/* --- a single look --- */

struct once {
    struct agent_core core;
    struct timer limit;
    bool is_read;
};

static void on_poll(void *owner)
{
    struct once *o = owner;
    o->is_read = true;
    loop_stop(o->core.loop);
}

static void on_limit(struct timer *t)
{
    loop_stop(container_of(t, struct once, limit)->core.loop);
}

enum agent_end agent_once(const struct agent_settings *settings, FILE *out)
{
    struct once o = {
        .core = {.settings = settings, .is_once = true, .owner = &o, .on_poll = on_poll}};
    struct arena a;
    arena_init(&a);
    o.core.loop = loop_new();
    timer_init(&o.limit, on_limit);
    timer_arm(o.core.loop, &o.limit,
              loop_now_ms(o.core.loop) + settings->start_after_ms +
                  settings->policy.late_after_ms);
    agent_core_start(&o.core);
    loop_run(o.core.loop);
    agent_core_publish(&o.core);
    struct gpu_report_source s = {.host = &o.core.host,
                                  .child = gpu_child_counts(o.core.child),
                                  .boot_id = str_from(o.core.boot_id),
                                  .polls = o.core.polls,
                                  .has_kernel_log = o.core.log != NULL};
    struct str json = gpu_report_json(&s, agent_core_now(&o.core), &a);
    (void)fprintf(out, "%.*s\n", STR_FMT(json));
    bool is_down = !o.is_read || o.core.host.state == GPU_DOWN;
    timer_drop(o.core.loop, &o.limit);
    agent_core_stop(&o.core);
    loop_free(&o.core.loop);
    arena_fini(&a);
    return is_down ? AGENT_DOWN : AGENT_FINE;
}
