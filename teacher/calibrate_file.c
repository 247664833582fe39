#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "shards/manifest.h"
#include "teacher/calibrate_impl.h"

#define CALIBRATE_KIND "calibration"

enum { CALIBRATE_FORMAT = 1, NUMBER_MAX = 32 };

/* What a calibration is of: the text whose digest names the file. */
struct subject {
    char weights[HASH_HEX_DIGEST];
    char preprocessing[256];
    char *path;
};

static enum rc subject_init(struct subject *s, const char *folder, const struct teacher *t,
                            const struct calibrate_rule *rule, struct err *e)
{
    struct digest d;
    char hex[HASH_HEX_DIGEST];
    char *text = NULL;

    teacher_digest(t, &d);
    hash_digest_hex(&d, s->weights);
    image_eval_fingerprint(&rule->eval, s->preprocessing, sizeof s->preprocessing);
    text = mem_sprintf("%s %s %d %llu", s->weights, s->preprocessing, rule->images,
                       (unsigned long long)rule->seed);
    if (text == NULL) {
        return mem_raise(e, "the name of a calibration", 0);
    }
    hash_digest(text, strlen(text), &d);
    mem_free(text);
    hash_digest_hex(&d, hex);
    s->path = mem_sprintf("%s/calibration-%.16s.json", folder, hex);
    return s->path != NULL ? RC_OK : mem_raise(e, "a path", strlen(folder));
}

/* ---- writing --------------------------------------------------------------------------------- */

static json_t *range_json(const struct quant_range *r)
{
    json_t *top = json_array();

    for (int i = 0; i < r->n && top != NULL; i++) {
        char number[NUMBER_MAX]; /* 9 digits give an f32 back exactly; numbers here are integers */

        (void)snprintf(number, sizeof number, "%.9g", (double)r->top[i]);
        if (json_array_append_new(top, json_string(number)) != 0) {
            json_decref(top);
            return NULL;
        }
    }
    return json_pack("{s:s, s:o}", "name", r->name, "top", top);
}

enum rc calibrate_file_write(const char *folder, const struct teacher *t,
                             const struct calibrate_rule *rule, const struct quant *q,
                             struct err *e)
{
    struct subject s = {.path = NULL};
    json_t *ranges = json_array();
    json_t *root = NULL;
    enum rc rc = subject_init(&s, folder, t, rule, e);

    for (int i = 0; i < q->n_ranges && ranges != NULL; i++) {
        if (json_array_append_new(ranges, range_json(&q->ranges[i])) != 0) {
            json_decref(ranges);
            ranges = NULL;
        }
    }
    root = json_pack("{s:s, s:s, s:s, s:i, s:I, s:o}", "weights", s.weights, "model",
                     teacher_info(t)->family, "preprocessing", s.preprocessing, "images",
                     rule->images, "seed", (json_int_t)rule->seed, "ranges", ranges);
    if (rc == RC_OK && root == NULL) {
        rc = mem_raise(e, s.path, 0);
    }
    rc = rc == RC_OK ? fs_mkdirs(folder, e) : rc;
    rc = rc == RC_OK ? manifest_write(s.path, CALIBRATE_KIND, CALIBRATE_FORMAT, root, e) : rc;
    json_decref(root);
    mem_free(s.path);
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum rc read_top(const json_t *value, const char *path, const char *name, float *out,
                        struct err *e)
{
    const char *text = json_string_value(value);
    char *end = NULL;
    float top = text != NULL ? strtof(text, &end) : NAN;

    if (end == NULL || end == text || *end != '\0' || !isfinite(top) || top < 0) {
        return err_raise(e, RC_CORRUPT, "'%s': a top of %s is not a number of at least 0", path,
                         name);
    }
    *out = top;
    return RC_OK;
}

static enum rc read_ranges(const json_t *root, const char *path, struct quant *q, struct err *e)
{
    const json_t *list = json_object_get(root, "ranges");
    enum rc rc = RC_OK;

    if (json_array_size(list) != (size_t)q->n_ranges) {
        return err_raise(e, RC_CORRUPT, "'%s' has %zu ranges, the model needs %d", path,
                         json_array_size(list), q->n_ranges);
    }
    for (int i = 0; i < q->n_ranges && rc == RC_OK; i++) {
        const json_t *one = json_array_get(list, (size_t)i), *top = json_object_get(one, "top");
        const char *name = json_string_value(json_object_get(one, "name"));
        struct quant_range *r = &q->ranges[i];

        if (name == NULL || strcmp(name, r->name) != 0 || json_array_size(top) != (size_t)r->n) {
            return err_raise(e, RC_CORRUPT, "'%s': range %d is not %s with %d tops", path, i,
                             r->name, r->n);
        }
        for (int k = 0; k < r->n && rc == RC_OK; k++) {
            rc = read_top(json_array_get(top, (size_t)k), path, r->name, &r->top[k], e);
        }
    }
    return rc;
}

enum rc calibrate_file_read(const char *folder, const struct teacher *t,
                            const struct calibrate_rule *rule, struct quant *q,
                            struct digest *digest, bool *found, struct err *e)
{
    struct subject s = {.path = NULL};
    const char *weights = NULL;
    json_t *root = NULL;
    enum rc rc = subject_init(&s, folder, t, rule, e);

    *found = rc == RC_OK && fs_exists(s.path);
    if (rc != RC_OK || !*found) {
        goto out;
    }
    if ((rc = manifest_read(s.path, CALIBRATE_KIND, CALIBRATE_FORMAT, &root, e)) != RC_OK ||
        (rc = json_get_string(root, s.path, "weights", &weights, e)) != RC_OK) {
        goto out;
    }
    if (strcmp(weights, s.weights) != 0) {
        rc = err_raise(e, RC_CORRUPT, "'%s' is the calibration of other weights", s.path);
        goto out;
    }
    rc = read_ranges(root, s.path, q, e);
    rc = rc == RC_OK ? json_get_digest(root, s.path, "digest", digest, e) : rc;
out:
    json_decref(root);
    mem_free(s.path);
    return rc;
}
