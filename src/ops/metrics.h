#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "ops/exposition.h"
#include "ops/process_figures.h"
#include "ops/status.h"

/*
 * The metrics of GET /metrics: one table, a row a family, in a file a subject
 * (ops/metrics_*.c). From it come the text, with HELP and TYPE, and the table in
 * docs/metrics.md, which tools/metrics_products.py writes and a test compares. To add a metric,
 * add a row and its writer, and run that.
 *
 * Values are read from atomics that workers write without waiting for anybody, so a scrape
 * stops nobody; it sees each number as it is at some moment of the scrape. Label values are
 * names from the configuration and words from tables, nothing that a client sent.
 */

/* What the writers of one scrape read. */
struct scrape {
    const struct status_source *source;
    uint64_t now_ms;
    const struct meters *meters;
    struct process_figures process;
};

struct metric {
    struct family family;
    void (*write)(struct exposition *e, const struct scrape *s); /* its samples */
};

/* In the order of the text. */
size_t metrics_count(void);
const struct metric *metrics_at(size_t index);

/* All of them, into e. False: they are longer than e allows, and e is not whole. */
bool metrics_write(const struct status_source *source, uint64_t now_ms, struct exposition *e);
