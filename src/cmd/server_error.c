#include "cmd/server_error.h"

#include "base/utf8.h"
#include "cmd/escape.h"
#include "wire/json.h"

enum { SHOWN_MAX = 300 };

struct str server_error_text(struct str body, struct arena *a)
{
    struct str text;
    size_t at = 0;
    if (json_check(body, &at) != ERR_OK) {
        return STR("");
    }
    struct str error = json_get(json_value(body), "error");
    struct str message = json_get(error, "message");
    if (json_text(message.len > 0 ? message : error, a, &text) != ERR_OK) {
        return STR("");
    }
    return utf8_cut(escape_text(a, text, ""), SHOWN_MAX);
}
