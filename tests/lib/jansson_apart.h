#pragma once

/*
 * jansson next to wire/json.h in one file: both have JSON_OBJECT and its like, and jansson has
 * a macro json_is_true. Here jansson's get other names.
 */

#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#define JSON_TRUE JANSSON_TRUE
#define JSON_FALSE JANSSON_FALSE
#define JSON_NULL JANSSON_NULL

#include <jansson.h>

#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_TRUE
#undef JSON_FALSE
#undef JSON_NULL
#undef json_is_true
