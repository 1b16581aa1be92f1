#include "ops/process_figures.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/str.h"

static uint64_t microseconds(const struct timeval *t)
{
    return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec;
}

/* The second number of /proc/self/statm, in pages. */
static bool read_resident(uint64_t *bytes)
{
    char text[256];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (got <= 0) {
        return false;
    }
    struct str rest = str_of(text, (size_t)got);
    uint64_t pages = 0;
    (void)str_cut(&rest, ' ');
    if (str_to_u64(str_cut(&rest, ' '), UINT32_MAX, &pages) != ERR_OK) {
        return false;
    }
    *bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

static bool count_entries(const char *path, uint64_t *count)
{
    DIR *folder = opendir(path);
    uint64_t names = 0;
    if (!folder) {
        return false;
    }
    while (readdir(folder)) {
        names++;
    }
    (void)closedir(folder);
    *count = names > 3 ? names - 3 : 0; /* ".", ".." and the descriptor of the folder itself */
    return true;
}

static bool read_open_fds(uint64_t *count)
{
    static const char path[] = "/proc/self/fd";
    struct stat s;
    if (stat(path, &s) == 0 && s.st_size > 0) { /* Linux 6.2 tells their number as the size */
        *count = (uint64_t)s.st_size;
        return true;
    }
    return count_entries(path, count);
}

void process_figures_read(struct process_figures *out)
{
    struct rusage used;
    struct rlimit files;
    *out = (struct process_figures){.cpu_us = 0};
    CHECK(getrusage(RUSAGE_SELF, &used) == 0);
    out->cpu_us = microseconds(&used.ru_utime) + microseconds(&used.ru_stime);
    out->has_resident = read_resident(&out->resident_bytes);
    out->has_open_fds = read_open_fds(&out->open_fds);
    out->has_max_fds = getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY;
    out->max_fds = out->has_max_fds ? files.rlim_cur : 0;
}
