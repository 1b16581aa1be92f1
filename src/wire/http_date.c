#include "wire/http_date.h"

#include <stdbool.h>
#include <stddef.h>

enum { EPOCH_YEAR = 1970, DAY_S = 86400, HOUR_S = 3600, MINUTE_S = 60, MONTHS = 12 };

/* Where things stand: 'a' for letters of a name, 'd' for a digit, the rest for itself. */
static const struct str FORM = STR_INIT("aaa, dd aaa dddd dd:dd:dd GMT");
enum {
    AT_WEEKDAY = 0,
    AT_DAY = 5,
    AT_MONTH = 8,
    AT_YEAR = 12,
    AT_HOUR = 17,
    AT_MINUTE = 20,
    AT_SECOND = 23
};

static bool fits(char form, char c)
{
    if (form == 'a') {
        return true;
    }
    return form == 'd' ? c >= '0' && c <= '9' : c == form;
}

static bool has_form(struct str text)
{
    for (size_t i = 0; i < FORM.len && i < text.len; i++) {
        if (!fits(FORM.ptr[i], text.ptr[i])) {
            return false;
        }
    }
    return text.len == FORM.len;
}

static uint32_t number_at(struct str text, size_t at, size_t digits)
{
    uint32_t number = 0;
    for (size_t i = at; i < at + digits; i++) {
        number = number * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    return number;
}

/* Which of the names, three letters each, stands there; `count` for none. */
static uint32_t name_at(struct str text, size_t at, const char *names, uint32_t count)
{
    uint32_t i = 0;
    while (i < count && !str_eq(str_of(text.ptr + at, 3), str_of(names + (size_t)i * 3, 3))) {
        i++;
    }
    return i;
}

static bool is_leap(uint32_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static uint32_t days_in(uint32_t year, uint32_t month)
{
    static const uint8_t days[MONTHS] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month] + (month == 1 && is_leap(year) ? 1U : 0U);
}

/* From 1 January 1970 to 1 January of a later year. */
static uint64_t days_before(uint32_t year)
{
    uint32_t last = year - 1;
    uint32_t leap_days = last / 4 - last / 100 + last / 400;
    enum { LEAP_DAYS_BEFORE_1970 = 477 };
    return (uint64_t)(year - EPOCH_YEAR) * 365 + leap_days - LEAP_DAYS_BEFORE_1970;
}

enum err http_date_read(struct str text, uint64_t *wall_ms)
{
    if (!has_form(text) || name_at(text, AT_WEEKDAY, "MonTueWedThuFriSatSun", 7) == 7) {
        return ERR_SYNTAX;
    }
    uint32_t month = name_at(text, AT_MONTH, "JanFebMarAprMayJunJulAugSepOctNovDec", MONTHS);
    uint32_t year = number_at(text, AT_YEAR, 4);
    uint32_t day = number_at(text, AT_DAY, 2);
    uint32_t hour = number_at(text, AT_HOUR, 2);
    uint32_t minute = number_at(text, AT_MINUTE, 2);
    uint32_t second = number_at(text, AT_SECOND, 2);
    if (month == MONTHS || day == 0 || day > days_in(year, month) || hour > 23 || minute > 59 ||
        second > 60) {
        return ERR_SYNTAX;
    }
    if (year < EPOCH_YEAR) {
        return ERR_RANGE;
    }
    uint64_t days = days_before(year) + day - 1;
    for (uint32_t m = 0; m < month; m++) {
        days += days_in(year, m);
    }
    *wall_ms = (days * DAY_S + hour * HOUR_S + minute * MINUTE_S + second) * 1000U;
    return ERR_OK;
}
