#pragma once

/*
 * What happened: one code per kind of thing that the world can do to us. What to do about it is
 * policy and lives elsewhere (tiers/verdict). The list is written once; the enum, the names and
 * the texts come from it.
 */

#define ERR_LIST(X)                                 \
    X(OK, "no error")                               \
    X(AGAIN, "nothing more now")                    \
    X(EOF, "ended")                                 \
    X(SYNTAX, "malformed")                          \
    X(UTF8, "not valid UTF-8")                      \
    X(TOO_LARGE, "over the limit")                  \
    X(TOO_DEEP, "nested too deeply")                \
    X(DUPLICATE, "given twice")                     \
    X(NOT_FOUND, "not found")                       \
    X(TYPE, "of the wrong type")                    \
    X(RANGE, "out of range")                        \
    X(UNSUPPORTED, "not supported")                 \
    X(REFUSED, "connection refused")                \
    X(RESET, "connection reset")                    \
    X(CLOSED, "connection closed before an answer") \
    X(TRUNCATED, "ended before it was complete")    \
    X(TIMEOUT, "timed out")                         \
    X(UNREACHABLE, "host unreachable")              \
    X(DNS, "name could not be resolved")            \
    X(TLS, "TLS failed")                            \
    X(NO_FDS, "out of file descriptors")            \
    X(BUSY, "in use")                               \
    X(IO, "input/output error")

enum err {
#define ERR_ENUM(name, text) ERR_##name,
    ERR_LIST(ERR_ENUM)
#undef ERR_ENUM
        ERR_COUNT
};

#define NODISCARD __attribute__((warn_unused_result))

/* The name in capitals as in the list ("TOO_LARGE"); static storage. */
const char *err_name(enum err e);

/* Text that reads in a sentence ("over the limit"); static storage. */
const char *err_text(enum err e);

/* The code for an errno value of a socket or file call; ERR_IO for those not listed. */
enum err err_from_errno(int errno_value);
