#include "agent/gpu_sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Reads up to `size` bytes of a small file; -1 with errno. */
static ssize_t read_small(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    ssize_t got = read(fd, out, size);
    int error = errno;
    (void)close(fd);
    errno = error;
    return got;
}

static bool file_starts(const char *root, const char *device, const char *file, struct str with)
{
    char path[512];
    char text[32];
    (void)snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/%s", root, device, file);
    ssize_t got = read_small(path, text, sizeof(text));
    return got > 0 && str_starts(str_of(text, (size_t)got), with);
}

/* Display controllers: VGA (0x0300) and 3D (0x0302). */
static bool is_gpu(const char *root, const char *device)
{
    return file_starts(root, device, "vendor", STR("0x10de")) &&
           (file_starts(root, device, "class", STR("0x0300")) ||
            file_starts(root, device, "class", STR("0x0302")));
}

void gpu_sysfs_scan(struct gpu_sysfs *s, const char *root)
{
    char path[512];
    memset(s, 0, sizeof(*s));
    (void)snprintf(path, sizeof(path), "%s/bus/pci/devices", root);
    DIR *all = opendir(path);
    if (!all) {
        return;
    }
    const struct dirent *one = readdir(all);
    while (one && s->count < GPUS_MAX) {
        if (is_gpu(root, one->d_name) && bdf_normal(str_from(one->d_name), s->bdf[s->count])) {
            s->count++;
        }
        one = readdir(all);
    }
    (void)closedir(all);
}

bool gpu_sysfs_is_gone(const char *root, const char *bdf)
{
    static const char ONES[4] = {'\xff', '\xff', '\xff', '\xff'};
    char path[512];
    char device[BDF_MAX + 2];
    char head[4];
    (void)snprintf(device, sizeof(device), "%s.0", bdf);
    (void)snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/config", root, device);
    ssize_t got = read_small(path, head, sizeof(head));
    if (got < 0) {
        return errno == ENOENT || errno == ENODEV;
    }
    return got == (ssize_t)sizeof(head) && memcmp(head, ONES, sizeof(head)) == 0 &&
           !file_starts(root, device, "power_state", STR("D3cold"));
}
