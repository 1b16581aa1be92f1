#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "alert/delivery.h"
#include "base/mem.h"
#include "base/str.h"

/*
 * What servers say to a delivery, and what that means for it. Pure.
 */

enum { SMTP_WORDS = 512 };

/* The replies of one SMTP session, line by line. Zeroed, it has seen none. */
struct smtp_replies {
    int last;                    /* code of the last reply, but for a farewell (221); 0: none */
    int failure;                 /* code of the last one that refused something; 0: none */
    char last_words[SMTP_WORDS]; /* with its code; lines of one reply are joined */
    char failure_words[SMTP_WORDS];

    /* private: */
    bool goes_on; /* the last line announced another of the same reply */
};

/* A line as it came, with or without its end. What is no reply is left out. */
void smtp_replies_take(struct smtp_replies *r, struct str line);

/* Of a session that ended in failure: by its last reply, so that one who refused a recipient
 * and then fell silent may be asked again. */
enum delivery smtp_replies_judge(const struct smtp_replies *r);

/* Of an HTTP status. */
enum delivery reply_judge_http(int status);

/* A server's text for people: on one line, single spaces, clean, cut to the size of `out`, and
 * each of the secrets (those of at least 4 bytes) blotted out wherever it comes. */
void reply_put(char *out, size_t size, struct str text, const struct str *secrets,
               size_t secret_count);
