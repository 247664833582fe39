/* Stochastic depth and dropout, keyed by image and copy, never by rank or place in the batch. */
#include "common/base/rng.h"
#include "common/train/trainer_impl.h"

double trainer_noise_rate(const struct trainer *t, int block)
{
    const struct nn_family *f = t->params->model.family;
    int blocks = nn_family_blocks(f);
    struct nn_block b;

    if (t->config.drop_path_per_stage) {
        nn_family_block(f, block, &b);
        return t->config.drop_path * (b.stage + 2) / 5.0;
    }
    return blocks > 1 ? t->config.drop_path * block / (blocks - 1) : t->config.drop_path;
}

/* 0 with probability rate, else 1/(1-rate). */
static float draw(struct rng *r, double rate)
{
    return (double)rng_f32(r) < rate ? 0.0F : (float)(1.0 / (1.0 - rate));
}

void trainer_noise_draw(struct trainer *t, const struct trainer_batch *b, int64_t step)
{
    int rows = t->config.net.batch;
    int features = net_features(t->net);
    struct rng r;

    for (int i = 0; i < rows && t->config.net.with_keep; i++) {
        rng_init(&r, t->config.seed, RNG_DROP_PATH, (uint64_t)step, &b->keys[i], b->copies[i]);
        for (int k = 0; k < net_blocks(t->net); k++) {
            t->keep[(size_t)k * (size_t)rows + (size_t)i] = draw(&r, trainer_noise_rate(t, k));
        }
    }
    for (int i = 0; i < rows && t->config.net.with_dropout; i++) {
        rng_init(&r, t->config.seed, RNG_DROPOUT, (uint64_t)step, &b->keys[i], b->copies[i]);
        for (int k = 0; k < features; k++) {
            t->dropout[(size_t)i * (size_t)features + (size_t)k] = draw(&r, t->config.dropout);
        }
    }
}
