#pragma once

#include <stddef.h>

/*
 * The files under web/, as they were when the program was built (tools/embed.py makes the .c).
 */

struct web_asset {
    const char *path; /* "/", "/assets/app.js" */
    const char *content_type;
    const char *etag; /* with its quotes; changes with the bytes */
    const unsigned char *bytes;
    size_t size;
};

extern const struct web_asset WEB_ASSETS[];
extern const size_t WEB_ASSET_COUNT;
