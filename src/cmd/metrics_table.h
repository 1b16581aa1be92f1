#pragma once

/*
 * For tools/metrics_products.py, not for people: the table of metrics (ops/metrics.h) as JSON,
 * from which the documentation, the dashboard and the alert rules are made.
 *
 *     [{"name":…,"type":"counter","labels":["model"],"help":…},…]
 */

#define METRICS_TABLE_COMMAND "metrics-table"

/* The exit status. */
int metrics_table_main(void);
