#include "common/train/calibration.h"

#include <math.h>
#include <string.h>

#include "common/base/mem.h"

enum { ROWS_FIRST = 64, HALVINGS = 32 };

static const double BETA_MOST = 20; /* of 1/T */

struct calibration {
    int classes;
    uint64_t first;
    size_t rows, max;
    float *logits; /* (rows, classes) */
    int32_t *cls;
};

enum rc calibration_create(int classes, uint64_t first, struct calibration **out, struct err *e)
{
    struct calibration *c = mem_calloc(1, sizeof *c);

    if (c == NULL) {
        return mem_raise(e, "calibration", sizeof *c);
    }
    c->classes = classes;
    c->first = first;
    *out = c;
    return RC_OK;
}

void calibration_destroy(struct calibration *c)
{
    if (c != NULL) {
        mem_free(c->logits);
        mem_free(c->cls);
        mem_free(c);
    }
}

static enum rc grow(struct calibration *c, struct err *e)
{
    size_t max = c->max == 0 ? ROWS_FIRST : 2 * c->max;
    size_t row = (size_t)c->classes * sizeof *c->logits;
    float *logits = mem_realloc(c->logits, max, row);
    int32_t *cls;

    if (logits == NULL) {
        return mem_raise(e, "the logits that a temperature is fitted to", max * row);
    }
    c->logits = logits;
    cls = mem_realloc(c->cls, max, sizeof *cls);
    if (cls == NULL) {
        return mem_raise(e, "the classes that a temperature is fitted to", max * sizeof *cls);
    }
    c->cls = cls;
    c->max = max;
    return RC_OK;
}

enum rc calibration_add(struct calibration *c, const float *logits, int32_t cls, struct err *e)
{
    size_t classes = (size_t)c->classes;

    if (c->rows == c->max) {
        enum rc rc = grow(c, e);

        if (rc != RC_OK) {
            return rc;
        }
    }
    memcpy(c->logits + c->rows * classes, logits, classes * sizeof *logits);
    c->cls[c->rows++] = cls;
    return RC_OK;
}

static bool is_held(const struct calibration *c, size_t row)
{
    return (c->first + row) % CALIBRATION_EVERY == 0;
}

/* softmax(beta * z) in f64 sums, stored f32. */
static void probabilities(const float *z, int classes, double beta, float *p)
{
    double most = (double)z[0];
    double sum = 0;

    for (int k = 1; k < classes; k++) {
        most = (double)z[k] > most ? (double)z[k] : most;
    }
    for (int k = 0; k < classes; k++) {
        sum += exp(beta * ((double)z[k] - most));
    }
    for (int k = 0; k < classes; k++) {
        p[k] = (float)(exp(beta * ((double)z[k] - most)) / sum);
    }
}

/* d NLL / d beta of one row: the mean logit under softmax(beta * z), less the true class's. */
static double slope(const float *z, int classes, int32_t cls, double beta)
{
    double most = (double)z[0];
    double sum = 0;
    double mean = 0;

    for (int k = 1; k < classes; k++) {
        most = (double)z[k] > most ? (double)z[k] : most;
    }
    for (int k = 0; k < classes; k++) {
        double p = exp(beta * ((double)z[k] - most));

        sum += p;
        mean += p * (double)z[k];
    }
    return mean / sum - (double)z[cls];
}

/* Of all ranks. The NLL is convex in beta, so its slope rises through 0 once. */
static enum rc slope_of_all(const struct calibration *c, struct coll *coll, double beta,
                            double *out, struct err *e)
{
    size_t classes = (size_t)c->classes;
    double sum = 0;

    for (size_t i = 0; i < c->rows; i++) {
        if (is_held(c, i)) {
            sum += slope(c->logits + i * classes, c->classes, c->cls[i], beta);
        }
    }
    *out = sum;
    return coll_allreduce(coll, out, 1, COLL_F64, COLL_SUM, e);
}

static enum rc count_held(const struct calibration *c, struct coll *coll, int64_t *held,
                          struct err *e)
{
    *held = 0;
    for (size_t i = 0; i < c->rows; i++) {
        *held += is_held(c, i);
    }
    return coll_allreduce(coll, held, 1, COLL_I64, COLL_SUM, e);
}

enum rc calibration_fit(const struct calibration *c, struct coll *coll, double *temperature,
                        int64_t *held, struct err *e)
{
    double low = 1 / BETA_MOST;
    double high = BETA_MOST;
    int64_t n = 0;
    enum rc rc = count_held(c, coll, &n, e);

    if (rc == RC_OK && n == 0) {
        rc = err_raise(e, RC_INVAL, "no image is held out to fit a temperature to");
    }
    for (int i = 0; i < HALVINGS && rc == RC_OK; i++) {
        double beta = sqrt(low * high);
        double s = 0;

        rc = slope_of_all(c, coll, beta, &s, e);
        low = s <= 0 ? beta : low;
        high = s <= 0 ? high : beta;
    }
    if (rc == RC_OK) {
        *temperature = 1 / sqrt(low * high);
        *held = n;
    }
    return rc;
}

enum rc calibration_evaluate(const struct calibration *c, double temperature, struct coll *coll,
                             struct evaluation *v, struct err *e)
{
    size_t classes = (size_t)c->classes;
    float *probs = mem_calloc(classes, sizeof *probs);
    struct evaluation out = {0};
    enum rc rc = RC_OK;

    if (probs == NULL) {
        rc = mem_raise(e, "probabilities", classes * sizeof *probs);
    }
    rc = rc != RC_OK ? rc : evaluation_init(&out, c->classes, e);
    for (size_t i = 0; i < c->rows && rc == RC_OK; i++) {
        if (!is_held(c, i)) {
            probabilities(c->logits + i * classes, c->classes, 1 / temperature, probs);
            evaluation_add(&out, probs, c->cls[i]);
        }
    }
    rc = coll_agree(coll, rc, e);
    rc = rc != RC_OK ? rc : evaluation_finish(&out, coll, e);
    if (rc == RC_OK) {
        *v = out;
    } else {
        evaluation_release(&out);
    }
    mem_free(probs);
    return rc;
}
