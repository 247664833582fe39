"""What TensorFlow's Model Garden gives: RandAugment's operations on images and their arguments, learning
rates, EMA, stochastic depth.

    parity_tf.py SEED OUT.json FILE.png...

A process of its own: TensorFlow and torch do not share one well.
"""
import hashlib
import json
import sys

import make_tf_aug
import numpy as np
import tensorflow as tf
import tf_keras
from official.modeling import optimization
from official.modeling.optimization import ema_optimizer
from official.vision.modeling.layers import nn_layers
from official.vision.ops import augment as tfa
from PIL import Image


def augment(files, rng):
    """[file, operation, argument, centre x, centre y, SHA-256]"""
    make_tf_aug.LEVELS = (5.0, 10.0, 15.0, 27.0, float(np.float32(rng.uniform(0, 30))))
    rows = []
    for path in files:
        a = np.asarray(Image.open(path).convert('RGB'))
        for op, _, arg, cx, cy, out in make_tf_aug.cases(a):
            out = np.ascontiguousarray(out.numpy())
            rows.append([path, op, float(arg), int(cx), int(cy), hashlib.sha256(out).hexdigest()])
    return rows


def arguments(rng):
    """[operation, magnitude, argument without its sign]"""
    keys = dict(rotate='Rotate', posterize='Posterize', solarize='Solarize', solarize_add='SolarizeAdd',
                color='Color', contrast='Contrast', brightness='Brightness', sharpness='Sharpness',
                shear_x='ShearX', shear_y='ShearY', translate_x='TranslateX', translate_y='TranslateY',
                cutout='Cutout')
    args = tfa.level_to_arg(40.0, 100.0)
    return [[op, m, abs(float(args[key](m)[0]))] for op, key in keys.items()
            for m in (10.0, 15.0, 27.0, float(np.float32(rng.uniform(0, 30))))]


def steps(rng):
    """[lr, steps, warm-up, [[step, rate], ...]] of TF1's steps: by ten at 30, 60 and 80 of 90."""
    out = []
    for _ in range(3):
        lr, part, warmup = float(np.float32(rng.uniform(0.01, 4))), int(rng.integers(10, 2000)), int(
            rng.integers(1, 80))
        total = 90 * part
        # Keras keeps a value up to and with its boundary
        config = optimization.OptimizationConfig({
            'optimizer': {'type': 'sgd'},
            'learning_rate': {'type': 'stepwise', 'stepwise': {
                'boundaries': [30 * part - 1, 60 * part - 1, 80 * part - 1],
                'values': [lr, lr / 10, lr / 100, lr / 1000]}},
            'warmup': {'type': 'linear', 'linear': {'warmup_steps': warmup,
                                                    'warmup_learning_rate': 0}}})
        rate = optimization.OptimizerFactory(config).build_learning_rate()
        at = sorted({0, 1, warmup - 1, warmup} | {k * part + d for k in (30, 60, 80) for d in (-1, 0, 1)} |
                    {int(s) for s in rng.integers(0, total, 20)})
        out.append([lr, total, warmup, [[s, float(rate(s))] for s in at]])
    return out


def rates(rng):
    """[lr, steps, warm-up, [[step, rate], ...]]: the paper's run and others."""
    runs = [(1.6, 109200, 1560)] + [(float(np.float32(rng.uniform(0.01, 4))), int(rng.integers(500, 200000)),
                                     int(rng.integers(1, 400))) for _ in range(3)]
    out = []
    for lr, steps, warmup in runs:
        config = optimization.OptimizationConfig({
            'optimizer': {'type': 'sgd'},
            'learning_rate': {'type': 'cosine', 'cosine': {'initial_learning_rate': lr,
                                                           'decay_steps': steps}},
            'warmup': {'type': 'linear', 'linear': {'warmup_steps': warmup,
                                                    'warmup_learning_rate': 0}}})
        rate = optimization.OptimizerFactory(config).build_learning_rate()
        at = sorted({0, 1, warmup - 1, warmup, warmup + 1, steps // 2, steps - 1, steps, steps + 9} |
                    {int(s) for s in rng.integers(0, steps, 20)})
        out.append([lr, steps, warmup, [[s, float(rate(s))] for s in at]])
    return out


class One(tf_keras.Model):
    def __init__(self, w):
        super().__init__()
        self.w = w


def decays(rng):
    """[updates so far, decay] as the optimizer applies it: a weight of 1, an average of 0."""
    out = []
    w = tf.Variable([1.0])
    model = One(w)
    for t in [1, 2, 10, 100, 10000, 10**6] + [int(v) for v in rng.integers(1, 200000, 10)]:
        ema = ema_optimizer.ExponentialMovingAverage(
            tf_keras.optimizers.legacy.SGD(0.0), trainable_weights_only=True, average_decay=0.9999)
        ema.shadow_copy(model)
        ema._optimizer.iterations.assign(t - 1)
        ema._average_weights[0].assign([0.0])
        ema.apply_gradients([(tf.constant([0.0]), w)])
        out.append([t, 1.0 - float(ema._average_weights[0][0])])
    return out


if __name__ == '__main__':
    rng = np.random.default_rng(int(sys.argv[1]))
    with open(sys.argv[2], 'w') as f:
        json.dump(dict(version=tf.__version__, augment=augment(sys.argv[3:], rng), rates=rates(rng),
                       decays=decays(rng), arguments=arguments(rng), steps=steps(rng),
                       depth=[nn_layers.get_stochastic_depth_rate(0.1, i + 2, 5) for i in range(4)]), f)
