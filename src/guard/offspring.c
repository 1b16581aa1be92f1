#include "guard/offspring.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/mem.h"

enum {
    STAT_MAX = 1024,
    PATH_SIZE = 64,
    ROOM_FIRST = 64,
    TICKS_AT = 11, /* fields after state */
    BORN_AT = 18
};

/* All processes of the machine, as they were seen one after another. */
struct census {
    struct stat_line *lines;
    bool *is_ours;
    size_t count;
    size_t room;
};

/* --- reading --- */

static bool next_number(struct str *text, int64_t *out)
{
    uint64_t n = 0;
    struct str word = str_cut(text, ' ');
    bool is_negative = str_starts(word, STR("-"));
    if (str_to_u64(str_from_at(word, is_negative ? 1 : 0), INT64_MAX, &n) != ERR_OK) {
        return false;
    }
    *out = is_negative ? -(int64_t)n : (int64_t)n;
    return true;
}

/* "1234 (a name) S 1 1234 …": the name ends at the last ')'. */
bool stat_line_parse(struct str text, struct stat_line *out)
{
    int64_t field[BORN_AT + 1];
    uint64_t pid = 0;
    const char *end = text.len > 0 ? memrchr(text.ptr, ')', text.len) : NULL;
    struct str head = text;
    if (!end || str_to_u64(str_cut(&head, ' '), INT32_MAX, &pid) != ERR_OK) {
        return false;
    }
    struct str rest = str_from_at(text, (size_t)(end - text.ptr) + 2);
    struct str state = str_cut(&rest, ' ');
    if (state.len != 1) {
        return false;
    }
    for (size_t i = 0; i <= BORN_AT; i++) {
        if (!next_number(&rest, &field[i])) {
            return false;
        }
    }
    *out =
        (struct stat_line){.pid = (pid_t)pid,
                           .parent = (pid_t)field[0],
                           .group = (pid_t)field[1],
                           .state = state.ptr[0],
                           .ticks = (uint64_t)field[TICKS_AT - 1] + (uint64_t)field[TICKS_AT],
                           .born = (uint64_t)field[BORN_AT]};
    return true;
}

static bool read_stat(const char *path, struct stat_line *out)
{
    char text[STAT_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, text, sizeof(text));
    (void)close(fd);
    return n > 0 && stat_line_parse(str_of(text, (size_t)n), out);
}

static bool is_gone(char state)
{
    return state == 'Z' || state == 'X';
}

/* The leader may be a zombie while threads of it still sleep in a driver. */
static void look_at_threads(pid_t pid, bool *has_living, bool *has_stuck)
{
    char path[PATH_SIZE];
    struct stat_line line;
    (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    *has_living = false;
    *has_stuck = false;
    if (!tasks) {
        return;
    }
    for (struct dirent *d = readdir(tasks); d; d = readdir(tasks)) {
        if (!isdigit((unsigned char)d->d_name[0])) {
            continue;
        }
        (void)snprintf(path, sizeof(path), "/proc/%d/task/%.20s/stat", (int)pid, d->d_name);
        if (read_stat(path, &line)) {
            *has_living = *has_living || !is_gone(line.state);
            *has_stuck = *has_stuck || line.state == 'D';
        }
    }
    (void)closedir(tasks);
}

/* --- the walk --- */

static void note(struct census *c, const struct stat_line *line)
{
    if (c->count == c->room) {
        c->room = c->room > 0 ? c->room * 2 : ROOM_FIRST;
        c->lines = mem_resize(c->lines, c->room * sizeof(c->lines[0]));
    }
    c->lines[c->count++] = *line;
}

static void read_all(struct census *c)
{
    char path[PATH_SIZE];
    struct stat_line line;
    DIR *proc = opendir("/proc");
    if (!proc) {
        return;
    }
    for (struct dirent *d = readdir(proc); d; d = readdir(proc)) {
        if (!isdigit((unsigned char)d->d_name[0])) {
            continue;
        }
        (void)snprintf(path, sizeof(path), "/proc/%.20s/stat", d->d_name);
        if (read_stat(path, &line)) {
            note(c, &line);
        }
    }
    (void)closedir(proc);
}

static int order_lines(const void *x, const void *y)
{
    const struct stat_line *a = x;
    const struct stat_line *b = y;
    return (a->pid > b->pid) - (a->pid < b->pid);
}

static const struct stat_line *find(const struct census *c, pid_t pid)
{
    const struct stat_line wanted = {.pid = pid};
    return c->count > 0 ? bsearch(&wanted, c->lines, c->count, sizeof(c->lines[0]), order_lines)
                        : NULL;
}

static bool is_somebody_else_now(const struct census *c, const struct offspring_other *o)
{
    const struct stat_line *now = o->born != 0 ? find(c, o->pid) : NULL;
    return now && now->born != o->born;
}

static bool is_other(const struct census *c, const struct offspring_query *q,
                     const struct stat_line *line)
{
    for (size_t i = 0; i < q->other_count; i++) {
        const struct offspring_other *o = &q->others[i];
        if ((o->pid == line->pid || o->pid == line->group) && !is_somebody_else_now(c, o)) {
            return true;
        }
    }
    return false;
}

static bool is_child_of_ours(const struct census *c, const struct offspring_query *q,
                             pid_t parent)
{
    const struct stat_line *found = parent != q->root ? find(c, parent) : NULL;
    return parent == q->root || (found && c->is_ours[found - c->lines]);
}

/* A generation a round, or more: parents are mostly older, and have lower numbers. */
static void mark(struct census *c, const struct offspring_query *q)
{
    bool has_changed = c->count > 0;
    c->is_ours = mem_alloc(c->count + 1);
    if (c->count > 0) {
        qsort(c->lines, c->count, sizeof(c->lines[0]), order_lines);
    }
    while (has_changed) {
        has_changed = false;
        for (size_t i = 0; i < c->count; i++) {
            if (!c->is_ours[i] && !is_other(c, q, &c->lines[i]) &&
                is_child_of_ours(c, q, c->lines[i].parent)) {
                c->is_ours[i] = true;
                has_changed = true;
            }
        }
    }
}

static void put(struct offspring *o, const struct stat_line *line)
{
    bool has_living = false;
    bool has_stuck = false;
    look_at_threads(line->pid, &has_living, &has_stuck);
    if (!has_living) {
        return;
    }
    if (o->count == o->room) {
        o->room = o->room > 0 ? o->room * 2 : ROOM_FIRST;
        o->pids = mem_resize(o->pids, o->room * sizeof(o->pids[0]));
        o->born = mem_resize(o->born, o->room * sizeof(o->born[0]));
    }
    o->born[o->count] = line->born;
    o->pids[o->count++] = line->pid;
    o->stuck += has_stuck ? 1 : 0;
    o->ticks += line->ticks;
}

void offspring_scan(struct offspring *o, const struct offspring_query *q)
{
    struct census c = {.count = 0};
    o->count = 0;
    o->stuck = 0;
    o->ticks = 0;
    read_all(&c);
    mark(&c, q);
    for (size_t i = 0; i < c.count; i++) {
        if (c.is_ours[i]) {
            put(o, &c.lines[i]);
        }
    }
    free(c.lines);
    free(c.is_ours);
}

void offspring_add(struct offspring *o, pid_t pid)
{
    char path[PATH_SIZE];
    struct stat_line line;
    for (size_t i = 0; i < o->count; i++) {
        if (o->pids[i] == pid) {
            return;
        }
    }
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (read_stat(path, &line)) {
        put(o, &line);
    }
}

/* Its pid can have become another one's since: the descriptor holds on to whoever has it now.
 */
static void send_signal(pid_t pid, uint64_t born, int number)
{
    char path[PATH_SIZE];
    struct stat_line line;
    int fd = pidfd_open(pid, 0);
    bool has_none = fd < 0 && errno == ENOSYS;
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    bool is_same = (fd >= 0 || has_none) && read_stat(path, &line) && line.born == born;
    if (is_same && has_none) {
        (void)kill(pid, number);
    } else if (is_same) {
        (void)pidfd_send_signal(fd, number, NULL, 0);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

void offspring_signal(const struct offspring *o, int number)
{
    for (size_t i = 0; i < o->count; i++) {
        send_signal(o->pids[i], o->born[i], number);
    }
}

void offspring_fini(struct offspring *o)
{
    free(o->pids);
    free(o->born);
    *o = (struct offspring){.count = 0};
}
