#pragma once

#include <jansson.h>

#include "base/mem.h"
#include "tiers/alert.h"

/*
 * An alert for Prometheus' Alertmanager (POST /api/v2/alerts). Alertmanager knows an alert by
 * all its labels and ends one that is not sent again after its `resolve_timeout`, unless it
 * says itself when it ends. We tell each thing once: so what is open ends in a day, and what is
 * over, or has another severity by now, is sent with an end that has come. Pure.
 * https://prometheus.io/docs/alerting/latest/alerts_api/
 */

/* A new reference: an array of one alert or more. */
json_t *hook_alertmanager(const struct alert *alert, struct arena *a);
