#include "base/err.h"

#include <errno.h>

#include "base/check.h"

const char *err_name(enum err e)
{
    static const char *const names[] = {
#define ERR_NAME(name, text) #name,
        ERR_LIST(ERR_NAME)
#undef ERR_NAME
    };
    CHECK(e < ERR_COUNT);
    return names[e];
}

const char *err_text(enum err e)
{
    static const char *const texts[] = {
#define ERR_TEXT(name, text) text,
        ERR_LIST(ERR_TEXT)
#undef ERR_TEXT
    };
    CHECK(e < ERR_COUNT);
    return texts[e];
}

enum err err_from_errno(int errno_value)
{
    switch (errno_value) {
    case 0:
        return ERR_OK;
    case EAGAIN:
    case EINPROGRESS:
    case EINTR:
        return ERR_AGAIN;
    case ECONNREFUSED:
    case ENOENT: /* a unix socket that is not there */
        return ERR_REFUSED;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
        return ERR_RESET;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EADDRNOTAVAIL:
    case ENETDOWN:
    case EHOSTDOWN:
        return ERR_UNREACHABLE;
    case EMFILE:
    case ENFILE:
        return ERR_NO_FDS;
    case EADDRINUSE:
        return ERR_BUSY;
    default:
        return ERR_IO;
    }
}
