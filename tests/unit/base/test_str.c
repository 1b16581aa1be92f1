#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"

enum { LONGEST = 40 };

static bool is_same_folded(unsigned char a, unsigned char b)
{
    unsigned low_a = a >= 'A' && a <= 'Z' ? a + 32U : a;
    unsigned low_b = b >= 'A' && b <= 'Z' ? b + 32U : b;
    return low_a == low_b;
}

/* Texts that differ in one byte at most, at each place of each length. */
static void folds_each_pair_of_bytes_alike_wherever_they_stand(void **state)
{
    (void)state;
    char a[LONGEST];
    char b[LONGEST];
    for (size_t len = 1; len <= LONGEST; len++) {
        memset(a, 'x', len);
        memset(b, 'X', len);
        for (unsigned pair = 0; pair < 65536; pair += len % 8 == 0 ? 1 : 61) {
            size_t at = pair % len;
            a[at] = (char)(pair & 0xff);
            b[at] = (char)(pair >> 8);
            bool want = is_same_folded((unsigned char)a[at], (unsigned char)b[at]);
            if (str_eq_nocase(str_of(a, len), str_of(b, len)) != want) {
                fail_msg("%zu of %zu: %02x %02x", at, len, pair & 0xff, pair >> 8);
            }
            a[at] = 'x';
            b[at] = 'X';
        }
    }
}

static void tells_lengths_apart_without_case(void **state)
{
    (void)state;
    assert_true(str_eq_nocase(STR(""), STR_NONE));
    assert_false(str_eq_nocase(STR("content-length"), STR("content-lengt")));
    assert_true(str_starts_nocase(STR("Content-Length: 7"), STR("content-length:")));
    assert_false(str_starts_nocase(STR("Content"), STR("content-length:")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_each_pair_of_bytes_alike_wherever_they_stand),
        cmocka_unit_test(tells_lengths_apart_without_case),
    };
    return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
