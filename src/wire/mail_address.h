#pragma once

#include <stdbool.h>

#include "base/str.h"

/*
 * Addresses that mail is sent to and from: local@domain in the plain form of RFC 5321 (a
 * dot-string and a host name), ASCII only. Quoted local parts, comments, display names and
 * address literals are not taken, so that nothing in an address can end a header or a command.
 * Pure.
 */

/* False: *why says what is wrong with it, in words that fit behind a colon. */
bool mail_address_is_good(struct str address, const char **why);
