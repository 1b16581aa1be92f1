#include "tiers/alert_policy.h"

#include "base/check.h"

const char *alert_format_name(enum alert_format f)
{
    static const char *const NAMES[] = {"mail", "json", "slack", "pagerduty", "alertmanager"};
    CHECK(f <= ALERT_ALERTMANAGER);
    return NAMES[f];
}
