#include "alert/reply.h"

#include <stdio.h>
#include <string.h>

#include "alert/clean.h"
#include "base/check.h"
#include "base/utf8.h"

enum { FAREWELL = 221, SECRET_LEAST = 4 };

/* --- SMTP --- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "250-text" or "250 text"; 0: neither. */
static int code_of(struct str line)
{
    bool is_reply = line.len >= 3 && line.ptr[0] >= '2' && line.ptr[0] <= '5' &&
                    is_digit(line.ptr[1]) && is_digit(line.ptr[2]) &&
                    (line.len == 3 || line.ptr[3] == ' ' || line.ptr[3] == '-');
    return is_reply ? (line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 + line.ptr[2] - '0'
                    : 0;
}

static struct str without_end(struct str line)
{
    while (str_ends(line, STR("\n")) || str_ends(line, STR("\r"))) {
        line.len--;
    }
    return line;
}

static void note(char words[SMTP_WORDS], struct str line, bool is_next)
{
    size_t len = is_next ? strlen(words) : 0;
    struct str text = is_next ? str_from_at(line, 4) : line;
    (void)snprintf(words + len, SMTP_WORDS - len, "%s%.*s", is_next ? " " : "", STR_FMT(text));
}

void smtp_replies_take(struct smtp_replies *r, struct str line)
{
    line = without_end(line);
    int code = code_of(line);
    if (code == 0 || code == FAREWELL) {
        return;
    }
    bool is_next = r->goes_on && code == r->last;
    note(r->last_words, line, is_next);
    if (code >= 400) {
        note(r->failure_words, line, is_next);
        r->failure = code;
    }
    r->last = code;
    r->goes_on = line.len > 3 && line.ptr[3] == '-';
}

enum delivery smtp_replies_judge(const struct smtp_replies *r)
{
    return r->last >= 500 ? DELIVERY_REFUSED : DELIVERY_LATER;
}

/* --- HTTP --- */

enum delivery reply_judge_http(int status)
{
    enum { REQUEST_TIMEOUT = 408, TOO_EARLY = 425, TOO_MANY = 429 };
    if (status >= 200 && status < 300) {
        return DELIVERED;
    }
    bool is_later = status < 200 || status >= 500 || status == REQUEST_TIMEOUT ||
                    status == TOO_EARLY || status == TOO_MANY;
    return is_later ? DELIVERY_LATER : DELIVERY_REFUSED;
}

/* --- words --- */

/* With each secret in it as "***". */
static struct str hide(struct str text, struct str secret, struct arena *a)
{
    static const char BLOT[] = "***";
    char *out = arena_alloc(a, text.len + 1);
    size_t len = 0;
    if (secret.len < SECRET_LEAST) {
        return text;
    }
    while (text.len > 0) {
        bool is_here = str_starts(text, secret);
        size_t size = is_here ? sizeof(BLOT) - 1 : 1;
        memcpy(out + len, is_here ? BLOT : text.ptr, size);
        len += size;
        text = str_from_at(text, is_here ? secret.len : 1);
    }
    return str_of(out, len);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Single spaces in place of runs of white space, none at the ends. */
static struct str squeeze(struct str text, struct arena *a)
{
    char *out = arena_alloc(a, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_space(text.ptr[i])) {
            out[len++] = text.ptr[i];
        } else if (len > 0 && out[len - 1] != ' ') {
            out[len++] = ' ';
        }
    }
    return str_trim(str_of(out, len));
}

void reply_put(char *out, size_t size, struct str text, const struct str *secrets,
               size_t secret_count)
{
    struct arena a;
    CHECK(size > 0);
    arena_init(&a);
    for (size_t i = 0; i < secret_count; i++) {
        text = hide(text, secrets[i], &a);
    }
    text = utf8_cut(clean_text(&a, squeeze(text, &a)), size - 1);
    (void)snprintf(out, size, "%.*s", STR_FMT(text));
    arena_fini(&a);
}
