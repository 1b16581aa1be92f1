#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "wire/http_date.h"

static void reads_the_form_that_may_be_sent(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t seconds;
    } rows[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Tue, 29 Feb 2000 23:59:59 GMT", 951868799},
        {"Thu, 29 Feb 2024 00:00:00 GMT", 1709164800},
        {"Tue, 19 Jan 2038 03:14:08 GMT", 2147483648},
        {"Mon, 01 Mar 2100 00:00:00 GMT", 4107542400},
        {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
        {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800}, /* a leap second */
        {"Mon, 06 Nov 1994 08:49:37 GMT", 784111777},  /* it was a Sunday */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t wall_ms = 1;
        assert_int_equal(http_date_read(str_from(rows[i].text), &wall_ms), ERR_OK);
        assert_int_equal(wall_ms, rows[i].seconds * 1000);
    }
}

static void agrees_with_the_c_library_on_every_day(void **state)
{
    (void)state;
    for (time_t t = 0; t < (time_t)400 * 366 * 86400; t += 86400 + 3661) {
        struct tm tm;
        char text[32];
        uint64_t wall_ms = 0;
        gmtime_r(&t, &tm);
        (void)strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        assert_int_equal(http_date_read(str_from(text), &wall_ms), ERR_OK);
        assert_int_equal(wall_ms, (uint64_t)t * 1000);
    }
}

static void refuses_everything_else(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "30",
        "Sun",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GM",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Abc, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Abc 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Sun, 29 Feb 2023 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t wall_ms = 7;
        assert_int_equal(http_date_read(str_from(rows[i]), &wall_ms), ERR_SYNTAX);
        assert_int_equal(wall_ms, 7);
    }
}

static void tells_a_date_before_1970(void **state)
{
    (void)state;
    static const char *const rows[] = {"Wed, 31 Dec 1969 23:59:59 GMT",
                                       "Sat, 01 Jan 0000 00:00:00 GMT"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t wall_ms = 7;
        assert_int_equal(http_date_read(str_from(rows[i]), &wall_ms), ERR_RANGE);
        assert_int_equal(wall_ms, 7);
    }
}

static void takes_no_other_byte_at_any_place_of_the_form(void **state)
{
    (void)state;
    static const char good[] = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (size_t at = 0; at < sizeof(good) - 1; at++) {
        for (int byte = 0; byte < 256; byte++) {
            char text[sizeof(good)];
            uint64_t wall_ms = 0;
            memcpy(text, good, sizeof(good));
            text[at] = (char)byte;
            enum err e = http_date_read(str_of(text, sizeof(good) - 1), &wall_ms);
            bool is_digit = byte >= '0' && byte <= '9';
            bool was_digit = good[at] >= '0' && good[at] <= '9';
            assert_true(e != ERR_OK || byte == good[at] || (is_digit && was_digit));
        }
        uint64_t wall_ms = 0;
        assert_int_equal(http_date_read(str_of(good, at), &wall_ms), ERR_SYNTAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_form_that_may_be_sent),
        cmocka_unit_test(agrees_with_the_c_library_on_every_day),
        cmocka_unit_test(refuses_everything_else),
        cmocka_unit_test(tells_a_date_before_1970),
        cmocka_unit_test(takes_no_other_byte_at_any_place_of_the_form),
    };
    return cmocka_run_group_tests_name("wire/http_date", tests, NULL, NULL);
}
