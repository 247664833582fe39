#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/mem.h"
#include "common/base/opt_impl.h"

/* Limits beyond this mean "no limit" on that side. */
static const double OPT_UNBOUNDED = 4e18;

static void *opt_field(const struct opt *o, void *cfg)
{
    return (char *)cfg + o->offset;
}

char **opt_value_string(const struct opt *o, void *cfg)
{
    assert(o->type == OPT_STR);
    return opt_field(o, cfg);
}

size_t opt_value_choice(const char *choices, int i, const char **at)
{
    for (; i > 0 && choices != NULL; i--) {
        choices = strchr(choices, ',');
        choices = choices == NULL ? NULL : choices + 1;
    }
    *at = choices;
    return choices == NULL ? 0 : strcspn(choices, ",");
}

static bool opt_in_range(const struct opt *o, double v)
{
    bool any = !(o->min < 0 || o->min > 0 || o->max < 0 || o->max > 0);

    return any || (v >= o->min && v <= o->max);
}

static bool opt_set_bool(const char *text, bool *field)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};

    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *field = strcasecmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static int opt_suffix_bits(char c)
{
    switch (c) {
    case 'K':
    case 'k':
        return 10;
    case 'M':
    case 'm':
        return 20;
    case 'G':
    case 'g':
        return 30;
    case 'T':
    case 't':
        return 40;
    default:
        return 0;
    }
}

static bool opt_set_whole(const struct opt *o, const char *text, int64_t *field)
{
    const char *digits = text[0] == '-' || text[0] == '+' ? text + 1 : text;
    char *end = NULL;
    int64_t v = 0;
    int bits = 0;

    if (digits[0] < '0' || digits[0] > '9') {
        return false;
    }
    errno = 0;
    v = strtoll(text, &end, 10);
    if (errno != 0) {
        return false;
    }
    if (o->type == OPT_SIZE && *end != '\0') {
        bits = opt_suffix_bits(*end);
        end += bits > 0;
    }
    if (*end != '\0' || __builtin_mul_overflow(v, (int64_t)1 << bits, &v) ||
        !opt_in_range(o, (double)v)) {
        return false;
    }
    *field = v;
    return true;
}

static bool opt_set_real(const struct opt *o, const char *text, double *field)
{
    char *end = NULL;
    double v = 0;

    if (text[strspn(text, "+-0123456789.eE")] != '\0' || text[0] == '\0') {
        return false;
    }
    v = strtod(text, &end);
    if (*end != '\0' || !isfinite(v) || !opt_in_range(o, v)) {
        return false;
    }
    *field = v;
    return true;
}

static bool opt_set_enum(const struct opt *o, const char *text, int *field)
{
    const char *at = NULL;
    size_t n = 0;

    for (int i = 0; (n = opt_value_choice(o->choices, i, &at)) > 0; i++) {
        if (strlen(text) == n && strncmp(text, at, n) == 0) {
            *field = i;
            return true;
        }
    }
    return false;
}

bool opt_value_set(const struct opt *o, void *cfg, const char *text, bool *nomem)
{
    double real = 0;
    char *copy = NULL;

    *nomem = false;
    switch (o->type) {
    case OPT_BOOL:
        return opt_set_bool(text, opt_field(o, cfg));
    case OPT_INT:
    case OPT_SIZE:
        return opt_set_whole(o, text, opt_field(o, cfg));
    case OPT_F32:
        if (!opt_set_real(o, text, &real) || !isfinite((float)real)) {
            return false;
        }
        *(float *)opt_field(o, cfg) = (float)real;
        return true;
    case OPT_F64:
        return opt_set_real(o, text, opt_field(o, cfg));
    case OPT_STR:
        copy = mem_strdup(text);
        *nomem = copy == NULL;
        if (copy != NULL) {
            mem_free(*opt_value_string(o, cfg));
            *opt_value_string(o, cfg) = copy;
        }
        return copy != NULL;
    case OPT_ENUM:
        return opt_set_enum(o, text, opt_field(o, cfg));
    }
    return false;
}

/* A bound as a person writes it: 16M of a size, no exponent in a whole number. */
static void opt_format_bound(const struct opt *o, double v, char *buf, size_t size)
{
    static const char suffixes[] = {'\0', 'K', 'M', 'G', 'T'};
    size_t power = 0;

    while (o->type == OPT_SIZE && v >= 1024 && fmod(v, 1024) <= 0 && power + 1 < sizeof suffixes) {
        v /= 1024;
        power++;
    }
    if (o->type == OPT_INT || o->type == OPT_SIZE) {
        (void)snprintf(buf, size, "%.0f%.1s", v, power == 0 ? "" : &suffixes[power]);
    } else {
        (void)snprintf(buf, size, "%.12g", v);
    }
}

static void opt_expected_number(const struct opt *o, const char *what, char *buf, size_t size)
{
    char min[32];
    char max[32];

    opt_format_bound(o, o->min, min, sizeof min);
    opt_format_bound(o, o->max, max, sizeof max);
    if (opt_in_range(o, -HUGE_VAL) && opt_in_range(o, HUGE_VAL)) {
        (void)snprintf(buf, size, "%s", what);
    } else if (o->max >= OPT_UNBOUNDED) {
        (void)snprintf(buf, size, "%s of at least %s", what, min);
    } else if (o->min <= -OPT_UNBOUNDED) {
        (void)snprintf(buf, size, "%s of at most %s", what, max);
    } else {
        (void)snprintf(buf, size, "%s from %s to %s", what, min, max);
    }
}

void opt_value_expected(const struct opt *o, char *buf, size_t size)
{
    const char *at = NULL;
    size_t n = 0;
    size_t used = 0;

    switch (o->type) {
    case OPT_BOOL:
        (void)snprintf(buf, size, "true or false");
        break;
    case OPT_INT:
        opt_expected_number(o, "a whole number", buf, size);
        break;
    case OPT_SIZE:
        opt_expected_number(o, "a size (a whole number, K, M, G or T may follow)", buf, size);
        break;
    case OPT_F32:
    case OPT_F64:
        opt_expected_number(o, "a number", buf, size);
        break;
    case OPT_STR:
        (void)snprintf(buf, size, "a text");
        break;
    case OPT_ENUM:
        used = (size_t)snprintf(buf, size, "one of");
        for (int i = 0; used < size && (n = opt_value_choice(o->choices, i, &at)) > 0; i++) {
            used +=
                (size_t)snprintf(buf + used, size - used, "%s %.*s", i == 0 ? "" : ",", (int)n, at);
        }
        break;
    }
}

/* The fewest digits that read back as the same number; of a whole one all (350, not 3.5e+02). */
static void opt_format_real(double v, bool single, char *buf, size_t size)
{
    if (fabs(v) < 1e9 && fmod(v, 1) >= 0 && fmod(v, 1) <= 0) {
        (void)snprintf(buf, size, "%.0f", v);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        double back = 0;

        (void)snprintf(buf, size, "%.*g", digits, v);
        back = strtod(buf, NULL);
        if (single ? (float)back >= (float)v && (float)back <= (float)v : back >= v && back <= v) {
            return;
        }
    }
}

void opt_value_format(const struct opt *o, const void *cfg, char *buf, size_t size)
{
    const char *field = (const char *)cfg + o->offset;
    const char *at = NULL;
    int64_t whole = 0;
    int index = 0;
    float single = 0;
    double real = 0;
    bool flag = false;
    size_t n = 0;

    switch (o->type) {
    case OPT_BOOL:
        memcpy(&flag, field, sizeof flag);
        (void)snprintf(buf, size, "%s", flag ? "true" : "false");
        break;
    case OPT_INT:
    case OPT_SIZE:
        memcpy(&whole, field, sizeof whole);
        (void)snprintf(buf, size, "%lld", (long long)whole);
        break;
    case OPT_F32:
        memcpy(&single, field, sizeof single);
        opt_format_real((double)single, true, buf, size);
        break;
    case OPT_F64:
        memcpy(&real, field, sizeof real);
        opt_format_real(real, false, buf, size);
        break;
    case OPT_STR:
        break;
    case OPT_ENUM:
        memcpy(&index, field, sizeof index);
        n = opt_value_choice(o->choices, index, &at);
        (void)snprintf(buf, size, "%.*s", (int)n, n == 0 ? "" : at);
        break;
    }
}
