#include "guard/hush.h"

#include <string.h>

void hush_add(struct hush *h, struct str secret)
{
    if (secret.len >= HUSH_SHORTEST && h->count < HUSH_MAX) {
        h->secret[h->count++] = secret;
    }
}

/* "--api-key", and neither "--tokenizer" nor "--max-tokens". */
static bool is_secret_option(struct str option)
{
    static const struct str names[] = {STR_INIT("key"), STR_INIT("token"), STR_INIT("password"),
                                       STR_INIT("secret")};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (str_starts(option, STR("-")) && str_ends(option, names[i])) {
            return true;
        }
    }
    return false;
}

void hush_add_words(struct hush *h, char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct str rest = str_from(words[i]);
        struct str option = str_cut(&rest, '=');
        if (!is_secret_option(option)) {
            continue;
        }
        if (rest.len > 0) {
            hush_add(h, rest);
        } else if (i + 1 < count) {
            hush_add(h, str_from(words[i + 1]));
        }
    }
}

void hush_line(const struct hush *h, char *line, size_t len)
{
    for (size_t i = 0; i < h->count; i++) {
        struct str s = h->secret[i];
        char *at = line;
        char *found = len > 0 ? memmem(line, len, s.ptr, s.len) : NULL;
        while (found) {
            memset(found, '*', s.len);
            at = found + s.len;
            found = memmem(at, len - (size_t)(at - line), s.ptr, s.len);
        }
    }
}
