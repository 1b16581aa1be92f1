#include "wire/agent_report.h"

#include "wire/json.h"

/* A text, or empty for null and where there is none. False: it is something else. */
static bool take_text(struct str value, struct arena *a, struct str *out)
{
    *out = STR("");
    if (value.len == 0 || json_type_of(value) == JSON_NULL) {
        return true;
    }
    return json_text(value, a, out) == ERR_OK;
}

static bool take_number(struct str value, bool *has, uint64_t *out)
{
    *out = 0;
    *has = value.len > 0 && json_type_of(value) != JSON_NULL;
    return !*has || json_u64(value, INT64_MAX, out) == ERR_OK;
}

static void take_slices(struct str slices, struct arena *a, struct agent_gpu *out)
{
    struct json_iter it;
    json_iter_init(&it, slices);
    while (out->slice_count < AGENT_SLICES_MAX && json_iter_next(&it)) {
        struct str *uuid = &out->slice[out->slice_count];
        bool is_one = json_type_of(it.value) == JSON_OBJECT;
        if (is_one && take_text(json_get(it.value, "uuid"), a, uuid) && uuid->len > 0) {
            out->slice_count++;
        }
    }
}

static bool take_gpu(struct str gpu, struct arena *a, struct agent_gpu *out)
{
    *out = (struct agent_gpu){.has_index = false};
    if (json_type_of(gpu) != JSON_OBJECT) {
        return false;
    }
    take_slices(json_path(gpu, "mig", "slices", NULL), a, out);
    return take_number(json_get(gpu, "index"), &out->has_index, &out->index) &&
           take_text(json_get(gpu, "uuid"), a, &out->uuid) &&
           take_text(json_get(gpu, "state"), a, &out->state) && out->state.len > 0 &&
           take_text(json_get(gpu, "advice"), a, &out->advice) &&
           take_text(json_get(gpu, "reason"), a, &out->reason) &&
           take_text(json_get(gpu, "why"), a, &out->why);
}

static enum err read_object(struct str body, struct str *root)
{
    size_t at;
    enum err e = json_check(body, &at);
    if (e != ERR_OK) {
        return e;
    }
    *root = json_value(body);
    return json_type_of(*root) == JSON_OBJECT ? ERR_OK : ERR_TYPE;
}

enum err agent_report_read(struct str body, struct arena *a, struct agent_report *out)
{
    struct json_iter it;
    struct str root;
    struct str sees;
    bool has_seq = false;
    enum err e = read_object(body, &root);
    if (e != ERR_OK) {
        return e;
    }
    out->count = 0;
    struct str gpus = json_get(root, "gpus");
    if (!take_number(json_get(root, "seq"), &has_seq, &out->seq) || !has_seq ||
        !take_number(json_get(root, "age_ms"), &out->has_age, &out->age_ms) ||
        !take_text(json_get(root, "gpu"), a, &sees) || json_type_of(gpus) != JSON_ARRAY) {
        return ERR_TYPE;
    }
    out->sees = str_eq(sees, STR("nvidia"));
    out->is_late = json_is_true(json_get(root, "late"));
    json_iter_init(&it, gpus);
    while (json_iter_next(&it)) {
        if (out->count == AGENT_GPUS_MAX || !take_gpu(it.value, a, &out->gpu[out->count])) {
            return ERR_TYPE;
        }
        out->count++;
    }
    return ERR_OK;
}

enum err guard_report_read(struct str body, struct arena *a, struct guard_report *out)
{
    struct str root;
    enum err e = read_object(body, &root);
    if (e != ERR_OK) {
        return e;
    }
    bool is_one = take_text(json_get(root, "state"), a, &out->state) && out->state.len > 0 &&
                  take_text(json_get(root, "reason"), a, &out->reason) &&
                  take_number(json_path(root, "restarts", "total", NULL), &out->has_restarts,
                              &out->restarts);
    return is_one ? ERR_OK : ERR_TYPE;
}
