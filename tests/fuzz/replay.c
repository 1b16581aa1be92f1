#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/mem.h"

/*
 * Gives files, or all files of directories, to a fuzz target: so that any compiler runs the
 * corpus and every crash once found stays a test. A finding ends the program as under
 * libFuzzer; the last file named is the one.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_MAX = 1 << 26 };

static bool replay_file(const char *path)
{
    struct stat st;
    FILE *in = fopen(path, "rb");
    if (!in || fstat(fileno(in), &st) != 0 || st.st_size > FILE_MAX) {
        perror(path);
        return false;
    }
    /* Memory of just this size, so that a sanitizer sees a read behind the end. */
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size > 0 ? size : 1);
    CHECK(data != NULL);
    bool is_read = fread(data, 1, size, in) == size;
    (void)fclose(in);
    printf("%s\n", path);
    (void)fflush(stdout);
    if (is_read) {
        LLVMFuzzerTestOneInput(data, size);
    }
    free(data);
    return is_read;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool replay_directory(const char *path)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, is_visible, alphasort);
    bool all = count >= 0;
    struct arena names;
    arena_init(&names);
    for (int i = 0; i < count; i++) {
        all = replay_file(arena_printf(&names, "%s/%s", path, entries[i]->d_name).ptr) && all;
        free(entries[i]);
    }
    arena_fini(&names);
    free(entries);
    return all;
}

int main(int argc, char **argv)
{
    bool all = true;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        bool is_directory = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode);
        all = (is_directory ? replay_directory(argv[i]) : replay_file(argv[i])) && all;
    }
    return all ? 0 : 1;
}
