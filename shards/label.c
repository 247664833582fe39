#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "shards/label_store.h"

/* Best first: probability descending, then class ascending. */
static bool label_better(const float *probs, uint16_t a, uint16_t b)
{
    return probs[a] != probs[b] ? probs[a] > probs[b] : a < b;
}

/* A heap of classes with the worst on top: sink the class at i. */
static void label_sink(const float *probs, uint16_t *heap, int n, int i)
{
    for (;;) {
        int worst = i;
        uint16_t t = heap[i];

        for (int child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++) {
            if (label_better(probs, heap[worst], heap[child])) {
                worst = child;
            }
        }
        if (worst == i) {
            return;
        }
        heap[i] = heap[worst];
        heap[worst] = t;
        i = worst;
    }
}

/* The k best classes into cls, best first. */
static void label_top(const float *probs, int n_classes, int k, uint16_t *cls)
{
    for (int i = 0; i < k; i++) {
        cls[i] = (uint16_t)i;
    }
    for (int i = k / 2 - 1; i >= 0; i--) {
        label_sink(probs, cls, k, i);
    }
    for (int i = k; i < n_classes; i++) {
        if (label_better(probs, (uint16_t)i, cls[0])) {
            cls[0] = (uint16_t)i;
            label_sink(probs, cls, k, 0);
        }
    }
    for (int n = k - 1; n > 0; n--) {
        uint16_t worst = cls[0];

        cls[0] = cls[n];
        cls[n] = worst;
        label_sink(probs, cls, n, 0);
    }
}

static uint16_t label_log(double p)
{
    return f16_from_f32((float)log(p < 1 ? p : 1));
}

void label_from_probs(const float *probs, int n_classes, int k, uint16_t *cls, uint16_t *logp,
                      struct label *out)
{
    double sum = 0;

    assert(k >= 1 && k <= n_classes && n_classes <= LABEL_MAX_CLASSES);
    label_top(probs, n_classes, k, cls);
    for (int i = 0; i < k; i++) {
        double p = (double)probs[cls[i]];

        logp[i] = label_log(p);
        sum += p;
    }
    out->confidence = probs[cls[0]] < 1 ? probs[cls[0]] : 1;
    out->k = k;
    out->cls = cls;
    out->logp = logp;
    out->rest_logp = k == n_classes || sum >= 1 ? f16_from_f32(-INFINITY) : label_log(1 - sum);
}

static double label_exp(uint16_t logp)
{
    return exp((double)f16_to_f32(logp));
}

void label_nothing(int k, uint16_t *cls, uint16_t *logp, struct label *out)
{
    static const uint16_t ln_0 = 0xFC00; /* -inf */

    for (int i = 0; i < k; i++) {
        cls[i] = (uint16_t)i;
        logp[i] = ln_0;
    }
    *out = (struct label){.k = k, .cls = cls, .logp = logp};
}

void label_to_target(const struct label *l, int n_classes, double temperature, float *target)
{
    int others = n_classes - l->k;
    double spread = others > 0 ? label_exp(l->rest_logp) / others : 0;
    double best = fmax((double)l->confidence, spread);
    double sum = 0;

    assert(l->k >= 1 && l->k <= n_classes);
    best = l->k > 1 ? fmax(best, label_exp(l->logp[1])) : best;
    if (temperature <= 0 || best <= 0) {
        memset(target, 0, (size_t)n_classes * sizeof *target);
        target[l->cls[0]] = 1;
        return;
    }
    /* Relative to the best, so that no power of it underflows to nothing. */
    spread = pow(spread / best, 1 / temperature);
    sum = spread * others;
    for (int i = 0; i < n_classes; i++) {
        target[i] = (float)spread;
    }
    for (int i = 0; i < l->k; i++) {
        double p = i == 0 ? (double)l->confidence : label_exp(l->logp[i]);

        p = pow(p / best, 1 / temperature);
        sum += p;
        target[l->cls[i]] = (float)p;
    }
    for (int i = 0; i < n_classes; i++) {
        target[i] = (float)((double)target[i] / sum);
    }
}

bool label_lineage_calibrated(const struct label_lineage *l)
{
    return strcmp(l->precision, "int8") == 0;
}

double label_audit_drift(const struct label_audit *a)
{
    const double apart = 1 - (double)a->agree / (double)a->images;
    const double difference = (double)a->difference / 1e6;

    return a->images == 0 ? 0 : apart > difference ? apart : difference;
}

void label_lineage_digest(const struct label_lineage *l, struct digest *out)
{
    char weights[HASH_HEX_DIGEST];
    char classes[HASH_HEX_DIGEST];
    char calibration[HASH_HEX_DIGEST + sizeof "calibration \n"] = "";
    char hex[HASH_HEX_DIGEST];
    char text[1024];
    int n = 0;

    if (label_lineage_calibrated(l)) {
        hash_digest_hex(&l->calibration, hex);
        (void)snprintf(calibration, sizeof calibration, "calibration %s\n", hex);
    }
    hash_digest_hex(&l->weights, weights);
    hash_digest_hex(&l->classes, classes);
    n = snprintf(text, sizeof text,
                 "preceptor labels 1\nweights %s\npreprocessing %s\nprecision %s\n%sclasses %s\n"
                 "top_k %d\n",
                 weights, l->preprocessing, l->precision, calibration, classes, l->top_k);
    assert(n > 0 && (size_t)n < sizeof text);
    hash_digest(text, (size_t)n, out);
}

bool label_shard_sealed(const char *dir, int shard)
{
    char *path = mem_sprintf("%s/labels-%06d.lmdb", dir, shard);
    bool sealed = path != NULL && fs_exists(path);

    mem_free(path);
    return sealed;
}
