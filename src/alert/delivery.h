#pragma once

#include <stdint.h>

/*
 * What became of one try to deliver an alert.
 */

enum delivery {
    DELIVERED,
    DELIVERY_LATER,  /* not now; the same may go through another time */
    DELIVERY_REFUSED /* not this one, and not later */
};

struct delivery_report {
    int status;              /* of SMTP or HTTP; 0: no answer was had */
    uint32_t retry_after_ms; /* where the server said when to come again; else 0 */
    char words[240];         /* the server's own, where it had some; else what went wrong, in
                                ours. One line of UTF-8, no secret in it */
};
