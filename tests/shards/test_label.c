/* Labels as numbers: half floats, top-k, targets, records. */
#include "tests/shards/label_help.h"

#include <math.h>

#include "shards/label_record_impl.h"

static float bits_f32(uint32_t u)
{
    float x = 0;

    memcpy(&x, &u, sizeof x);
    return x;
}

static void every_half_float_survives_the_round_trip(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float x = f16_to_f32((uint16_t)h);

        if (isnan(x)) {
            assert_true((h & 0x7FFFu) > 0x7C00u);
            assert_int_equal(f16_from_f32(x) & 0x7E00u, 0x7E00u);
        } else {
            assert_int_equal(f16_from_f32(x), h);
        }
    }
}

/* The nearest half float by search over all of them, ties to the even one. */
static uint16_t nearest_by_search(float x)
{
    uint16_t lo = 0;
    uint16_t hi = 0x7C00u;
    double at = fabs((double)x);

    while (hi - lo > 1) {
        uint16_t mid = (uint16_t)((lo + hi) / 2);

        if ((double)f16_to_f32(mid) <= at) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    double below = at - (double)f16_to_f32(lo);
    double above = (hi == 0x7C00u ? 65536.0 : (double)f16_to_f32(hi)) - at;
    uint16_t h = below < above || (below == above && lo % 2 == 0) ? lo : hi;

    return (uint16_t)(h | (signbit(x) ? 0x8000u : 0));
}

static void floats_round_to_the_nearest_even_half(void **state)
{
    static const struct key128 key = {{2}};
    struct rng r;

    (void)state;
    rng_init(&r, 1, RNG_TEST, 0, &key, 0);
    for (int i = 0; i < 200000; i++) {
        /* exponents around the range of half floats, and exact ties */
        uint32_t u = (rng_u32(&r) & 0x807FFFFFu) | (rng_below(&r, 50) + 95) << 23;

        u = i % 3 == 0 ? (u & 0xFFFFE000u) | 0x1000u : u;
        assert_int_equal(f16_from_f32(bits_f32(u)), nearest_by_search(bits_f32(u)));
    }
    assert_int_equal(f16_from_f32(65519.996f), 0x7BFF);
    assert_int_equal(f16_from_f32(65520.0f), 0x7C00);
    assert_int_equal(f16_from_f32(-INFINITY), 0xFC00);
    assert_int_equal(f16_from_f32(0x1p-25f), 0);
    assert_int_equal(f16_from_f32(0x1.000002p-25f), 1);
}

static void labels_are_best_first_with_ties_by_class(void **state)
{
    static const float probs[6] = {0.1f, 0.3f, 0.05f, 0.3f, 0.2f, 0.05f};
    static const uint16_t order[6] = {1, 3, 4, 0, 2, 5};
    uint16_t cls[6];
    uint16_t logp[6];
    struct label l = {0};

    (void)state;
    for (int k = 1; k <= 6; k++) {
        label_from_probs(probs, 6, k, cls, logp, &l);
        assert_int_equal(l.k, k);
        assert_memory_equal(cls, order, (size_t)k * sizeof *cls);
        assert_true(l.confidence == 0.3f);
        for (int i = 0; i < k; i++) {
            assert_int_equal(logp[i], f16_from_f32((float)log((double)probs[order[i]])));
        }
    }
    assert_true(isinf(f16_to_f32(l.rest_logp)));
    label_from_probs(probs, 6, 4, cls, logp, &l);
    assert_true(fabs(exp((double)f16_to_f32(l.rest_logp)) - 0.1) < 1e-3);
}

static void top_k_equals_a_full_sort(void **state)
{
    enum { N = 100 };
    static const struct key128 key = {{3}};
    struct rng r;

    (void)state;
    rng_init(&r, 1, RNG_TEST, 0, &key, 0);
    for (int round = 0; round < 300; round++) {
        float probs[N];
        uint16_t cls[N];
        uint16_t all[N];
        uint16_t logp[N];
        struct label l;
        int k = 1 + (int)rng_below(&r, N);

        for (int i = 0; i < N; i++) { /* many ties */
            probs[i] = (float)rng_below(&r, 20) / 1000;
        }
        label_from_probs(probs, N, k, cls, logp, &l);
        for (int i = 0; i < N; i++) {
            int rank = 0;

            for (int j = 0; j < N; j++) {
                rank += probs[j] > probs[i] || (probs[j] == probs[i] && j < i);
            }
            all[rank] = (uint16_t)i;
        }
        assert_memory_equal(cls, all, (size_t)k * sizeof *cls);
    }
}

static void a_target_spreads_the_rest_and_sums_to_one(void **state)
{
    static const float probs[6] = {0.1f, 0.3f, 0.05f, 0.3f, 0.2f, 0.05f};
    uint16_t cls[6];
    uint16_t logp[6];
    float target[6];
    struct label l;

    (void)state;
    label_from_probs(probs, 6, 4, cls, logp, &l);
    label_to_target(&l, 6, 1, target);
    for (int i = 0; i < 6; i++) {
        assert_true(fabsf(target[i] - probs[i]) < 1e-3f);
    }
    for (double t = 0.001; t < 100; t *= 3) {
        float sum = 0;

        label_to_target(&l, 6, t, target);
        for (int i = 0; i < 6; i++) {
            sum += target[i];
        }
        assert_true(fabsf(sum - 1) < 1e-5f);
    }
}

static void temperature_sharpens_and_zero_is_hard(void **state)
{
    static const float probs[3] = {0.2f, 0.5f, 0.3f};
    static const float hard[3] = {0, 1, 0};
    uint16_t cls[3];
    uint16_t logp[3];
    float target[3];
    struct label l;

    (void)state;
    label_from_probs(probs, 3, 3, cls, logp, &l);
    label_to_target(&l, 3, 0.5, target); /* p^2 renormalised */
    assert_true(fabsf(target[0] - 0.04f / 0.38f) < 1e-3f);
    assert_true(fabsf(target[1] - 0.25f / 0.38f) < 1e-3f);
    assert_true(fabsf(target[2] - 0.09f / 0.38f) < 1e-3f);
    label_to_target(&l, 3, 0, target);
    assert_memory_equal(target, hard, sizeof hard);
}

static void the_lineage_digest_covers_all_that_labels_depend_on(void **state)
{
    struct label_lineage base = help_lineage();
    struct label_lineage l = base;
    struct digest a;
    struct digest b;

    (void)state;
    label_lineage_digest(&base, &a);
    (void)snprintf(l.isa, sizeof l.isa, "avx512");
    (void)snprintf(l.model, sizeof l.model, "another name");
    label_lineage_digest(&l, &b);
    assert_memory_equal(&a, &b, sizeof a);
    for (int i = 0; i < 5; i++) {
        l = base;
        l.weights.b[0] ^= i == 0;
        l.preprocessing[0] ^= i == 1;
        l.precision[0] ^= i == 2;
        l.classes.b[31] ^= i == 3;
        l.top_k += i == 4;
        label_lineage_digest(&l, &b);
        assert_memory_not_equal(&a, &b, sizeof a);
    }
    base.calibration.b[5] ^= 1; /* only int8 has one */
    label_lineage_digest(&base, &b);
    assert_memory_equal(&a, &b, sizeof a);
    (void)snprintf(base.precision, sizeof base.precision, "int8");
    label_lineage_digest(&base, &a);
    base.calibration.b[5] ^= 1;
    label_lineage_digest(&base, &b);
    assert_memory_not_equal(&a, &b, sizeof a);
}

static void drift_is_the_larger_of_the_two(void **state)
{
    (void)state;
    assert_true(label_audit_drift(&(struct label_audit){0, 0, 0}) == 0);
    assert_true(label_audit_drift(&(struct label_audit){4, 3, 1000}) == 0.25);
    assert_true(label_audit_drift(&(struct label_audit){4, 4, 500000}) == 0.5);
}

static void a_record_with_any_flipped_bit_is_refused(void **state)
{
    static const struct key128 key = {{9, 8, 7}};
    struct help_label h;
    uint16_t room[64];
    uint8_t *record = (uint8_t *)room;
    struct label l;
    size_t bytes = label_record_bytes(HELP_K);

    (void)state;
    help_label(&key, &h);
    label_record_write(&h.label, record);
    assert_null(label_record_parse(&key, 16, record, bytes, HELP_K, HELP_CLASSES, &l));
    assert_memory_equal(l.cls, h.cls, 2 * HELP_K);
    assert_memory_equal(l.logp, h.logp, 2 * HELP_K);
    assert_true(l.confidence == h.label.confidence && l.rest_logp == h.label.rest_logp);
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        const char *wrong = NULL;

        record[bit / 8] ^= (uint8_t)(1 << bit % 8);
        wrong = label_record_parse(&key, 16, record, bytes, HELP_K, HELP_CLASSES, &l);
        assert_non_null(wrong);
        assert_string_equal(wrong, "its checksum is wrong");
        record[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_string_equal(label_record_parse(&key, 16, record, bytes - 1, HELP_K, HELP_CLASSES, &l),
                        "it does not have the size of a label");
    assert_string_equal(label_record_parse(&key, 15, record, bytes, HELP_K, HELP_CLASSES, &l),
                        "its key does not have 16 bytes");
}

static void a_sealed_lie_is_refused(void **state)
{
    static const struct key128 key = {{9}};
    struct help_label h;
    uint16_t room[64];
    struct label l;
    size_t bytes = label_record_bytes(HELP_K);

    (void)state;
    help_label(&key, &h);
    h.cls[1] = HELP_CLASSES;
    label_record_write(&h.label, (uint8_t *)room);
    assert_string_equal(label_record_parse(&key, 16, room, bytes, HELP_K, HELP_CLASSES, &l),
                        "it names a class that the list does not have");
    help_label(&key, &h);
    h.logp[2] = 0x7E00;
    label_record_write(&h.label, (uint8_t *)room);
    assert_string_equal(label_record_parse(&key, 16, room, bytes, HELP_K, HELP_CLASSES, &l),
                        "it holds something that is not a log-probability");
    help_label(&key, &h);
    h.logp[0] = 0xC000;
    h.logp[1] = 0xB800;
    label_record_write(&h.label, (uint8_t *)room);
    assert_string_equal(label_record_parse(&key, 16, room, bytes, HELP_K, HELP_CLASSES, &l),
                        "its classes are not best first");
    help_label(&key, &h);
    h.label.confidence = NAN;
    label_record_write(&h.label, (uint8_t *)room);
    assert_string_equal(label_record_parse(&key, 16, room, bytes, HELP_K, HELP_CLASSES, &l),
                        "its confidence is not in [0, 1]");
    help_label(&key, &h);
    h.label.rest_logp = 0x3C00;
    label_record_write(&h.label, (uint8_t *)room);
    assert_string_equal(label_record_parse(&key, 16, room, bytes, HELP_K, HELP_CLASSES, &l),
                        "its left-over mass is not a log-probability");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_float_survives_the_round_trip),
        cmocka_unit_test(floats_round_to_the_nearest_even_half),
        cmocka_unit_test(labels_are_best_first_with_ties_by_class),
        cmocka_unit_test(top_k_equals_a_full_sort),
        cmocka_unit_test(a_target_spreads_the_rest_and_sums_to_one),
        cmocka_unit_test(temperature_sharpens_and_zero_is_hard),
        cmocka_unit_test(the_lineage_digest_covers_all_that_labels_depend_on),
        cmocka_unit_test(drift_is_the_larger_of_the_two),
        cmocka_unit_test(a_record_with_any_flipped_bit_is_refused),
        cmocka_unit_test(a_sealed_lie_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
