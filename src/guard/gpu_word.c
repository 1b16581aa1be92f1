#include "guard/gpu_word.h"

#include <stdio.h>

#include "base/mem.h"
#include "wire/json.h"

enum { PRINTABLE_FIRST = ' ', PRINTABLE_LAST = '~' };

static struct str text_of(struct str object, const char *key, struct arena *a)
{
    struct str text = STR("");
    struct str value = json_get(object, key);
    return json_type_of(value) == JSON_STRING && json_text(value, a, &text) == ERR_OK ? text
                                                                                      : STR("");
}

/* Telling words of a recovery action or a reason. */
static bool asks_for_reset(struct str text, struct arena *a)
{
    static const struct str words[] = {STR_INIT("reset"),   STR_INIT("reboot"),
                                       STR_INIT("restart"), STR_INIT("power"),
                                       STR_INIT("lost"),    STR_INIT("fallen off")};
    struct str low = arena_dup(a, text);
    char *at = arena_alloc(a, text.len + 1);
    for (size_t i = 0; i < text.len; i++) {
        char ch = low.ptr[i];
        at[i] = ch >= 'A' && ch <= 'Z' ? (char)(ch - 'A' + 'a') : ch;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (str_has(str_of(at, text.len), words[i])) {
            return true;
        }
    }
    return false;
}

/* NVML's numbers: 1 reset, 2 reboot of the node, 4 drain and reset; 3 and 5 are no matter of
 * one machine's start. */
static bool is_reset_number(struct str action)
{
    uint64_t n = 0;
    return json_type_of(action) == JSON_NUMBER && json_u64(action, UINT32_MAX, &n) == ERR_OK &&
           (n == 1 || n == 2 || n == 4);
}

static bool needs_reset(struct str gpu, struct arena *a)
{
    return str_eq_nocase(text_of(gpu, "state", a), STR("DOWN")) &&
           (is_reset_number(json_get(gpu, "recovery_action")) ||
            asks_for_reset(text_of(gpu, "recovery_action", a), a) ||
            asks_for_reset(text_of(gpu, "reason", a), a));
}

static void explain(struct str gpu, struct arena *a, struct gpu_word *out)
{
    struct str uuid = text_of(gpu, "uuid", a);
    struct str reason = text_of(gpu, "reason", a);
    (void)snprintf(out->why, sizeof(out->why), "GPU %.60s is DOWN and needs a reset: %.100s",
                   uuid.len > 0 ? arena_dup(a, uuid).ptr : "(unnamed)",
                   reason.len > 0 ? arena_dup(a, reason).ptr : "no reason given");
    for (char *at = out->why; *at != '\0'; at++) {
        *at = *at < PRINTABLE_FIRST || *at > PRINTABLE_LAST ? '?' : *at;
    }
}

static bool is_ours(const struct gpu_query *q, uint64_t pid)
{
    for (size_t i = 0; i < q->pid_count; i++) {
        if ((uint64_t)q->pids[i] == pid) {
            return true;
        }
    }
    return false;
}

static void take_free(struct str memory, struct gpu_word *out)
{
    uint64_t total = 0;
    uint64_t used = 0;
    if (json_u64(json_get(memory, "total"), INT64_MAX, &total) == ERR_OK && total > 0 &&
        json_u64(json_get(memory, "used"), INT64_MAX, &used) == ERR_OK) {
        uint64_t rest = total > used ? total - used : 0;
        out->has_free = true;
        out->most_free = rest > out->most_free ? rest : out->most_free;
    }
}

static void take_memory(struct str memory, const struct gpu_query *q, struct gpu_word *out)
{
    struct json_iter it;
    uint64_t n = 0;
    struct str processes = json_get(memory, "processes");
    if (json_u64(json_get(memory, "used_bytes"), INT64_MAX, &n) == ERR_OK) {
        out->used += n;
    }
    out->has_processes = out->has_processes || json_type_of(processes) == JSON_ARRAY;
    for (json_iter_init(&it, processes); json_iter_next(&it);) {
        bool is_object = json_type_of(it.value) == JSON_OBJECT;
        if (is_object && json_u64(json_get(it.value, "pid"), INT32_MAX, &n) == ERR_OK &&
            is_ours(q, n)) {
            out->holds_ours = true;
            out->holder = (int64_t)n;
        }
    }
}

static bool is_meant(const struct gpu_query *q, struct str uuid)
{
    for (size_t i = 0; i < q->only_count; i++) {
        if (str_eq_nocase(uuid, q->only[i])) {
            return true;
        }
    }
    return q->only_count == 0;
}

static void take_gpu(struct str gpu, const struct gpu_query *q, struct arena *a,
                     struct gpu_word *out)
{
    if (!is_meant(q, text_of(gpu, "uuid", a))) {
        return;
    }
    if (!out->needs_reset && needs_reset(gpu, a)) {
        out->needs_reset = true;
        explain(gpu, a, out);
    }
    struct str memory = json_get(gpu, "memory");
    if (json_type_of(memory) == JSON_OBJECT) {
        take_free(memory, out);
        take_memory(memory, q, out);
    }
}

enum err gpu_word_read(struct str body, const struct gpu_query *q, struct gpu_word *out)
{
    struct arena a;
    struct json_iter it;
    size_t at;
    *out = (struct gpu_word){.needs_reset = false};
    if (json_check(body, &at) != ERR_OK || json_type_of(json_value(body)) != JSON_OBJECT) {
        return ERR_TYPE;
    }
    struct str gpus = json_get(json_value(body), "gpus");
    arena_init(&a);
    for (json_iter_init(&it, json_type_of(gpus) == JSON_ARRAY ? gpus : STR("[]"));
         json_iter_next(&it);) {
        if (json_type_of(it.value) == JSON_OBJECT) {
            take_gpu(it.value, q, &a, out);
        }
    }
    arena_fini(&a);
    return ERR_OK;
}
