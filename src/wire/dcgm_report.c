#include "wire/dcgm_report.h"

#include <math.h>

#include "wire/prom_text.h"

/* A label's value as it is written between the quotes; empty: there is none of that name. */
static struct str label_of(struct str labels, struct str name)
{
    while (labels.len > 0) {
        struct str key = str_trim(str_cut(&labels, '='));
        size_t end = 1;
        labels = str_trim(labels);
        if (labels.len == 0 || labels.ptr[0] != '"') {
            break;
        }
        while (end < labels.len && labels.ptr[end] != '"') {
            end += labels.ptr[end] == '\\' ? 2 : 1;
        }
        if (end >= labels.len) {
            break;
        }
        if (str_eq(key, name)) {
            return str_of(labels.ptr + 1, end - 1);
        }
        labels = str_trim(str_from_at(labels, end + 1));
        if (labels.len > 0 && labels.ptr[0] == ',') {
            labels = str_from_at(labels, 1);
        }
    }
    return STR("");
}

/* DCGM_FIGURES: another one. */
static enum dcgm_figure find_figure(struct str name)
{
    static const struct {
        struct str name;
        enum dcgm_figure figure;
    } names[] = {
        {STR_INIT("DCGM_FI_DEV_GPU_RECOVERY_ACTION"), DCGM_RECOVERY},
        {STR_INIT("DCGM_FI_DEV_XID_ERRORS"), DCGM_XID},
        {STR_INIT("DCGM_FI_DEV_CLOCKS_EVENT_REASONS"), DCGM_CLOCKS},
        {STR_INIT("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"), DCGM_CLOCKS}, /* until 3.3 */
        {STR_INIT("DCGM_FI_DEV_MEMORY_TEMP"), DCGM_MEMORY_C},
        {STR_INIT("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL"), DCGM_DBE},
        {STR_INIT("DCGM_FI_DEV_ROW_REMAP_FAILURE"), DCGM_UNMAPPED},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (str_eq(name, names[i].name)) {
            return names[i].figure;
        }
    }
    return DCGM_FIGURES;
}

/* The GPU of these labels, a new one if need be; NULL: there is no room for it. */
static struct dcgm_gpu *find_gpu(struct dcgm_report *r, struct str index, struct str labels)
{
    for (size_t i = 0; i < r->count; i++) {
        if (str_eq(r->gpu[i].index, index)) {
            return &r->gpu[i];
        }
    }
    if (r->count == DCGM_GPUS_MAX) {
        return NULL;
    }
    struct dcgm_gpu *g = &r->gpu[r->count++];
    g->index = index;
    g->uuid = label_of(labels, STR("UUID"));
    for (size_t i = 0; i < DCGM_FIGURES; i++) {
        g->figure[i] = (double)NAN;
    }
    return g;
}

enum err dcgm_report_read(struct str body, struct dcgm_report *out)
{
    struct prom_sample s;
    out->count = 0;
    while (prom_next(&body, &s)) {
        if (!str_starts(s.name, STR("DCGM_FI_"))) {
            continue;
        }
        struct str index = label_of(s.labels, STR("gpu"));
        struct dcgm_gpu *g = index.len > 0 ? find_gpu(out, index, s.labels) : NULL;
        enum dcgm_figure figure = find_figure(s.name);
        if (index.len > 0 && !g) {
            return ERR_TYPE;
        }
        if (g && figure != DCGM_FIGURES) { /* of its slices the worst */
            double *at = &g->figure[figure];
            *at = isnan(*at) || s.value > *at ? s.value : *at;
        }
    }
    return out->count > 0 ? ERR_OK : ERR_TYPE;
}
