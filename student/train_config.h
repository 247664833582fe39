/**
 * Everything that decides a training run, as one option table: recipe keys, command line, help and
 * the recorded recipe.yaml come from it. Defaults are ResNet-RS's (Bello 2021, section 4.2).
 */
#ifndef PRECEPTOR_TRAIN_CONFIG_H
#define PRECEPTOR_TRAIN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/opt.h"
#include "common/image/augment.h"
#include "common/train/trainer.h"

enum train_loss_norm { TRAIN_NORM_ALL, TRAIN_NORM_LABELED };
enum train_precision { TRAIN_F32, TRAIN_BF16 };

struct train_config {
    /* where */
    char *recipe, *section, *out, *data, *unlabeled, *labels, *selection, *eval_data, *init, *device,
        *profile;
    bool resume, replace_head, dry_run, json, measure_engines;
    int collective; /* enum coll_data */
    int64_t threads, decoders, dry_run_images, dry_run_classes;
    /* network */
    char *model, *mean, *std;
    int64_t in_channels, size, eval_size;
    double crop_pct;
    int precision;
    double dropout, drop_path, fc_std;
    bool drop_path_per_stage;
    /* length and batch */
    int64_t batch, micro_batch, steps, seed, window;
    double epochs, unlabeled_ratio;
    /* optimizer */
    double lr, warmup_epochs, momentum, weight_decay, ema_decay, bn_momentum, clip_norm;
    int64_t warmup_steps;
    int schedule;
    bool nesterov, decay_biases, skip_nonfinite, lr_scaling;
    /* targets */
    double label_smoothing, temperature, unlabeled_weight;
    bool hard, shuffle_labels;
    int loss_norm;
    /* noise on pixels */
    int crop, filter, flavor;
    char *ops;
    double area_min, aspect_min, flip, magnitude, magnitude_std, op_prob, translate, cutout_const,
        cutout_prob;
    int64_t shift_px, layers, cutout_px, fill;
    /* record */
    int64_t eval_every, checkpoint_every, keep, log_every;
    double watchdog;
};

extern const struct opt train_opts[];

/** Defaults, then the recipe's section, then the command line. *help: --help was asked for.
 * RC_USAGE, RC_INVAL name option or file:line. Release: train_config_release. */
NODISCARD enum rc train_config_parse(int argc, char **argv, struct train_config *out, bool *help,
                                     struct err *e);
void train_config_release(struct train_config *c);

/** A dry run of a recipe for `run`, which has no section `train`: which of its trainings are there.
 * Both false: anything else. */
NODISCARD enum rc train_config_loop(int argc, char **argv, bool *teacher, bool *student,
                                    struct err *e);

/** The model that the options name. RC_INVAL names the option. */
NODISCARD enum rc train_config_model(const struct train_config *c, int classes,
                                     struct nn_model *out, struct err *e);

/** Rows of a step: what the batch and its ratio come to. Equal mixes in every micro-batch. */
struct train_rows {
    int labeled, unlabeled;   /* of a step */
    int micro_batches;        /* of a step */
    int micro_labeled, micro_unlabeled;
};

/** Without an unlabeled corpus (and not in a dry run) a step has labeled rows alone.
 * RC_INVAL when the micro-batch does not divide the batch into equal mixes: says which would. */
NODISCARD enum rc train_config_rows(const struct train_config *c, struct train_rows *out,
                                    struct err *e);

/** The augmentation, at the resolved size and channels. RC_INVAL names the key. */
NODISCARD enum rc train_config_augment(const struct train_config *c, int size, int channels,
                                       double crop_pct, struct augment *out, struct err *e);

/** The trainer's configuration for a model; labeled_items: of an epoch (steps and warm-up come from
 * epochs when they are not given). The learning rate is scaled with rows/256. */
NODISCARD enum rc train_config_trainer(const struct train_config *c, const struct nn_model *model,
                                       uint64_t labeled_items, struct trainer_config *out,
                                       struct err *e);

#endif
