#include "base/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/conf_mask.h"
#include "base/conf_private.h"

static enum err read_all(int fd, size_t max, char **content, size_t *len)
{
    char *data = mem_alloc(max + 2);
    size_t used = 0;
    while (used <= max) {
        ssize_t got = read(fd, data + used, max + 1 - used);
        if (got == 0) {
            data[used] = '\0';
            *content = mem_resize(data, used + 1);
            *len = used;
            return ERR_OK;
        }
        if (got < 0 && errno != EINTR) {
            free(data);
            return ERR_IO;
        }
        used += got > 0 ? (size_t)got : 0;
    }
    explicit_bzero(data, used);
    free(data);
    return ERR_TOO_LARGE;
}

enum err conf_read_file(const char *path, size_t max, char **content, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    enum err e = read_all(fd, max, content, len);
    (void)close(fd);
    return e;
}

static bool start(struct conf *c, struct str path, struct conf_errors *errors)
{
    *c = (struct conf){.errors = errors};
    arena_init(&c->arena);
    c->texts = &c->arena;
    c->path = arena_dup(&c->arena, path);
    return true;
}

/* Takes over `source`. */
static bool parse(struct conf *c, char *source, size_t len)
{
    size_t at = 0;
    const char *why = NULL;
    struct str text = str_of(source, len);
    c->source = source;
    c->source_len = len;
    conf_errors_source(c->errors, c->path, text);
    if (len > CONF_FILE_MAX) {
        conf_error(c, (struct conf_mark){0, 0}, "is larger than 1 MiB");
        return false;
    }
    if (conf_mask_check(text, &at, &why) != ERR_OK) {
        conf_error(c, conf_errors_mark(c->errors, at), "%s", why);
        conf_errors_clean(c->errors, at);
        conf_hide_lines(c);
        return false;
    }
    conf_mask(text, &c->masked, &c->masked_len);
    bool ok = conf_build_tree(c);
    if (ok) {
        conf_hide_keys(c, c->root);
    } else {
        conf_hide_lines(c);
    }
    return ok;
}

bool conf_parse(struct conf *c, struct str path, struct str content, struct conf_errors *errors)
{
    return start(c, path, errors) && parse(c, mem_dup(content), content.len);
}

bool conf_open(struct conf *c, struct str path, struct conf_errors *errors)
{
    char *content = NULL;
    size_t len = 0;
    (void)start(c, path, errors);
    enum err e = conf_read_file(c->path.ptr, CONF_FILE_MAX, &content, &len);
    if (e == ERR_OK) {
        return parse(c, content, len);
    }
    conf_errors_source(errors, path, STR(""));
    if (e == ERR_TOO_LARGE) {
        conf_error(c, (struct conf_mark){0, 0}, "is larger than 1 MiB");
    } else {
        conf_error(c, (struct conf_mark){0, 0}, "cannot be read: %s", strerror(errno));
    }
    return false;
}

void conf_close(struct conf *c)
{
    if (c->source) {
        explicit_bzero(c->source, c->source_len);
    }
    if (c->masked) {
        explicit_bzero(c->masked, c->masked_len);
    }
    free(c->source);
    free(c->masked);
    c->source = NULL;
    c->masked = NULL;
    c->root = NULL;
    arena_fini(&c->arena);
}

const struct conf_node *conf_get(const struct conf_node *map, struct str key)
{
    for (size_t i = 0; map->kind == CONF_MAP && i < map->count; i++) {
        if (str_eq(map->items[i].key, key)) {
            return map->items[i].value;
        }
    }
    return NULL;
}

const char *conf_kind_name(const struct conf_node *n)
{
    if (n->kind == CONF_LIST) {
        return "a list";
    }
    if (n->kind == CONF_MAP) {
        return "a mapping";
    }
    return conf_is_null(n) ? "nothing" : "a single value";
}

bool conf_is_null(const struct conf_node *n)
{
    return n->kind == CONF_SCALAR && n->is_plain &&
           (n->text.len == 0 || str_eq(n->text, STR("~")) || str_eq(n->text, STR("null")));
}

struct conf_mark conf_find(const struct conf *c, const struct conf_node *n, struct str piece)
{
    size_t from = conf_errors_byte(c->errors, n->start);
    size_t to = conf_errors_byte(c->errors, n->end);
    if (n->kind != CONF_SCALAR || from >= to || to > c->source_len || piece.len == 0) {
        return n->start;
    }
    const char *hit = memmem(c->source + from, to - from, piece.ptr, piece.len);
    return hit ? conf_errors_mark(c->errors, (size_t)(hit - c->source)) : n->start;
}
