#include "ops/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ops/access_line.h"

enum {
    CHUNK = 4096,   /* of one write: a pipe that polls writable has room for it */
    GATHER_MS = 50, /* lines of so long go out together */
    LOOK_MS = 1000, /* between two looks whether the file was moved */
    POLL_MS = 100,
    FILE_MODE = 0640
};

struct access_log {
    struct access_log_conf conf;
    char *path; /* NULL: a stream that was open already */
    int fd;
    uint64_t looked_ms;
    bool is_warned; /* since the last good write */
    bool is_torn;   /* the last line there is not whole */
    size_t used;    /* of chunk */
    uint64_t lines; /* in it */
    char chunk[CHUNK];
    _Atomic uint64_t end_ms; /* nothing is waited for after it */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool has_some; /* under lock, as is_ending: there are accounts to take */
    bool is_ending;
    _Atomic uint64_t written;
    _Atomic uint64_t dropped;
};

_Static_assert((int)CHUNK >= (int)LOG_LINE_MAX, "a chunk holds any line");

/* --- the file --- */

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, FILE_MODE);
}

static bool was_moved(const struct access_log *log)
{
    struct stat there;
    struct stat ours;
    return fstat(log->fd, &ours) == 0 &&
           (stat(log->path, &there) != 0 || there.st_ino != ours.st_ino ||
            there.st_dev != ours.st_dev);
}

/* Where no new one can be opened, the old one is written on. */
static void follow_file(struct access_log *log)
{
    uint64_t now_ms = clock_mono_ms();
    if (!log->path || now_ms < log->looked_ms + LOOK_MS) {
        return;
    }
    log->looked_ms = now_ms;
    if (!was_moved(log)) {
        return;
    }
    int fd = open_file(log->path);
    if (fd >= 0) {
        close(log->fd);
        log->fd = fd;
        log->is_torn = false;
    }
}

/* --- writing --- */

static void warn_once(struct access_log *log, int error)
{
    if (!log->is_warned) {
        log_warn("the access log cannot be written", LOG_STR("file", log->conf.file),
                 LOG_TEXT("error", err_text(err_from_errno(error))));
    }
    log->is_warned = true;
}

/* False: its time is over. */
static bool wait_writable(const struct access_log *log)
{
    struct pollfd p = {.fd = log->fd, .events = POLLOUT};
    bool is_over = clock_mono_ms() >= log->end_ms;
    int ready = poll(&p, 1, is_over ? 0 : POLL_MS);
    while (ready == 0 && !is_over) {
        is_over = clock_mono_ms() >= log->end_ms;
        ready = poll(&p, 1, is_over ? 0 : POLL_MS);
    }
    return ready != 0;
}

/* 0, or an errno. */
static int write_all(struct access_log *log, const char *text, size_t len)
{
    size_t done = 0;
    while (done < len) {
        if (!wait_writable(log)) {
            return ETIMEDOUT;
        }
        ssize_t n = write(log->fd, text + done, len - done);
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            log->is_torn = log->is_torn || done > 0;
            return errno;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static void flush(struct access_log *log)
{
    if (log->used == 0) {
        return;
    }
    follow_file(log);
    int error = log->is_torn ? write_all(log, "\n", 1) : 0;
    log->is_torn = log->is_torn && error != 0;
    error = error ? error : write_all(log, log->chunk, log->used);
    if (error == 0) {
        log->written += log->lines;
        log->is_warned = false;
    } else {
        log->dropped += log->lines;
        warn_once(log, error);
    }
    log->used = 0;
    log->lines = 0;
}

static void write_account(struct access_log *log, const struct account *r)
{
    struct field_line line;
    access_line_write(r, log->conf.format, &line);
    if (log->used + line.len > CHUNK) {
        flush(log);
    }
    memcpy(log->chunk + log->used, line.text, line.len);
    log->used += line.len;
    log->lines++;
}

static void write_waiting(struct access_log *log)
{
    struct account *r = account_queue_take(log->conf.queue);
    while (r) {
        write_account(log, r);
        free(r);
        r = account_queue_take(log->conf.queue);
    }
    flush(log);
}

/* --- the thread --- */

static void wait_until(struct access_log *log, uint64_t due_ms)
{
    struct timespec at = {.tv_sec = (time_t)(due_ms / 1000),
                          .tv_nsec = (long)(due_ms % 1000) * 1000000L};
    int e = pthread_cond_timedwait(&log->changed, &log->lock, &at);
    CHECK(e == 0 || e == ETIMEDOUT);
}

/* Waits for a first line, and a moment for others. True when it is to end. */
static bool wait_for_work(struct access_log *log)
{
    CHECK(pthread_mutex_lock(&log->lock) == 0);
    while (!log->is_ending && !log->has_some) {
        CHECK(pthread_cond_wait(&log->changed, &log->lock) == 0);
    }
    uint64_t due_ms = clock_mono_ms() + GATHER_MS;
    while (!log->is_ending && clock_mono_ms() < due_ms) {
        wait_until(log, due_ms);
    }
    log->has_some = false;
    bool is_ending = log->is_ending;
    CHECK(pthread_mutex_unlock(&log->lock) == 0);
    return is_ending;
}

static void *run(void *arg)
{
    struct access_log *log = arg;
    bool is_ending = false;
    while (!is_ending) {
        is_ending = wait_for_work(log);
        write_waiting(log);
    }
    return NULL;
}

static void wake(void *arg)
{
    struct access_log *log = arg;
    CHECK(pthread_mutex_lock(&log->lock) == 0);
    log->has_some = true;
    CHECK(pthread_cond_signal(&log->changed) == 0);
    CHECK(pthread_mutex_unlock(&log->lock) == 0);
}

/* --- life --- */

static enum err open_sink(struct access_log *log)
{
    struct str file = log->conf.file;
    if (str_eq(file, STR("stdout")) || str_eq(file, STR("stderr"))) {
        log->fd = dup(str_eq(file, STR("stdout")) ? STDOUT_FILENO : STDERR_FILENO);
    } else {
        log->path = mem_dup(file);
        log->fd = open_file(log->path);
    }
    return log->fd >= 0 ? ERR_OK : err_from_errno(errno);
}

static void init_lock(struct access_log *log)
{
    pthread_condattr_t monotonic;
    CHECK(pthread_mutex_init(&log->lock, NULL) == 0);
    CHECK(pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&log->changed, &monotonic) == 0);
    CHECK(pthread_condattr_destroy(&monotonic) == 0);
}

enum err access_log_start(const struct access_log_conf *conf, struct access_log **out)
{
    struct access_log *log = mem_alloc(sizeof(*log));
    log->conf = *conf;
    log->end_ms = UINT64_MAX;
    enum err e = open_sink(log);
    if (e != ERR_OK) {
        free(log->path);
        free(log);
        return e;
    }
    init_lock(log);
    account_queue_set_reader(conf->queue, &(struct account_reader){wake, log, 1});
    CHECK(pthread_create(&log->thread, NULL, run, log) == 0);
    *out = log;
    return ERR_OK;
}

void access_log_stop(struct access_log **log)
{
    struct access_log *gone = *log;
    *log = NULL;
    if (!gone) {
        return;
    }
    CHECK(pthread_mutex_lock(&gone->lock) == 0);
    gone->is_ending = true;
    gone->end_ms = clock_mono_ms() + ACCESS_LOG_END_MS;
    CHECK(pthread_cond_signal(&gone->changed) == 0);
    CHECK(pthread_mutex_unlock(&gone->lock) == 0);
    CHECK(pthread_join(gone->thread, NULL) == 0);
    CHECK(pthread_cond_destroy(&gone->changed) == 0);
    CHECK(pthread_mutex_destroy(&gone->lock) == 0);
    close(gone->fd);
    free(gone->path);
    free(gone);
}

uint64_t access_log_written(const struct access_log *log)
{
    return log->written;
}

uint64_t access_log_dropped(const struct access_log *log)
{
    return log->dropped + account_queue_lost(log->conf.queue);
}
