#include "student/train_config.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/yaml.h"

#define AT(field) offsetof(struct train_config, field)

/* clang-format off */
const struct opt train_opts[] = {
    {"recipe", OPT_STR, AT(recipe), NULL, 0, 0, NULL, "FILE", "YAML recipe to take options from"},
    {"section", OPT_STR, AT(section), "train", 0, 0, NULL, "NAME", "section of the recipe that holds this run's options"},
    {"out", OPT_STR, AT(out), NULL, 0, 0, NULL, "RUN", "folder of the run: recipe.yaml, metrics.jsonl, checkpoints, model.safetensors"},
    {"data", OPT_STR, AT(data), NULL, 0, 0, NULL, "CORPUS", "labeled corpus"},
    {"unlabeled", OPT_STR, AT(unlabeled), NULL, 0, 0, NULL, "CORPUS", "corpus that the pseudo-labels are for"},
    {"labels", OPT_STR, AT(labels), NULL, 0, 0, NULL, "LABELS", "label store made by `preceptor label`"},
    {"selection", OPT_STR, AT(selection), NULL, 0, 0, NULL, "FILE", "selection made by `preceptor select`; without it every labeled image is used once an epoch"},
    {"eval_data", OPT_STR, AT(eval_data), NULL, 0, 0, NULL, "CORPUS", "labeled corpus to evaluate the averaged weights on, at the end and every eval_every steps"},
    {"init", OPT_STR, AT(init), NULL, 0, 0, NULL, "WEIGHTS", "safetensors file to start from (fine-tuning); without it weights are drawn from the seed"},
    {"replace_head", OPT_BOOL, AT(replace_head), "false", 0, 0, NULL, NULL, "with --init: draw a new head when the class count differs"},
    {"resume", OPT_BOOL, AT(resume), "true", 0, 0, NULL, NULL, "go on from the newest checkpoint in RUN if it belongs to the same run"},
    {"dry_run", OPT_BOOL, AT(dry_run), "false", 0, 0, NULL, NULL, "print the resolved recipe, its cost and its learning-rate curve, and stop"},
    {"dry_run_images", OPT_INT, AT(dry_run_images), "1281167", 1, 1e12, NULL, "N", "labeled images to assume in a dry run without --data (ImageNet's)"},
    {"dry_run_classes", OPT_INT, AT(dry_run_classes), "1000", 1, 65536, NULL, "N", "classes to assume in a dry run without --data"},
    {"json", OPT_BOOL, AT(json), "false", 0, 0, NULL, NULL, "print the result as JSON on standard output"},
    {"device", OPT_STR, AT(device), "auto", 0, 0, NULL, "NAME", "auto, cuda, cpu or ref"},
    {"collective", OPT_ENUM, AT(collective), "auto", 0, 0, "auto,mpi,nccl", "NAME", "what sums the gradients of all ranks: nccl in the memory of GPUs, mpi in that of the host; auto: nccl where it can"},
    {"measure_engines", OPT_BOOL, AT(measure_engines), "true", 0, 0, NULL, NULL, "on a GPU: take the fastest of cuDNN's first engines for each convolution (measured once, then kept on disk), not the first"},
    {"threads", OPT_INT, AT(threads), "0", 0, 1024, NULL, "N", "compute threads of a rank; 0: cores / ranks of this host"},
    {"decoders", OPT_INT, AT(decoders), "0", 0, 1024, NULL, "N", "decoding threads of a rank; 0: as many as compute threads"},

    {"model", OPT_STR, AT(model), "resnetrs50", 0, 0, NULL, "NAME", "member of the family (`preceptor models`)"},
    {"in_channels", OPT_INT, AT(in_channels), "3", 1, 3, NULL, "N", "1: gray, 3: colour"},
    {"size", OPT_INT, AT(size), "0", 0, 4096, NULL, "PX", "side of the training images; 0: the member's own"},
    {"eval_size", OPT_INT, AT(eval_size), "0", 0, 4096, NULL, "PX", "side at evaluation; 0: as in training"},
    {"crop_pct", OPT_F64, AT(crop_pct), "0", 0, 1, NULL, "X", "evaluation crops the centre after resizing to size / crop_pct; 0: the member's own"},
    {"mean", OPT_STR, AT(mean), NULL, 0, 0, NULL, "R,G,B", "of pixel/255; default: ImageNet's"},
    {"std", OPT_STR, AT(std), NULL, 0, 0, NULL, "R,G,B", "of pixel/255; default: ImageNet's"},
    {"precision", OPT_ENUM, AT(precision), "f32", 0, 0, "f32,bf16", "TYPE", "of activations and weight copies; masters stay f32"},
    {"dropout", OPT_F64, AT(dropout), "0.25", 0, 0.99, NULL, "P", "before the head (ResNet-RS Table 8: 0.25; 0.4 at 320 px)"},
    {"drop_path", OPT_F64, AT(drop_path), "0", 0, 0.99, NULL, "P", "stochastic depth of the last block, linear from 0 (0.1 from ResNet-RS-200 on)"},
    {"drop_path_per_stage", OPT_BOOL, AT(drop_path_per_stage), "false", 0, 0, NULL, NULL, "the paper's code: one rate a stage, P * (i+2)/5"},
    {"fc_std", OPT_F64, AT(fc_std), "0.01", 0, 1, NULL, "X", "standard deviation of the head's initial weights"},

    {"batch", OPT_INT, AT(batch), "4096", 1, 1048576, NULL, "N", "labeled images a step"},
    {"unlabeled_ratio", OPT_F64, AT(unlabeled_ratio), "0", 0, 1000, NULL, "X", "unlabeled images for each labeled one (Noisy Student: 1 to 28; the ResNet-RS run's is not published)"},
    {"micro_batch", OPT_INT, AT(micro_batch), "0", 0, 1048576, NULL, "N", "rows (labeled and unlabeled) that share BN statistics; ranks divide a step by these; 0: all rows of a step"},
    {"steps", OPT_INT, AT(steps), "0", 0, 1e12, NULL, "N", "length of the run; 0: from epochs"},
    {"epochs", OPT_F64, AT(epochs), "350", 0, 1e6, NULL, "X", "length in passes over the labeled images, when steps is 0"},
    {"seed", OPT_INT, AT(seed), "0", 0, 1e15, NULL, "N", "of weights, order and noise"},
    {"window", OPT_INT, AT(window), "8", 1, 4096, NULL, "N", "shards that are mixed at a time"},

    {"lr", OPT_F64, AT(lr), "0.1", 0, 1000, NULL, "RATE", "peak learning rate for 256 rows a step"},
    {"lr_scaling", OPT_BOOL, AT(lr_scaling), "true", 0, 0, NULL, NULL, "scale lr linearly with the rows of a step / 256"},
    {"schedule", OPT_ENUM, AT(schedule), "cosine", 0, 0, "cosine,step,constant", "KIND", "cosine to 0 (the paper) or the TF1 code's steps"},
    {"warmup_epochs", OPT_F64, AT(warmup_epochs), "5", 0, 1e6, NULL, "X", "linear warm-up, when warmup_steps is 0"},
    {"warmup_steps", OPT_INT, AT(warmup_steps), "0", 0, 1e12, NULL, "N", "linear warm-up; 0: from warmup_epochs"},
    {"momentum", OPT_F64, AT(momentum), "0.9", 0, 0.9999, NULL, "X", "of SGD"},
    {"nesterov", OPT_BOOL, AT(nesterov), "true", 0, 0, NULL, NULL, "Nesterov's form (TF1 code; the TF2 code has plain momentum)"},
    {"weight_decay", OPT_F64, AT(weight_decay), "4e-5", 0, 1, NULL, "X", "coupled L2 on kernels, never on BN"},
    {"decay_biases", OPT_BOOL, AT(decay_biases), "false", 0, 0, NULL, NULL, "decay the biases of SE and head too (TF1 code)"},
    {"ema_decay", OPT_F64, AT(ema_decay), "0.9999", 0, 0.9999999, NULL, "X", "of weights and BN statistics, min(X, (1+t)/(10+t)); 0: off"},
    {"bn_momentum", OPT_F64, AT(bn_momentum), "1", 0, 1, NULL, "X", "share of the newest batch in BN's running statistics (TF's momentum 0 is 1 here, torch's 0.1 is 0.1)"},
    {"clip_norm", OPT_F64, AT(clip_norm), "0", 0, 1e9, NULL, "X", "clip the gradient's norm; 0: off"},
    {"skip_nonfinite", OPT_BOOL, AT(skip_nonfinite), "false", 0, 0, NULL, NULL, "skip a step whose loss or gradient is not finite instead of stopping"},

    {"label_smoothing", OPT_F64, AT(label_smoothing), "0.1", 0, 0.99, NULL, "X", "on labeled rows and hard pseudo-labels"},
    {"temperature", OPT_F64, AT(temperature), "1", 0.01, 100, NULL, "T", "pseudo-labels are p^(1/T), renormalised"},
    {"hard", OPT_BOOL, AT(hard), "false", 0, 0, NULL, NULL, "use the top-1 class of a pseudo-label alone"},
    {"unlabeled_weight", OPT_F64, AT(unlabeled_weight), "1", 0, 1000, NULL, "X", "weight of an unlabeled row's loss"},
    {"loss_norm", OPT_ENUM, AT(loss_norm), "all", 0, 0, "all,labeled", "BY", "divide the summed loss by all rows, or by the labeled ones (Noisy Student's code)"},
    {"shuffle_labels", OPT_BOOL, AT(shuffle_labels), "false", 0, 0, NULL, NULL, "control: give each unlabeled image another image's pseudo-label"},

    {"augment.crop", OPT_ENUM, AT(crop), "rrc", 0, 0, "rrc,center,shift", "KIND", "random-resized crop, centre crop, or centre crop shifted"},
    {"augment.area_min", OPT_F64, AT(area_min), "0.08", 0.0001, 1, NULL, "X", "rrc: least share of the image's area"},
    {"augment.aspect_min", OPT_F64, AT(aspect_min), "0.75", 0.01, 1, NULL, "X", "rrc: least aspect ratio; the largest is its inverse"},
    {"augment.filter", OPT_ENUM, AT(filter), "bicubic", 0, 0, "bilinear,bicubic", "KIND", "of resizing in training"},
    {"augment.shift_px", OPT_INT, AT(shift_px), "0", 0, 1024, NULL, "N", "shift: up to N pixels each way"},
    {"augment.flip", OPT_F64, AT(flip), "0.5", 0, 1, NULL, "P", "horizontal flip"},
    {"augment.layers", OPT_INT, AT(layers), "2", 0, 16, NULL, "N", "RandAugment operations an image; 0: off"},
    {"augment.magnitude", OPT_F64, AT(magnitude), "10", 0, 40, NULL, "M", "RandAugment magnitude of 10"},
    {"augment.magnitude_std", OPT_F64, AT(magnitude_std), "0", 0, 10, NULL, "X", "timm's mstd"},
    {"augment.op_prob", OPT_F64, AT(op_prob), "1", 0, 1, NULL, "P", "that a drawn operation is applied (tf 1, timm 0.5)"},
    {"augment.flavor", OPT_ENUM, AT(flavor), "tf", 0, 0, "tf,timm", "KIND", "whose RandAugment: the paper's code or timm's"},
    {"augment.ops", OPT_STR, AT(ops), "all", 0, 0, NULL, "LIST", "operations to draw from, by name, comma-separated"},
    {"augment.translate", OPT_F64, AT(translate), "0", 0, 4096, NULL, "PX", "translation at magnitude 10; 0: the flavor's own (tf 100 px, timm 0.45 of the side)"},
    {"augment.fill", OPT_INT, AT(fill), "-1", -1, 255, NULL, "N", "gray value of what geometry and cutout uncover; -1: the flavor's own"},
    {"augment.cutout_const", OPT_F64, AT(cutout_const), "40", 0, 4096, NULL, "PX", "RandAugment's cutout: half side at magnitude 10"},
    {"augment.cutout_px", OPT_INT, AT(cutout_px), "0", 0, 4096, NULL, "N", "cutout after RandAugment: side"},
    {"augment.cutout_prob", OPT_F64, AT(cutout_prob), "0", 0, 1, NULL, "P", "cutout after RandAugment: probability"},

    {"eval_every", OPT_INT, AT(eval_every), "0", 0, 1e12, NULL, "N", "steps between evaluations; 0: at the end only"},
    {"checkpoint_every", OPT_INT, AT(checkpoint_every), "1000", 1, 1e12, NULL, "N", "steps between checkpoints"},
    {"keep", OPT_INT, AT(keep), "2", 1, 1000, NULL, "N", "newest checkpoints to keep, beside the best by eval_data"},
    {"watchdog", OPT_F64, AT(watchdog), "300", 0, 1e6, NULL, "SECONDS", "how long a late rank is waited for, and images, a micro-batch or a checkpoint may take, before the job ends with the name; 0: for ever"},
    {"profile", OPT_STR, AT(profile), NULL, 0, 0, NULL, "FILE", "write a Chrome trace of rank 0's first steps: each plan, each wait, the update"},
    {"log_every", OPT_INT, AT(log_every), "10", 1, 1e6, NULL, "N", "steps between lines of metrics.jsonl"},
    {NULL, OPT_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL}};
/* clang-format on */

static enum rc train_config_section(struct train_config *c, const char *path, const char *section,
                                    struct err *e)
{
    struct yaml_doc doc = {0};
    size_t len = strlen(section);
    size_t used = 0;
    enum rc rc = yaml_load(path, &doc, e);

    if (rc != RC_OK) {
        return rc;
    }
    for (size_t i = 0; i < doc.n && rc == RC_OK; i++) {
        const struct yaml_entry *entry = &doc.entries[i];
        char *where = NULL;

        if (strncmp(entry->key, section, len) != 0 || entry->key[len] != '.') {
            continue;
        }
        where = mem_sprintf("%s:%d", path, entry->line);
        if (where == NULL) {
            rc = mem_raise(e, "a recipe", strlen(path));
            break;
        }
        rc = opts_set(train_opts, c, entry->key + len + 1, entry->value, where, e);
        mem_free(where);
        used++;
    }
    if (rc == RC_OK && used == 0) {
        rc = err_raise(e, RC_INVAL,
                       "'%s' has no section '%s': expected training options under that key "
                       "(say which one with --section)",
                       path, section);
    }
    yaml_release(&doc);
    return rc;
}

static bool train_config_has(const struct yaml_doc *doc, const char *section)
{
    size_t len = strlen(section);

    for (size_t i = 0; i < doc->n; i++) {
        if (strncmp(doc->entries[i].key, section, len) == 0 && doc->entries[i].key[len] == '.') {
            return true;
        }
    }
    return false;
}

enum rc train_config_loop(int argc, char **argv, bool *teacher, bool *student, struct err *e)
{
    struct train_config first = {0};
    struct yaml_doc doc = {0};
    bool help = false;
    enum rc rc = opts_init(train_opts, &first, e);

    rc = rc != RC_OK ? rc : opts_parse_only(train_opts, &first, argc, argv, "train", &help, e);
    *teacher = *student = false;
    if (rc == RC_OK && !help && first.dry_run && first.recipe != NULL &&
        strcmp(first.section, "train") == 0) {
        rc = yaml_load(first.recipe, &doc, e);
    }
    if (rc == RC_OK && !train_config_has(&doc, "train")) {
        *teacher = train_config_has(&doc, "teacher");
        *student = train_config_has(&doc, "student");
    }
    yaml_release(&doc);
    train_config_release(&first);
    return rc;
}

enum rc train_config_parse(int argc, char **argv, struct train_config *out, bool *help,
                           struct err *e)
{
    struct train_config c = {0};
    struct train_config first = {0};
    enum rc rc = opts_init(train_opts, &first, e);

    if (rc == RC_OK) {
        rc = opts_parse_only(train_opts, &first, argc, argv, "train", help, e);
    }
    if (rc == RC_OK) {
        rc = opts_init(train_opts, &c, e);
    }
    if (rc == RC_OK && !*help && first.recipe != NULL) {
        rc = train_config_section(&c, first.recipe, first.section, e);
    }
    if (rc == RC_OK && !*help) {
        rc = opts_parse_only(train_opts, &c, argc, argv, "train", help, e);
    }
    train_config_release(&first);
    if (rc != RC_OK) {
        train_config_release(&c);
        return rc;
    }
    *out = c;
    return RC_OK;
}

void train_config_release(struct train_config *c)
{
    opts_release(train_opts, c);
}

enum rc train_config_model(const struct train_config *c, int classes, struct nn_model *out,
                           struct err *e)
{
    const struct nn_family *family = nn_family_find(c->model);

    if (family == NULL) {
        return err_raise(e, RC_INVAL,
                         "model '%s' is not in the family: `preceptor models` lists it", c->model);
    }
    if (c->in_channels == 2) {
        return err_raise(e, RC_INVAL, "in_channels is 2: expected 1 (gray) or 3 (colour)");
    }
    *out = (struct nn_model){family, (int)c->in_channels, classes};
    return RC_OK;
}

enum rc train_config_rows(const struct train_config *c, struct train_rows *out, struct err *e)
{
    bool mixed = c->unlabeled != NULL || (c->dry_run && c->data == NULL);
    double unlabeled = mixed ? (double)c->batch * c->unlabeled_ratio : 0;
    int64_t u = llround(unlabeled);
    int64_t rows = c->batch + u;
    int64_t micro = c->micro_batch == 0 ? rows : c->micro_batch;
    int64_t m = rows / micro;

    if (fabs(unlabeled - (double)u) > 1e-6) {
        return err_raise(e, RC_INVAL,
                         "batch %lld x unlabeled_ratio %g is not a whole number of images a step",
                         (long long)c->batch, c->unlabeled_ratio);
    }
    if (m < 1 || rows % micro != 0 || c->batch % m != 0 || u % m != 0) {
        return err_raise(e, RC_INVAL,
                         "micro_batch %lld does not divide a step of %lld labeled and %lld "
                         "unlabeled rows into equal mixes: choose (labeled + unlabeled) / n with n "
                         "a divisor of both",
                         (long long)micro, (long long)c->batch, (long long)u);
    }
    out->labeled = (int)c->batch;
    out->unlabeled = (int)u;
    out->micro_batches = (int)m;
    out->micro_labeled = (int)(c->batch / m);
    out->micro_unlabeled = (int)(u / m);
    return RC_OK;
}

enum rc train_config_augment(const struct train_config *c, int size, int channels, double crop_pct,
                             struct augment *out, struct err *e)
{
    augment_default(out);
    out->size = size;
    out->channels = channels;
    out->crop = (enum augment_crop)c->crop;
    out->crop_pct = crop_pct;
    out->area_min = c->area_min;
    out->aspect_min = c->aspect_min;
    out->aspect_max = 1 / c->aspect_min;
    out->filter = (enum image_filter)c->filter;
    out->shift_px = (int)c->shift_px;
    out->flip = c->flip;
    out->layers = (int)c->layers;
    out->magnitude = c->magnitude;
    out->magnitude_std = c->magnitude_std;
    out->op_prob = c->op_prob;
    out->flavor = (enum augment_flavor)c->flavor;
    out->translate_const = c->translate;
    out->cutout_const = c->cutout_const;
    out->fill = (int)c->fill;
    out->cutout_px = (int)c->cutout_px;
    out->cutout_prob = c->cutout_prob;
    return augment_parse_ops(c->ops, &out->ops, e);
}

static enum rc train_config_channels(const char *name, const char *text, int channels,
                                     const float def[3], float out[3], struct err *e)
{
    const char *s = text;

    if (text == NULL) {
        for (int i = 0; i < 3; i++) {
            out[i] = channels == 1 ? (def[0] + def[1] + def[2]) / 3 : def[i];
        }
        return RC_OK;
    }
    for (int i = 0; i < channels; i++) {
        char *end = NULL;

        out[i] = strtof(s, &end);
        if (end == s || *end != (i + 1 < channels ? ',' : '\0') || !isfinite(out[i])) {
            return err_raise(e, RC_INVAL, "%s '%s': expected %d number%s, comma-separated", name,
                             text, channels, channels == 1 ? "" : "s");
        }
        s = end + 1;
    }
    for (int i = channels; i < 3; i++) {
        out[i] = out[0];
    }
    return RC_OK;
}

static enum rc train_config_net(const struct train_config *c, const struct nn_model *model,
                                struct net_config *out, struct err *e)
{
    static const float mean[3] = {0.485f, 0.456f, 0.406f};
    static const float std[3] = {0.229f, 0.224f, 0.225f};
    enum rc rc = train_config_channels("mean", c->mean, model->in_channels, mean, out->mean, e);

    if (rc == RC_OK) {
        rc = train_config_channels("std", c->std, model->in_channels, std, out->std, e);
    }
    for (int i = 0; rc == RC_OK && i < 3; i++) {
        if (out->std[i] <= 0) {
            rc = err_raise(e, RC_INVAL, "std '%s': expected numbers above 0", c->std);
        }
    }
    out->model = *model;
    out->size = (int)(c->size != 0 ? c->size : model->family->train_size);
    out->type = c->precision == TRAIN_BF16 ? DT_BF16 : DT_F32;
    out->training = true;
    return rc;
}

enum rc train_config_trainer(const struct train_config *c, const struct nn_model *model,
                             uint64_t labeled_items, struct trainer_config *out, struct err *e)
{
    struct train_rows rows;
    double steps_per_epoch = (double)labeled_items / (double)c->batch;
    double lr_rows = 0;
    enum rc rc = train_config_rows(c, &rows, e);

    if (rc != RC_OK) {
        return rc;
    }
    memset(out, 0, sizeof *out);
    rc = train_config_net(c, model, &out->net, e);
    out->net.batch = rows.micro_labeled + rows.micro_unlabeled;
    out->micro_batches = rows.micro_batches;
    lr_rows = c->loss_norm == TRAIN_NORM_LABELED ? rows.labeled : rows.labeled + rows.unlabeled;
    out->schedule.kind = (enum schedule_kind)c->schedule;
    out->schedule.lr = c->lr_scaling ? c->lr * lr_rows / 256 : c->lr;
    out->schedule.steps = c->steps != 0 ? c->steps : llround(c->epochs * steps_per_epoch);
    out->schedule.warmup =
        c->warmup_steps != 0 ? c->warmup_steps : llround(c->warmup_epochs * steps_per_epoch);
    out->momentum = c->momentum;
    out->nesterov = c->nesterov;
    out->weight_decay = c->weight_decay;
    out->decay_biases = c->decay_biases;
    out->bn_momentum = c->bn_momentum;
    out->ema_decay = c->ema_decay;
    out->dropout = c->dropout;
    out->drop_path = c->drop_path;
    out->drop_path_per_stage = c->drop_path_per_stage;
    out->clip_norm = c->clip_norm;
    out->skip_nonfinite = c->skip_nonfinite;
    out->seed = (uint64_t)c->seed;
    out->fc_std = c->fc_std;
    if (rc == RC_OK && out->schedule.steps < 1) {
        rc = err_raise(e, RC_INVAL,
                       "the run has no steps: give steps, or epochs with batch not above the "
                       "labeled images (%llu)",
                       (unsigned long long)labeled_items);
    }
    if (rc == RC_OK && out->schedule.warmup >= out->schedule.steps) {
        out->schedule.warmup = out->schedule.steps / 10;
    }
    return rc;
}
