#include "text.h"

#include <stdio.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_alphanumeric(char c) { return is_digit(c) || is_lower(c) || (c >= 'A' && c <= 'Z'); }

bool text_is_project(struct slice text) {
    if (!text.n || text.n > 200) return false;
    bool first = true; /* of a segment */
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (first ? !is_alphanumeric(c) : !(is_alphanumeric(c) || c == '.' || c == '_' || c == '-' || c == '/')) return false;
        first = c == '/';
    }
    return !first;
}

bool text_is_environment(struct slice text) {
    if (!text.n || text.n > 63 || !is_lower(text.p[0])) return false;
    for (size_t i = 1; i < text.n; i++)
        if (!is_lower(text.p[i]) && !is_digit(text.p[i]) && text.p[i] != '-') return false;
    return true;
}

bool text_is_git_sha(struct slice text) {
    if (text.n != 40 && text.n != 64) return false;
    for (size_t i = 0; i < text.n; i++)
        if (!is_digit(text.p[i]) && !(text.p[i] >= 'a' && text.p[i] <= 'f')) return false;
    return true;
}

size_t text_utf8_sequence(const char *text, size_t n) {
    const unsigned char *p = (const unsigned char *)text;
    if (!n) return 0;
    unsigned char c = p[0];
    if (c < 0x80) return 1;
    size_t size = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || n < size) return 0;
    unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    unsigned char high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < size; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return size;
}

bool text_is_utf8(struct slice text) {
    for (size_t i = 0, size; i < text.n; i += size) {
        size = text_utf8_sequence(text.p + i, text.n - i);
        if (!size) return false;
    }
    return true;
}

void text_hex(char *to, const unsigned char *bytes, size_t size) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        to[2 * i] = digits[bytes[i] >> 4];
        to[2 * i + 1] = digits[bytes[i] & 15];
    }
}

static int hex_value(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool text_unhex(unsigned char *bytes, size_t size, struct slice text) {
    if (text.n % 2 || text.n / 2 != size) return false;
    for (size_t i = 0; i < size; i++) {
        int high = hex_value(text.p[2 * i]), low = hex_value(text.p[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

void text_base32(char to[TEXT_BASE32_16], const unsigned char bytes[16]) {
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    for (size_t i = 0; i < TEXT_BASE32_16; i++) {
        size_t bit = i * 5, byte = bit / 8;
        unsigned pair = (unsigned)bytes[byte] << 8 | (byte + 1 < 16 ? bytes[byte + 1] : 0u);
        to[i] = digits[pair >> (11 - bit % 8) & 31];
    }
}

bool text_unbase32(unsigned char bytes[16], struct slice text) {
    if (text.n != TEXT_BASE32_16) return false;
    memset(bytes, 0, 16);
    for (size_t i = 0; i < TEXT_BASE32_16; i++) {
        char c = text.p[i];
        unsigned value;
        if (is_lower(c))
            value = (unsigned)(c - 'a');
        else if (c >= '2' && c <= '7')
            value = (unsigned)(c - '2') + 26;
        else
            return false;
        size_t bit = i * 5, byte = bit / 8;
        unsigned pair = value << (11 - bit % 8);
        bytes[byte] |= (unsigned char)(pair >> 8);
        if (byte + 1 < 16)
            bytes[byte + 1] |= (unsigned char)(pair & 0xff);
        else if (pair & 0xff)
            return false; /* bits behind the last byte: another text of the same bytes */
    }
    return true;
}

/* Days since 1970-01-01 of a proleptic Gregorian date, and back (the usual era arithmetic: March is month 0). */
static int64_t days_from_civil(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void civil_from_days(int64_t days, int64_t *year, int *month, int *day) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * shifted + 2) / 5 + 1);
    *month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
    *year = year_of_era + era * 400 + (*month <= 2);
}

static const int64_t SECOND = 1000000, DAY = 86400 * (int64_t)1000000;

static void put_digits(char *to, int64_t value, size_t size) {
    for (size_t i = size; i-- > 0; value /= 10) to[i] = (char)('0' + value % 10);
}

/* One date is written many times in a row: the last one is kept. */
static void put_date(char to[10], int64_t days) {
    static _Thread_local int64_t last_days = INT64_MIN;
    static _Thread_local char last[10];
    if (days != last_days) {
        int64_t year;
        int month, day;
        civil_from_days(days, &year, &month, &day);
        memcpy(last, "0000-00-00", sizeof last);
        put_digits(last, year, 4);
        put_digits(last + 5, month, 2);
        put_digits(last + 8, day, 2);
        last_days = days;
    }
    memcpy(to, last, sizeof last);
}

void text_instant(char to[TEXT_INSTANT], instant at) {
    const instant earliest = days_from_civil(0, 1, 1) * DAY, latest = days_from_civil(10000, 1, 1) * DAY - 1;
    if (at < earliest) at = earliest;
    if (at > latest) at = latest;
    int64_t days = at / DAY - (at % DAY < 0), rest = at - days * DAY;
    memcpy(to, "0000-00-00T00:00:00.000000Z", TEXT_INSTANT);
    put_date(to, days);
    put_digits(to + 11, rest / SECOND / 3600, 2);
    put_digits(to + 14, rest / SECOND / 60 % 60, 2);
    put_digits(to + 17, rest / SECOND % 60, 2);
    put_digits(to + 20, rest % SECOND, 6);
}

static bool take_digits(struct slice *text, size_t size, int *ret) {
    if (text->n < size) return false;
    int value = 0;
    for (size_t i = 0; i < size; i++) {
        if (!is_digit(text->p[i])) return false;
        value = value * 10 + (text->p[i] - '0');
    }
    *text = slice_of(text->p + size, text->n - size);
    *ret = value;
    return true;
}

static bool take_char(struct slice *text, const char *any_of) {
    if (!text->n || text->p[0] == '\0' || !strchr(any_of, text->p[0])) return false;
    *text = slice_of(text->p + 1, text->n - 1);
    return true;
}

static int days_in(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* The digits behind the decimal point, as microseconds. */
static bool take_fraction(struct slice *text, int64_t *ret) {
    int64_t value = 0, unit = SECOND / 10;
    if (!text->n || !is_digit(text->p[0])) return false;
    for (; text->n && is_digit(text->p[0]); *text = slice_of(text->p + 1, text->n - 1), unit /= 10)
        value += (text->p[0] - '0') * unit;
    *ret = value;
    return true;
}

bool text_parse_instant(struct slice text, instant *ret_at) {
    int year, month, day, hour, minute, second, offset_hour = 0, offset_minute = 0, sign = 1;
    int64_t fraction = 0;
    if (!take_digits(&text, 4, &year) || !take_char(&text, "-") || !take_digits(&text, 2, &month) || !take_char(&text, "-") ||
        !take_digits(&text, 2, &day) || !take_char(&text, "Tt") || !take_digits(&text, 2, &hour) || !take_char(&text, ":") ||
        !take_digits(&text, 2, &minute) || !take_char(&text, ":") || !take_digits(&text, 2, &second))
        return false;
    if (take_char(&text, ".") && !take_fraction(&text, &fraction)) return false;
    if (!take_char(&text, "Zz")) {
        if (text.n && text.p[0] == '-') sign = -1;
        if (!take_char(&text, "+-") || !take_digits(&text, 2, &offset_hour) || !take_char(&text, ":") ||
            !take_digits(&text, 2, &offset_minute))
            return false;
    }
    if (text.n || month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 60 ||
        offset_hour > 23 || offset_minute > 59)
        return false;
    int64_t minutes = hour * 60 + minute - sign * (offset_hour * 60 + offset_minute);
    if (second == 60 && (minutes + 2880) % 1440 != 1439) return false; /* leap seconds end a day of UTC */
    *ret_at = days_from_civil(year, month, day) * DAY + minutes * 60 * SECOND + second * SECOND + fraction;
    return true;
}

bool text_parse_duration(struct slice text, int64_t *ret_microseconds) {
    static const struct {
        const char *unit;
        int64_t size;
    } units[] = {{"ms", 1000},
                 {"s", 1000000},
                 {"m", 60 * (int64_t)1000000},
                 {"h", 3600 * (int64_t)1000000},
                 {"d", 86400 * (int64_t)1000000},
                 {"w", 7 * 86400 * (int64_t)1000000}};
    const int64_t longest = 3653 * DAY;
    int64_t value = 0;
    size_t digits = 0;
    for (; digits < text.n && is_digit(text.p[digits]); digits++) {
        value = value * 10 + (text.p[digits] - '0');
        if (value > longest) return false;
    }
    if (!digits) return false;
    struct slice unit = slice_of(text.p + digits, text.n - digits);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!slice_is(unit, units[i].unit)) continue;
        if (value > longest / units[i].size) return false;
        *ret_microseconds = value * units[i].size;
        return true;
    }
    return false;
}

void text_duration(char *to, size_t room, int64_t microseconds) {
    static const struct {
        int64_t microseconds;
        const char *unit;
    } units[] = {{60000000, "m"}, {1000000, "s"}, {1000, "ms"}};
    size_t i = 0;
    while (i < 2 && microseconds % units[i].microseconds != 0) i++;
    (void)snprintf(to, room, "%lld%s", (long long)(microseconds / units[i].microseconds), units[i].unit);
}

bool text_parse_number(struct slice text, uint64_t maximum, uint64_t *ret_number) {
    uint64_t number = 0;
    if (!text.n || text.n > 19) return false; /* 19 digits cannot overflow */
    for (size_t i = 0; i < text.n; i++) {
        if (!is_digit(text.p[i])) return false;
        number = number * 10 + (uint64_t)(text.p[i] - '0');
    }
    if (number > maximum) return false;
    *ret_number = number;
    return true;
}

uint32_t text_murmur2(struct slice key) {
    const uint32_t m = 0x5bd1e995;
    const unsigned char *p = (const unsigned char *)key.p;
    size_t n = key.n;
    uint32_t h = 0x9747b28cu ^ (uint32_t)n;
    for (; n >= 4; p += 4, n -= 4) {
        uint32_t k = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        k *= m;
        k ^= k >> 24;
        k *= m;
        h = h * m ^ k;
    }
    if (n >= 3) h ^= (uint32_t)p[2] << 16;
    if (n >= 2) h ^= (uint32_t)p[1] << 8;
    if (n >= 1) h = (h ^ p[0]) * m;
    h ^= h >> 13;
    h *= m;
    h ^= h >> 15;
    return h & 0x7fffffff;
}
