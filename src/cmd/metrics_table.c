#include "cmd/metrics_table.h"

#include <jansson.h>
#include <stdio.h>

#include "base/check.h"
#include "cmd/options.h"
#include "ops/metrics.h"

static json_t *row_of(const struct family *f)
{
    json_t *labels = json_array();
    for (size_t i = 0; f->labels[i]; i++) {
        CHECK(json_array_append_new(labels, json_string(f->labels[i])) == 0);
    }
    json_t *row = json_pack("{s:s, s:s, s:o, s:s}", "name", f->name, "type",
                            metric_kind_name(f->kind), "labels", labels, "help", f->help);
    CHECK(row);
    return row;
}

int metrics_table_main(void)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < metrics_count(); i++) {
        CHECK(json_array_append_new(rows, row_of(&metrics_at(i)->family)) == 0);
    }
    int failed = json_dumpf(rows, stdout, JSON_INDENT(1));
    json_decref(rows);
    return failed == 0 && putchar('\n') != EOF ? CMD_FINE : CMD_FAILED;
}
