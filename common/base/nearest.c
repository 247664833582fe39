#include "common/base/nearest.h"

#include <string.h>

static char nearest_fold(char c)
{
    return c == '-' ? '_' : c;
}

size_t nearest_distance(const char *a, const char *b)
{
    size_t row[NEAREST_MAX + 1];
    size_t na = strlen(a);
    size_t nb = strlen(b);

    if (na > NEAREST_MAX || nb > NEAREST_MAX) {
        return NEAREST_MAX;
    }
    for (size_t j = 0; j <= nb; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = diagonal + (nearest_fold(a[i - 1]) != nearest_fold(b[j - 1]));

            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[nb];
}

const char *nearest_name(const char *const names[], const char *text)
{
    const char *best = NULL;
    size_t best_distance = strlen(text) / 3 + 2;

    for (; *names != NULL; names++) {
        size_t distance = nearest_distance(*names, text);

        if (distance < best_distance) {
            best_distance = distance;
            best = *names;
        }
    }
    return best;
}
