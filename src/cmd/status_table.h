#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

/*
 * The answer of the admin port's /status (ops/status.h) as a table for people: a row for each
 * model, tier and backend, and for each backend that no model uses. Members that are missing or
 * of another type show as "-", so that a newer or older gateway can be asked too. Pure but for
 * `out`.
 */
void status_table_print(const json_t *status, FILE *out, bool in_color);

/* "850ms", "12s", "3m12s", "5h02m", "3d04h": how long something lasts; `size` >= 24. */
void status_table_duration(double seconds, char *out, size_t size);
