#include "tiers/alert.h"

#include "base/check.h"

const char *alert_moment_name(enum alert_moment m)
{
    static const char *const NAMES[] = {"opened", "worsened", "over", "digest", "test"};
    CHECK(m <= ALERT_TEST);
    return NAMES[m];
}
