#include "agent/probe_child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/gpu_sysfs.h"
#include "agent/nvml_read.h"
#include "base/clock.h"

enum { REATTACH_POLLS = 30, EXIT_BLIND = 3, EXIT_ANEW = 4, SLICE_MS = 500 };

struct probe {
    struct nvml nvml;
    const char *sysfs_root;
    const char *proc_root;
    uint64_t event_ms; /* how long events may be waited for between two questions */
    struct nvml_gpu gpu[GPUS_MAX];
    uint32_t count;
    struct gpu_sysfs sysfs;
    nvml_event_set events; /* NULL: none */
    uint64_t polls;
    struct frame frame;
};

/* False: nobody reads any more. */
static bool send_frame(struct probe *p)
{
    const char *at = (const char *)&p->frame;
    size_t left = frame_size(p->frame.kind);
    while (left > 0) {
        ssize_t sent = write(STDOUT_FILENO, at, left);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return false;
        }
        at += sent;
        left -= (size_t)sent;
    }
    return true;
}

/* --- start --- */

static void register_events(struct probe *p)
{
    static const unsigned long long wanted =
        NVML_EVENT_XID | NVML_EVENT_MIG | NVML_EVENT_UNAVAILABLE | NVML_EVENT_RECOVERY;
    uint32_t registered = 0;
    if (!p->nvml.event_wait || NVML_CALL(&p->nvml, event_set_new, &p->events) != NVML_SUCCESS) {
        p->events = NULL;
        return;
    }
    for (uint32_t i = 0; i < p->count; i++) {
        unsigned long long types = 0;
        nvml_device h = p->gpu[i].handle;
        /* An unsupported bit would register nothing. */
        if (h && NVML_CALL(&p->nvml, event_types, h, &types) == NVML_SUCCESS &&
            (types & wanted) != 0 &&
            NVML_CALL(&p->nvml, event_register, h, types & wanted, p->events) == NVML_SUCCESS) {
            registered++;
        }
    }
    if (registered == 0) {
        (void)NVML_CALL(&p->nvml, event_set_free, p->events);
        p->events = NULL;
    }
}

/* A GPU without a handle is the only one of the bus that no handle speaks for, if so. */
static void name_the_nameless(struct probe *p)
{
    const char *free_bdf = NULL;
    struct nvml_gpu *nameless = NULL;
    size_t free_count = 0;
    size_t nameless_count = 0;
    for (uint32_t g = 0; g < p->count; g++) {
        if (p->gpu[g].bdf[0] == '\0') {
            nameless = &p->gpu[g];
            nameless_count++;
        }
    }
    for (size_t i = 0; i < p->sysfs.count; i++) {
        bool is_taken = false;
        for (uint32_t g = 0; g < p->count; g++) {
            is_taken = is_taken || strcmp(p->gpu[g].bdf, p->sysfs.bdf[i]) == 0;
        }
        free_bdf = is_taken ? free_bdf : p->sysfs.bdf[i];
        free_count += !is_taken;
    }
    if (nameless_count == 1 && free_count == 1) {
        memcpy(nameless->bdf, free_bdf, BDF_MAX);
    }
}

static int open_nvml(struct probe *p, const char *library, struct gpu_hello *h)
{
    const char *why = "";
    unsigned count = 0;
    if (nvml_open(&p->nvml, library, &why) != ERR_OK) {
        text_tame(str_from(why), h->why, sizeof(h->why));
        return NVML_LIBRARY_NOT_FOUND;
    }
    h->has_library = true;
    int code = p->nvml.init();
    if (code == NVML_SUCCESS) {
        code = p->nvml.count(&count);
    }
    if (code != NVML_SUCCESS) {
        text_tame(str_from(nvml_code_text(code)), h->why, sizeof(h->why));
        return code;
    }
    p->count = count < GPUS_MAX ? count : GPUS_MAX;
    for (uint32_t i = 0; i < p->count; i++) {
        nvml_attach(&p->nvml, i, &p->gpu[i]);
    }
    char driver[80] = "";
    if (NVML_CALL(&p->nvml, driver_version, driver, sizeof(driver)) == NVML_SUCCESS) {
        driver[sizeof(driver) - 1] = '\0';
        text_tame(str_from(driver), h->driver, sizeof(h->driver));
    }
    return NVML_SUCCESS;
}

/* Tells what there is. False: there is nothing to be asked for. */
static bool say_hello(struct probe *p, const char *library)
{
    frame_begin(&p->frame, FRAME_HELLO);
    struct gpu_hello *h = &p->frame.of.hello;
    gpu_sysfs_scan(&p->sysfs, p->sysfs_root);
    h->has_device = p->sysfs.count > 0;
    h->init = open_nvml(p, library, h);
    h->count = p->count;
    if (h->init == NVML_SUCCESS && p->count > 0) {
        name_the_nameless(p);
        register_events(p);
    }
    h->has_events = p->events != NULL;
    bool can_go_on = h->init == NVML_SUCCESS && p->count > 0;
    return send_frame(p) && can_go_on;
}

/* --- a reading --- */

/* 0: go on; else the exit status. */
static int answer_poll(struct probe *p)
{
    bool is_well = true;
    for (uint32_t i = 0; i < p->count; i++) {
        struct nvml_gpu *g = &p->gpu[i];
        if (!g->handle && (p->polls == 1 || p->polls % REATTACH_POLLS == 0)) {
            nvml_attach(&p->nvml, i, g);
        }
        frame_begin(&p->frame, FRAME_GPU);
        struct gpu_reading *r = &p->frame.of.gpu;
        is_well = nvml_read(&p->nvml, g, p->proc_root, r) && is_well;
        r->is_gone =
            p->sysfs.count > 0 && g->bdf[0] && gpu_sysfs_is_gone(p->sysfs_root, g->bdf);
        r->at_ms = clock_mono_ms();
        if (!send_frame(p)) {
            return EXIT_ANEW;
        }
    }
    p->polls++;
    frame_begin(&p->frame, FRAME_DONE);
    p->frame.of.gpu_count = p->count;
    return send_frame(p) && is_well ? 0 : EXIT_ANEW;
}

/* --- events --- */

static const struct nvml_gpu *find_gpu(const struct probe *p, nvml_device handle)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->gpu[i].handle == handle) {
            return &p->gpu[i];
        }
    }
    return NULL;
}

static bool send_event(struct probe *p, const struct nvml_event *e)
{
    const struct nvml_gpu *g = find_gpu(p, e->device);
    if (!g) {
        return true;
    }
    frame_begin(&p->frame, FRAME_EVENT);
    struct gpu_event *out = &p->frame.of.event;
    text_tame(str_from(g->uuid), out->uuid, sizeof(out->uuid));
    text_tame(str_from(g->bdf), out->bdf, sizeof(out->bdf));
    out->type = e->type;
    out->data = e->data;
    out->instance = e->instance;
    out->compute = e->compute;
    return send_frame(p);
}

static bool is_asked(void)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&in, 1, 0) != 0;
}

/* Until a question has come, or shortly before it is due. False: nobody reads any more. */
static bool wait_events(struct probe *p)
{
    uint64_t now_ms = clock_mono_ms();
    uint64_t end_ms = now_ms + p->event_ms;
    while (p->events && now_ms < end_ms && !is_asked()) {
        struct nvml_event e;
        uint64_t left_ms = end_ms - now_ms;
        memset(&e, 0, sizeof(e));
        int code = p->nvml.event_wait(p->events, &e,
                                      (unsigned)(left_ms < SLICE_MS ? left_ms : SLICE_MS));
        if (code == NVML_SUCCESS && !send_event(p, &e)) {
            return false;
        }
        if (code != NVML_SUCCESS && code != NVML_TIMEOUT) {
            (void)NVML_CALL(&p->nvml, event_set_free, p->events);
            register_events(p);
            return true;
        }
        now_ms = clock_mono_ms();
    }
    return true;
}

/* Waits for a question. False: there will be none. */
static bool wait_question(void)
{
    char letters[64];
    ssize_t got = read(STDIN_FILENO, letters, sizeof(letters));
    return got > 0 || (got < 0 && errno == EINTR);
}

static int serve_questions(struct probe *p)
{
    int status = 0;
    while (status == 0 && wait_question()) {
        status = answer_poll(p);
        if (status == 0 && !wait_events(p)) {
            status = EXIT_ANEW;
        }
    }
    return status;
}

int probe_child_main(int argc, char **argv)
{
    uint64_t event_ms = 0;
    struct probe *p = argc == 5 ? calloc(1, sizeof(*p)) : NULL;
    if (!p || str_to_u64(str_from(argv[4]), UINT32_MAX, &event_ms) != ERR_OK) {
        free(p);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    p->event_ms = event_ms;
    p->sysfs_root = argv[2];
    p->proc_root = argv[3];
    int status = say_hello(p, argv[1]) ? serve_questions(p) : EXIT_BLIND;
    if (p->nvml.shutdown && p->count > 0) {
        (void)p->nvml.shutdown();
    }
    free(p);
    return status;
}
