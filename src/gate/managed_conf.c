#include "gate/managed_conf.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"

/* A guard's interval between looks, and how long an answer of its backend's may take. */
static const char INTERVAL[] = "1s";

static void put(json_t *o, const char *key, json_t *value)
{
    CHECK(json_object_set_new(o, key, value) == 0);
}

/* As the reader of the configuration wants it: a dollar sign twice. */
static json_t *text(struct arena *a, struct str s)
{
    size_t len = 0;
    char *out = arena_alloc(a, 2 * s.len + 1);
    for (size_t i = 0; i < s.len; i++) {
        out[len++] = s.ptr[i];
        if (s.ptr[i] == '$') {
            out[len++] = '$';
        }
    }
    json_t *value = json_stringn(out, len);
    CHECK(value != NULL); /* the configuration is valid UTF-8 */
    return value;
}

static json_t *duration(struct arena *a, uint32_t ms)
{
    return json_string(arena_printf(a, "%ums", (unsigned)ms).ptr);
}

static json_t *backend_object(const struct settings *s, const struct backend *b,
                              struct arena *a)
{
    json_t *o = json_object();
    put(o, "url", text(a, b->url));
    put(o, "type", json_string(backend_type_name(b->type)));
    if (b->serving_count > 0) {
        put(o, "model", text(a, s->catalog.servings[b->first_serving].model));
    }
    if (b->api_key.len > 0) {
        put(o, "api_key", text(a, b->api_key));
    }
    return o;
}

static json_t *command_array(const struct managed_policy *m, struct arena *a)
{
    json_t *words = json_array();
    for (char *const *word = m->command; *word; word++) {
        CHECK(json_array_append_new(words, text(a, str_from(*word))) == 0);
    }
    return words;
}

static void put_times(json_t *o, const struct managed_policy *m, struct arena *a)
{
    json_t *stop = json_object();
    json_t *backoff = json_object();
    json_t *give_up = json_object();
    put(stop, "term", duration(a, m->term_ms));
    put(stop, "rest", duration(a, m->rest_ms));
    put(stop, "kill", duration(a, m->kill_ms));
    put(backoff, "first", duration(a, m->first_ms));
    put(backoff, "max", duration(a, m->max_ms));
    put(give_up, "restarts", json_integer(m->give_up_restarts));
    put(give_up, "within", duration(a, m->give_up_within_ms));
    put(o, "interval", json_string(INTERVAL));
    put(o, "start_timeout", duration(a, m->start_ms));
    put(o, "hang_after", duration(a, m->hang_ms));
    put(o, "stop", stop);
    put(o, "backoff", backoff);
    put(o, "give_up", give_up);
}

static void put_agent(json_t *o, const struct managed_policy *m, struct arena *a)
{
    if (m->agent.len > 0) {
        put(o, "agent", text(a, m->agent));
        put(o, "needs_memory", json_integer((json_int_t)m->needs_memory));
    }
    if (m->agent_token.len > 0) {
        put(o, "agent_token", text(a, m->agent_token));
    }
}

static char *make_text(const struct settings *s, const struct backend *b, struct arena *a)
{
    const struct managed_policy *m = &b->managed;
    json_t *o = json_object();
    json_t *log = json_object();
    put(log, "level", json_string("info"));
    put(log, "format", json_string(s->log_format == LOG_JSON ? "json" : "logfmt"));
    put(o, "command", command_array(m, a));
    put(o, "backend", backend_object(s, b, a));
    put(o, "token", json_boolean(m->wants_token));
    put(o, "listen", json_string("off"));
    put(o, "cgroup", json_string("off")); /* the gateway's own is no place for it */
    put(o, "log", log);
    put_times(o, m, a);
    put_agent(o, m, a);
    char *out = json_dumps(o, JSON_COMPACT);
    CHECK(out != NULL);
    json_decref(o);
    return out;
}

static bool write_all(int fd, const char *from, size_t len)
{
    while (len > 0) {
        ssize_t wrote = write(fd, from, len);
        if (wrote <= 0) {
            return false;
        }
        from += wrote;
        len -= (size_t)wrote;
    }
    return true;
}

int managed_conf_open(const struct settings *s, const struct backend *b)
{
    struct arena a;
    int fd = memfd_create("fallthrough-guard", MFD_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    arena_init(&a);
    char *content = make_text(s, b, &a);
    size_t len = strlen(content);
    bool is_fine = write_all(fd, content, len);
    explicit_bzero(content, len);
    free(content);
    arena_fini(&a);
    if (!is_fine) {
        (void)close(fd);
        return -1;
    }
    return fd;
}
