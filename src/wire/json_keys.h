#pragma once

#include "base/str.h"

/*
 * Keys that are there twice; private to wire/json*.c.
 */

/* Orders raw keys by the text that they stand for: less than 0, 0 or more, as memcmp. */
int json_compare_keys(struct str a, struct str b);

/* Checked text only, an object: the first key that was there before, without its quote; NULL
 * when all differ. Sorts the keys and compares neighbours; not a hash table, because a client
 * could choose keys that collide. */
const char *json_find_twin(struct str text);
