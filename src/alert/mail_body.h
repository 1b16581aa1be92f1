#pragma once

#include "alert/wording.h"
#include "base/mem.h"
#include "base/str.h"

/*
 * An alert as the two bodies of a mail. The HTML has no scripts, no pictures and nothing from
 * elsewhere: one narrow column of two cells a row, which a phone shows as it is. Lines end with
 * "\n"; texts live as long as the arena. Pure.
 */

struct str mail_body_text(const struct wording *w, struct arena *a);
struct str mail_body_html(const struct wording *w, enum severity severity, bool is_over,
                          struct arena *a);
