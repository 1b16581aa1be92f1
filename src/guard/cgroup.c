#include "guard/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { TEXT_MAX = 16384, FOLDER_MODE = 0755 };

/* --- pure --- */

struct str cgroup_own_path(struct str text)
{
    while (text.len > 0) {
        struct str line = str_cut(&text, '\n');
        if (str_starts(line, STR("0::/"))) {
            return str_from_at(line, 3);
        }
    }
    return STR("");
}

/* The last one: it may have been mounted over those before. */
struct str cgroup_mount_point(struct str text)
{
    struct str found = STR("");
    while (text.len > 0) {
        struct str line = str_cut(&text, '\n');
        (void)str_cut(&line, ' ');
        struct str where = str_cut(&line, ' ');
        if (str_eq(str_cut(&line, ' '), STR("cgroup2"))) {
            found = where;
        }
    }
    return found;
}

bool cgroup_figure(struct str text, struct str key, uint64_t *out)
{
    while (text.len > 0) {
        struct str line = str_cut(&text, '\n');
        if (str_eq(str_cut(&line, ' '), key)) {
            return str_to_u64(str_trim(line), UINT64_MAX, out) == ERR_OK;
        }
    }
    return false;
}

/* --- files --- */

static struct str read_file(const char *path, char text[TEXT_MAX])
{
    size_t len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return STR("");
    }
    ssize_t n = 1;
    while (n > 0 && len < TEXT_MAX) {
        n = read(fd, text + len, TEXT_MAX - len);
        len += n > 0 ? (size_t)n : 0;
    }
    (void)close(fd);
    return str_of(text, len);
}

static bool write_file(const char *folder, const char *name, const char *text)
{
    char path[CGROUP_PATH_MAX + 64];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t n = write(fd, text, strlen(text));
    (void)close(fd);
    return n == (ssize_t)strlen(text);
}

static struct str read_in(const char *folder, const char *name, char text[TEXT_MAX])
{
    char path[CGROUP_PATH_MAX + 64];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return read_file(path, text);
}

/* --- finding the base --- */

/* The folder of our own cgroup; empty: v2 is not mounted. */
static void find_own(char out[CGROUP_PATH_MAX])
{
    char mounts[TEXT_MAX];
    char own[TEXT_MAX];
    struct str where = cgroup_mount_point(read_file("/proc/self/mounts", mounts));
    struct str path = cgroup_own_path(read_file("/proc/self/cgroup", own));
    out[0] = '\0';
    if (where.len > 0 && path.len > 1 && where.len + path.len < CGROUP_PATH_MAX) {
        (void)snprintf(out, CGROUP_PATH_MAX, "%.*s%.*s", STR_FMT(where), STR_FMT(path));
    }
}

/* systemd marks what it delegates, but not in every version of its user manager: so our unit
 * says it, too. */
static bool is_delegated(const char *folder)
{
    char value[4] = "";
    return getenv(CGROUP_DELEGATED) != NULL ||
           getxattr(folder, "trusted.delegate", value, sizeof(value)) > 0 ||
           getxattr(folder, "user.delegate", value, sizeof(value)) > 0;
}

static bool make_folder(char out[CGROUP_PATH_MAX], const char *base, const char *name)
{
    int n = snprintf(out, CGROUP_PATH_MAX, "%s/%s", base, name);
    return n > 0 && n < CGROUP_PATH_MAX && (mkdir(out, FOLDER_MODE) == 0 || errno == EEXIST);
}

/* Controllers can be had below only where no process is in <base> itself. */
static bool set_up(struct cgroup *c, const char *base, bool is_own)
{
    char guard[CGROUP_PATH_MAX];
    if (!make_folder(c->engine, base, "engine")) {
        return false;
    }
    if (is_own &&
        (!make_folder(guard, base, "guard") || !write_file(guard, "cgroup.procs", "0"))) {
        (void)rmdir(c->engine);
        return false;
    }
    /* Each on its own: one that is missing does not hide the other. */
    (void)write_file(base, "cgroup.subtree_control", "+memory");
    (void)write_file(base, "cgroup.subtree_control", "+pids");
    return true;
}

static bool open_own(struct cgroup *c)
{
    char own[CGROUP_PATH_MAX];
    find_own(own);
    if (own[0] == '\0') {
        c->why = "cgroup v2 is not mounted, or we are in its root";
    } else if (!is_delegated(own)) {
        c->why = "our cgroup is not delegated to us (Delegate=yes)";
    } else if (!set_up(c, own, true)) {
        c->why = "the delegated cgroup cannot be written";
    } else {
        c->is_on = true;
    }
    return true;
}

bool cgroup_open(struct cgroup *c, struct str choice)
{
    char base[CGROUP_PATH_MAX];
    char own[CGROUP_PATH_MAX];
    *c = (struct cgroup){.why = "switched off"};
    if (str_eq(choice, STR("off"))) {
        return true;
    }
    if (str_eq(choice, STR("auto"))) {
        return open_own(c);
    }
    (void)snprintf(base, sizeof(base), "%.*s", STR_FMT(choice));
    find_own(own);
    c->is_on = set_up(c, base, strcmp(base, own) == 0);
    c->why = "the configured cgroup cannot be written";
    return c->is_on;
}

void cgroup_close(struct cgroup *c)
{
    if (c->is_on) {
        (void)rmdir(c->engine);
    }
    c->is_on = false;
}

/* --- using it --- */

int cgroup_entrance(const struct cgroup *c)
{
    char path[CGROUP_PATH_MAX + 64];
    if (!c->is_on) {
        return -1;
    }
    (void)snprintf(path, sizeof(path), "%s/cgroup.procs", c->engine);
    return open(path, O_WRONLY | O_CLOEXEC);
}

bool cgroup_kill(const struct cgroup *c)
{
    return c->is_on && write_file(c->engine, "cgroup.kill", "1");
}

size_t cgroup_pids(const struct cgroup *c, pid_t *pids, size_t max)
{
    char text[TEXT_MAX];
    size_t count = 0;
    if (!c->is_on) {
        return 0;
    }
    struct str rest = read_in(c->engine, "cgroup.procs", text);
    while (rest.len > 0 && count < max) {
        uint64_t pid = 0;
        if (str_to_u64(str_cut(&rest, '\n'), INT32_MAX, &pid) == ERR_OK && pid > 0) {
            pids[count++] = (pid_t)pid;
        }
    }
    return count;
}

bool cgroup_oom_kills(const struct cgroup *c, uint64_t *count)
{
    char text[TEXT_MAX];
    return c->is_on &&
           cgroup_figure(read_in(c->engine, "memory.events", text), STR("oom_kill"), count);
}

bool cgroup_host_oom_kills(uint64_t *count)
{
    char text[TEXT_MAX];
    return cgroup_figure(read_file("/proc/vmstat", text), STR("oom_kill"), count);
}
