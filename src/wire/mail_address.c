#include "wire/mail_address.h"

#include <string.h>

/* RFC 5321 4.5.3.1. */
enum { LOCAL_MAX = 64, ADDRESS_MAX = 254, LABEL_MAX = 63 };

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Atoms of RFC 5322 3.2.3, with single dots between them. */
static bool is_dot_string(struct str s)
{
    bool was_dot = true;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool is_atom =
            is_letter_or_digit(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
        if (!is_atom && (c != '.' || was_dot)) {
            return false;
        }
        was_dot = c == '.';
    }
    return !was_dot;
}

static bool is_label(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_letter_or_digit(s.ptr[i]) && s.ptr[i] != '-') {
            return false;
        }
    }
    return s.len > 0 && s.len <= LABEL_MAX && s.ptr[0] != '-' && s.ptr[s.len - 1] != '-';
}

static bool is_host(struct str s)
{
    bool is_good = s.len > 0 && s.ptr[s.len - 1] != '.';
    while (s.len > 0) {
        is_good = is_label(str_cut(&s, '.')) && is_good;
    }
    return is_good;
}

static bool refuse(const char **why, const char *text)
{
    *why = text;
    return false;
}

bool mail_address_is_good(struct str address, const char **why)
{
    struct str domain = address;
    if (address.len == 0 || !memchr(address.ptr, '@', address.len)) {
        return refuse(why, "it has no '@'");
    }
    struct str local = str_cut(&domain, '@');
    if (address.len > ADDRESS_MAX || local.len > LOCAL_MAX) {
        return refuse(why, "it is too long");
    }
    if (!is_dot_string(local)) {
        return refuse(why, "the part before the '@' is malformed");
    }
    return is_host(domain) ? true : refuse(why, "the part after the '@' is no host name");
}
