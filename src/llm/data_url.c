#include "llm/data_url.h"

#include <ctype.h>

static bool is_base64(struct str s)
{
    size_t padding = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        padding += c == '=';
        bool is_digit = (c < 0x80 && isalnum(c)) || c == '+' || c == '/';
        if (!is_digit && c != '=') {
            return false;
        }
        if (is_digit && padding > 0) {
            return false;
        }
    }
    return s.len > 0 && padding <= 2;
}

bool data_url_read(struct str url, struct data_url *out)
{
    const struct str tail = STR(";base64");
    if (!str_starts_nocase(url, STR("data:"))) {
        return false;
    }
    struct str head = str_cut(&url, ',');
    if (head.len <= tail.len || !str_eq_nocase(str_from_at(head, head.len - tail.len), tail) ||
        !is_base64(url)) {
        return false;
    }
    struct str type = str_of(head.ptr + 5, head.len - 5);
    *out = (struct data_url){.media_type = str_cut(&type, ';'), .payload = url};
    return true;
}
