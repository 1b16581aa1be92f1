#pragma once

#include "base/mem.h"
#include "base/str.h"

/* What the body of an error answer says, escaped and cut for a person:
 * {"error":{"message":"…"}} or
 * {"error":"…"}; "" for any other body. Lives as long as the arena. */
struct str server_error_text(struct str body, struct arena *a);
