#include "agent/gpu_memo.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/conf.h"

enum { MEMO_VERSION = 1 };

static void put(json_t *object, const char *key, json_t *value)
{
    CHECK(json_object_set_new(object, key, value) == 0);
}

static json_t *whole(uint64_t n)
{
    return json_integer((json_int_t)(n <= INT64_MAX ? n : INT64_MAX));
}

static json_t *ailment_list(const struct gpu_judge *j, struct moment m)
{
    json_t *all = json_array();
    for (size_t i = 0; i < AILMENT_COUNT; i++) {
        const struct ailment *a = &j->ailment[i];
        if (!a->is_active) {
            continue;
        }
        json_t *o = json_object();
        put(o, "word", json_string(AILMENT_ROWS[i].word));
        put(o, "since_ms", whole(gpu_wall_of(m, a->since_ms)));
        put(o, "left_ms", whole(a->until_ms > m.mono_ms ? a->until_ms - m.mono_ms : 0));
        put(o, "xid", whole(a->xid));
        put(o, "history", json_boolean(a->is_history));
        put(o, "why", json_string(a->why));
        CHECK(json_array_append_new(all, o) == 0);
    }
    return all;
}

static json_t *xid_list(const struct xid_log *l)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < l->count; i++) {
        const struct xid_entry *x = &l->entry[i];
        json_t *o = json_object();
        put(o, "xid", whole(x->xid));
        put(o, "first_ms", whole(x->first_wall_ms));
        put(o, "last_ms", whole(x->last_wall_ms));
        put(o, "count", whole(x->count));
        put(o, "text", json_string(x->text));
        CHECK(json_array_append_new(all, o) == 0);
    }
    return all;
}

static json_t *gpu_object(const struct gpu *g, struct moment m)
{
    json_t *o = json_object();
    put(o, "uuid", json_string(g->uuid));
    put(o, "bdf", json_string(g->bdf));
    put(o, "name", json_string(g->name));
    put(o, "state_since_ms", whole(gpu_wall_of(m, g->judge.state_since_ms)));
    put(o, "was_action", json_boolean(g->judge.was_action));
    if (g->judge.ecc_seen != READING_NONE) {
        put(o, "ecc_uncorrected", json_integer((json_int_t)g->judge.ecc_seen));
    }
    put(o, "ailments", ailment_list(&g->judge, m));
    put(o, "xids", xid_list(&g->xids));
    return o;
}

struct str gpu_memo_text(const struct gpu_host *h, struct str boot_id, struct moment m,
                         struct arena *a)
{
    json_t *root = json_object();
    json_t *gpus = json_array();
    put(root, "version", whole(MEMO_VERSION));
    put(root, "boot_id", json_stringn(str_chars(boot_id), boot_id.len));
    put(root, "kernel_seq", whole(h->kernel_seq));
    for (size_t i = 0; i < h->count; i++) {
        CHECK(json_array_append_new(gpus, gpu_object(h->gpus[i], m)) == 0);
    }
    put(root, "gpus", gpus);
    char *text = json_dumps(root, JSON_COMPACT);
    CHECK(text != NULL);
    struct str kept = arena_dup(a, str_from(text));
    free(text);
    json_decref(root);
    return kept;
}

/* --- reading --- */

static uint64_t number(const json_t *o, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(o, key));
    return n > 0 ? (uint64_t)n : 0;
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* A wall time as the monotonic clock would have had it; 0 when it is before its start. */
static uint64_t mono_of(struct moment m, uint64_t wall_ms)
{
    uint64_t ago = m.wall_ms > wall_ms ? m.wall_ms - wall_ms : 0;
    return m.mono_ms > ago ? m.mono_ms - ago : 0;
}

static void take_ailment(struct gpu_judge *j, const json_t *o, struct moment m)
{
    enum ailment_kind kind;
    if (!ailment_find(str_from(text(o, "word")), &kind)) {
        return;
    }
    gpu_judge_enter(j, kind, "", m.mono_ms);
    struct ailment *a = &j->ailment[kind];
    text_tame(str_from(text(o, "why")), a->why, sizeof(a->why));
    a->since_ms = mono_of(m, number(o, "since_ms"));
    a->until_ms = m.mono_ms + number(o, "left_ms");
    a->xid = (uint32_t)number(o, "xid");
    a->is_history = json_is_true(json_object_get(o, "history"));
}

static void take_xid(struct xid_log *l, const json_t *o)
{
    if (l->count == XID_LOG_MAX) {
        return;
    }
    struct xid_entry *x = &l->entry[l->count++];
    x->xid = (uint32_t)number(o, "xid");
    x->first_wall_ms = number(o, "first_ms");
    x->last_wall_ms = number(o, "last_ms");
    x->count = number(o, "count");
    x->pid = x->instance = x->compute = -1;
    text_tame(str_from(text(o, "text")), x->text, sizeof(x->text));
}

static void take_gpu(struct gpu_host *h, const json_t *o, struct moment m)
{
    char bdf[BDF_MAX] = "";
    const json_t *one;
    size_t i;
    (void)bdf_normal(str_from(text(o, "bdf")), bdf);
    struct gpu *g = gpu_host_gpu(h, text(o, "uuid"), bdf, m);
    if (!g || g->xids.count > 0) {
        return;
    }
    text_tame(str_from(text(o, "name")), g->name, sizeof(g->name));
    json_array_foreach(json_object_get(o, "ailments"), i, one)
    {
        take_ailment(&g->judge, one, m);
    }
    json_array_foreach(json_object_get(o, "xids"), i, one)
    {
        take_xid(&g->xids, one);
    }
    g->judge.state_since_ms = mono_of(m, number(o, "state_since_ms"));
    g->judge.was_action = json_is_true(json_object_get(o, "was_action"));
    const json_t *ecc = json_object_get(o, "ecc_uncorrected");
    if (json_is_integer(ecc)) {
        g->judge.ecc_seen = json_integer_value(ecc);
    }
}

enum err gpu_memo_read(struct gpu_host *h, struct str content, struct str boot_id,
                       struct moment m)
{
    json_error_t why;
    const json_t *one;
    size_t i;
    json_t *root = json_loadb(str_chars(content), content.len, 0, &why);
    if (!root || number(root, "version") != MEMO_VERSION) {
        json_decref(root);
        return ERR_SYNTAX;
    }
    if (boot_id.len == 0 || !str_eq(boot_id, str_from(text(root, "boot_id")))) {
        json_decref(root);
        return ERR_NOT_FOUND;
    }
    h->kernel_seq = number(root, "kernel_seq");
    json_array_foreach(json_object_get(root, "gpus"), i, one)
    {
        take_gpu(h, one, m);
    }
    json_decref(root);
    return ERR_OK;
}

/* --- the file --- */

enum err gpu_memo_load(struct gpu_host *h, const char *path, struct str boot_id,
                       struct moment m)
{
    char *content = NULL;
    size_t len = 0;
    enum err e = conf_read_file(path, MEMO_MAX, &content, &len);
    if (e == ERR_OK) {
        e = gpu_memo_read(h, str_of(content, len), boot_id, m);
        free(content);
    }
    return e;
}

static bool write_all(const char *path, struct str s)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return false;
    }
    errno = ENOSPC; /* what a short write means */
    bool is_written = write(fd, s.ptr, s.len) == (ssize_t)s.len;
    int error = errno;
    (void)close(fd);
    errno = error;
    return is_written;
}

enum err gpu_memo_save(const struct gpu_host *h, const char *path, struct str boot_id,
                       struct moment m, const char **why)
{
    struct arena a;
    arena_init(&a);
    const char *beside = arena_printf(&a, "%s.new", path).ptr;
    bool is_saved =
        write_all(beside, gpu_memo_text(h, boot_id, m, &a)) && rename(beside, path) == 0;
    if (!is_saved) {
        *why = strerror(errno);
    }
    arena_fini(&a);
    return is_saved ? ERR_OK : ERR_IO;
}

void gpu_memo_boot_id(const char *proc_root, char out[BOOT_ID_MAX])
{
    char path[256];
    char room[BOOT_ID_MAX];
    (void)snprintf(path, sizeof(path), "%s/sys/kernel/random/boot_id", proc_root);
    out[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    ssize_t got = read(fd, room, sizeof(room) - 1);
    (void)close(fd);
    if (got > 0) {
        struct str line = str_of(room, (size_t)got);
        text_tame(str_cut(&line, '\n'), out, BOOT_ID_MAX);
    }
}
