#pragma once

#include <pthread.h>
#include <stddef.h>

#include "net/loop.h"

/*
 * What the other side of a connection does in a test, line by line; talk.h plays it.
 *
 *     {ACCEPT, HEAR(BLANK), SAY("HTTP/1.1 200 OK\r\n\r\n"), END}
 */

enum talk_op {
    TALK_END,
    TALK_ACCEPT, /* waits for a connection (servers) */
    TALK_SAY,    /* text */
    TALK_DRIP,   /* text, byte by byte */
    TALK_FLOOD,  /* number bytes 'x' */
    TALK_HEAR,   /* reads until text has come, after what was heard before */
    TALK_ALL,    /* reads to the end */
    TALK_WAIT,   /* number ms */
    TALK_FIN,    /* ends sending */
    TALK_CLOSE,
    TALK_RST
};

struct talk_line {
    enum talk_op op;
    const char *text;
    size_t number;
};

enum talk_ending { TALK_OPEN, TALK_FINISHED, TALK_RESET, TALK_TIMEOUT };

/* Who does it. */
struct talk {
    const struct talk_line *lines;
    struct loop *stops; /* stopped at the end of the script; may be NULL */
    int listener;       /* -1: none */
    int fd;             /* -1: none */
    pthread_t thread;
    char *heard; /* NUL-terminated */
    size_t len;
    size_t seen; /* of it, by TALK_HEAR */
    enum talk_ending ending;
    size_t accepted;
    _Atomic size_t sent; /* bytes; another thread may read it while the script is played */
};

#define ACCEPT            \
    {                     \
        .op = TALK_ACCEPT \
    }
#define SAY(t)                      \
    {                               \
        .op = TALK_SAY, .text = (t) \
    }
#define DRIP(t)                      \
    {                                \
        .op = TALK_DRIP, .text = (t) \
    }
#define FLOOD(n)                        \
    {                                   \
        .op = TALK_FLOOD, .number = (n) \
    }
#define HEAR(t)                      \
    {                                \
        .op = TALK_HEAR, .text = (t) \
    }
#define ALL            \
    {                  \
        .op = TALK_ALL \
    }
#define WAIT(n)                        \
    {                                  \
        .op = TALK_WAIT, .number = (n) \
    }
#define FIN            \
    {                  \
        .op = TALK_FIN \
    }
#define CLOSE            \
    {                    \
        .op = TALK_CLOSE \
    }
#define RST            \
    {                  \
        .op = TALK_RST \
    }
#define END            \
    {                  \
        .op = TALK_END \
    }

#define BLANK "\r\n\r\n" /* the end of a head */
