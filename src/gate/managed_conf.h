#pragma once

#include "gate/settings.h"

/*
 * The configuration of a managed backend's guard (docs/guard.md), made of what the gateway's
 * says about it. It may hold secrets, so it is never a file that others could read.
 */

/* A descriptor of it, without a name; the caller closes it. -1: out of descriptors. */
NODISCARD int managed_conf_open(const struct settings *s, const struct backend *b);
