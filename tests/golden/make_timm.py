#!/usr/bin/env python3
"""Golden numbers of timm's ResNet-RS: tests/golden/nn/*.json and tests/golden/train/*.json.

    make_timm.py [--seed N] [--out DIR] [--depths 50,101,...]
        pip install torch timm numpy (made with the versions in the files)

Weights, pixels, targets and masks come from a formula that both sides compute (tests/common/nn/
formula.h): no weight file is stored. Large tensors are stored as projections on vectors of +-1: for
a difference d, the mean square of its projections estimates |d|^2. All in float64, from pixels that
are normalised in float32 as timm does. --depths adds gradients of the family's own members.
"""
import argparse
import hashlib
import json
import math
import os
from functools import partial

os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')  # before numpy: blocks are small
import numpy as np
import timm
import torch
from timm.layers import get_attn
from timm.models.resnet import Bottleneck, ResNet

HERE = os.path.dirname(os.path.abspath(__file__))
DEPTHS = (50, 101, 152, 200, 270, 350, 420)
PROJECTIONS = 8
STEPS = 10
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MASK64 = (1 << 64) - 1
BLOCK = 1 << 15
GOLDEN_RATIO = 0x9E3779B97F4A7C15
COUNTER = np.arange(1, BLOCK + 1, dtype=np.uint64) * np.uint64(GOLDEN_RATIO)


# ---- the formula ---------------------------------------------------------------------------------

def fnv1a(text):
    h = 0xCBF29CE484222325
    for b in text.encode():
        h = ((h ^ b) * 0x100000001B3) & MASK64
    return h


def mixed(name, seed, n):
    """(from, 64 bits of each) of n numbers, in blocks that a cache holds: splitmix64 of a counter that
    starts at the name's hash."""
    start = fnv1a(name) + seed * 0x632BE59BD9B4E019
    for at in range(0, n, BLOCK):
        z = COUNTER[:n - at] + np.uint64((start + at * GOLDEN_RATIO) & MASK64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z ^= z >> np.uint64(shift)
            z *= np.uint64(factor)
        z ^= z >> np.uint64(31)
        yield at, z


def uniform(name, seed, n):
    """n numbers in [0, 1), 24 bits each."""
    x = np.empty(n)
    for at, z in mixed(name, seed, n):
        np.divide(z >> np.uint64(40), 2.0**24, out=x[at:at + BLOCK])
    return x


def projection(x, name, j):
    """x @ the j-th vector of signs of this name: -1 where uniform() is below 0.5."""
    total = 0.0
    for at, z in mixed('sign%d.%s' % (j, name), 0, x.size):
        total += float(x[at:at + BLOCK] @ ((z >> np.uint64(63)) * 2.0 - 1.0))
    return total


def share(name):
    """Of what block b of a stage adds, against its first: 'layer3.17.bn3.weight' (formula.h)."""
    return 1.0 / math.sqrt(1.0 + int(name.split('.')[1]))


def weight(name, shape, seed):
    n = int(np.prod(shape))
    x = uniform(name, seed, n)
    y = 2.0 * x - 1.0
    if len(shape) > 1:
        w = y * math.sqrt(6.0 / (n // shape[0]))
    elif name.endswith('.weight'):
        w = (0.1 + 0.5 * x) * share(name) if '.bn3.' in name else 0.5 + x
    elif name.endswith('.running_var'):
        w = 0.5 + x
    else:
        w = 0.2 * y
    return torch.from_numpy(w.astype(np.float32).reshape(shape))


def fill(model, seed):
    state = {}
    for name, t in model.state_dict().items():
        tracked = name.endswith('num_batches_tracked')
        state[name] = t if tracked else weight(name, tuple(t.shape), seed)
    model.load_state_dict(state)
    return model.double()


def pixels(tag, seed, n, size, channels):
    u = np.floor(uniform('pixels' + tag, seed, n * size * size * channels) * 256.0)
    u = u.reshape(n, size, size, channels).astype(np.float32)
    x = (u / np.float32(255) - np.float32(MEAN[:channels])) / np.float32(STD[:channels])
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)).astype(np.float64))


def targets(tag, seed, n, classes, soft):
    if soft:
        t = uniform('target' + tag, seed, n * classes).reshape(n, classes) ** 4
        t = (t / t.sum(1, keepdims=True)).astype(np.float32).astype(np.float64)
    else:
        y = np.floor(uniform('label' + tag, seed, n) * classes).astype(int)
        t = np.full((n, classes), np.float32(0.1 / classes), np.float64)
        t[np.arange(n), y] = np.float32(0.9 + 0.1 / classes)
    return torch.from_numpy(t)


def check_smoothing():
    """Smoothed targets are what torch's cross-entropy means by label_smoothing."""
    t = targets('', 1, 6, 5, False)
    x = torch.linspace(-2, 3, 30, dtype=torch.float64).reshape(6, 5)
    ours = -(t * torch.log_softmax(x, 1)).sum() / 6
    theirs = torch.nn.functional.cross_entropy(x, t.argmax(1), label_smoothing=0.1)
    assert abs(ours - theirs) < 1e-7, (ours, theirs)


def mask(tag, seed, n, rate):
    scale = np.float64(np.float32(1.0 / (1.0 - rate)))
    return torch.from_numpy(np.where(uniform(tag, seed, n) < rate, 0.0, scale))


# ---- networks ------------------------------------------------------------------------------------

def narrow(width, blocks, channels, classes):
    """timm's ResNet-RS with other widths and depths."""
    return ResNet(Bottleneck, blocks, num_classes=classes, in_chans=channels, stem_width=width // 2,
                  stem_type='deep', replace_stem_pool=True, avg_down=True,
                  channels=tuple(width << i for i in range(4)),
                  block_args=dict(attn_layer=partial(get_attn('se'), rd_ratio=0.25)))


def projections(name, t):
    x = t.detach().double().numpy().reshape(-1)
    return [float('%.12g' % v) for v in [math.sqrt(float(x @ x))] +
            [projection(x, name, j) for j in range(PROJECTIONS)]]


def rounded(name, t):
    """Projections of what is left when the other side stores float32."""
    return projections(name, t.detach().float())


class Keep(torch.nn.Module):
    """Stochastic depth by a given mask."""
    def __init__(self):
        super().__init__()
        self.rows = None

    def forward(self, x):
        return x if self.rows is None else x * self.rows[:, None, None, None]


def forward(model, x, dropout):
    f = model.global_pool(model.forward_features(x))
    return model.fc(f if dropout is None else f * dropout)


def margin_hooks(model, worst):
    def hook(module, inputs):
        z = inputs[0].detach()
        worst[0] = min(worst[0], (z.abs().min() / z.square().mean().sqrt()).item())
    for m in model.modules():
        if isinstance(m, torch.nn.ReLU):
            m.register_forward_pre_hook(hook)


# ---- what is stored ------------------------------------------------------------------------------

def families():
    out = []
    for depth in DEPTHS:
        with torch.device('meta'):
            model = timm.create_model('resnetrs%d' % depth, pretrained=False)
        lines = ''.join('%s %s\n' % (k, 'x'.join(map(str, v.shape)))
                        for k, v in model.state_dict().items()
                        if not k.endswith('num_batches_tracked'))
        out.append(dict(name='resnetrs%d' % depth,
                        parameters=sum(p.numel() for p in model.parameters()),
                        tensors=len(model.state_dict()),
                        layout=hashlib.sha256(lines.encode()).hexdigest()))
    return out


def inference(seed):
    out = []
    for name, width, blocks, channels, classes, size, n in (
            ('narrow', 8, (1, 1, 1, 1), 3, 10, 32, 4), ('odd', 16, (1, 2, 1, 1), 3, 7, 45, 2),
            ('gray', 8, (1, 1, 1, 1), 1, 10, 28, 3), ('resnetrs50', 64, (3, 4, 6, 3), 3, 1000, 64, 2)):
        if name == 'resnetrs50':
            model = timm.create_model(name, pretrained=False)
        else:
            model = narrow(width, blocks, channels, classes)
        fill(model, seed).eval()
        with torch.no_grad():
            y = model(pixels('', seed, n, size, channels))
        out.append(dict(name=name, width=width, blocks=blocks, channels=channels, classes=classes,
                        size=size, batch=n, seed=seed, projections=projections('logits', y)))
    return out


def put_keeps(model):
    keeps = []
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        for block in stage:
            block.drop_path = Keep()
            keeps.append(block.drop_path)
    return keeps


def relu_hooks(model, file):
    """Which ReLUs are open goes to the file in forward order: a byte each, (n, h, w, c)."""
    def hook(module, inputs):
        z = inputs[0].detach() > 0
        file.write(z.permute(0, 2, 3, 1).contiguous().numpy().astype(np.uint8).tobytes())
    for m in model.modules():
        if isinstance(m, torch.nn.ReLU):
            m.register_forward_pre_hook(hook)


def gradients(c, seed, masks=None):
    """One backward pass of sum(loss), with masks: every gradient and BN's statistics.
    masks: a file object that takes relu_hooks' bytes."""
    name, n, k = c['name'], c['batch'], c['classes']
    if name.startswith('resnetrs'):
        model = timm.create_model(name, pretrained=False, num_classes=k)
    else:
        model = narrow(c['width'], c['blocks'], c['channels'], k)
    fill(model, seed).train()
    for i, keep in enumerate(put_keeps(model)):
        keep.rows = mask('keep%d.0.0' % i, seed, n, c['keep'])
    bns = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for m in bns:
        m.momentum = 1.0
        m.eps = float(np.float32(m.eps))  # as it is stored here: 1e-5 in double differs by 2.5e-13
    if masks is not None:
        relu_hooks(model, masks)
    features = model.num_features
    drop = mask('dropout0.0', seed, n * features, c['dropout']).reshape(n, features)
    y = forward(model, pixels('0.0', seed, n, c['size'], c['channels']), drop)
    loss = -(targets('0.0', seed, n, k, False) * torch.log_softmax(y, 1)).sum()
    loss.backward()
    return dict(c, seed=seed, loss=loss.item(),
                gradients={a: rounded(a, p.grad) for a, p in model.named_parameters()},
                statistics={a: rounded(a, v) for a, v in model.state_dict().items()
                            if a.endswith(('running_mean', 'running_var'))})


def update(p, g, buf, c):
    """torch.optim.SGD's step, written out so that momentum can be looked at."""
    with torch.no_grad():
        g = g + (c['weight_decay'] * p if c['decayed'] else 0)
        buf.mul_(c['momentum']).add_(g)
        p.sub_(c['lr'] * (g + c['momentum'] * buf if c['nesterov'] else buf))


def decayed(name, c):
    bn = any(s in name for s in ('bn', 'conv1.1.', 'conv1.4.', 'maxpool.1.', 'downsample.2.'))
    if bn:
        return False
    return c['decay_biases'] or name.endswith('.weight')


def train(c, seed, masks=None):
    """STEPS steps, whose open ReLUs go to the file masks; None when in the first a ReLU's input comes nearer to 0
    than the margin (times its layer's rms), so that f32 may flip its sign; in later steps the margin is c['later']
    of that."""
    torch.manual_seed(0)
    model = fill(narrow(c['width'], c['blocks'], c['channels'], c['classes']), seed)
    model.train()
    keeps = put_keeps(model)
    bns = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    worst = [float('inf')]
    margin_hooks(model, worst)
    if masks is not None:
        relu_hooks(model, masks)
    params = dict(model.named_parameters())
    state = {k: v for k, v in model.state_dict().items() if 'tracked' not in k}  # views
    start = {k: v.clone() for k, v in state.items()}
    ema = {k: v.clone() for k, v in state.items()}
    bufs = {k: torch.zeros_like(p) for k, p in params.items()}
    losses, first = [], None
    n, k, features = c['batch'], c['classes'], model.num_features
    for step in range(STEPS):
        running = [(m.running_mean.clone(), m.running_var.clone()) for m in bns]
        sums = [[0, 0] for _ in bns]
        model.zero_grad()
        loss = 0
        for micro in range(c['micro_batches']):
            tag = '%d.%d' % (step, micro)
            for i, keep in enumerate(keeps):
                keep.rows = mask('keep%d.%s' % (i, tag), seed, n, c['keep']) if c['keep'] else None
            drop = None
            if c['dropout']:
                drop = mask('dropout' + tag, seed, n * features, c['dropout']).reshape(n, features)
            for m in bns:
                m.momentum = 1.0
            y = forward(model, pixels(tag, seed, n, c['size'], 3), drop)
            t = targets(tag, seed, n, k, c['soft'])
            part = -(t * torch.log_softmax(y, 1)).sum() / (n * c['micro_batches'])
            part.backward()
            loss += part.item()
            for s, m in zip(sums, bns):
                s[0] = s[0] + m.running_mean / c['micro_batches']
                s[1] = s[1] + m.running_var / c['micro_batches']
            if worst[0] < c['margin'] * (1 if step == 0 else c['later']):
                return None
        losses.append(loss)
        for (mean, var), s, m in zip(running, sums, bns):
            m.running_mean.copy_((1 - c['bn_momentum']) * mean + c['bn_momentum'] * s[0])
            m.running_var.copy_((1 - c['bn_momentum']) * var + c['bn_momentum'] * s[1])
        for name, p in params.items():
            update(p.data, p.grad, bufs[name], dict(c, decayed=decayed(name, c)))
        decay = min(c['ema_decay'], (2.0 + step) / (11.0 + step))
        for name, v in ema.items():
            v.sub_((1 - decay) * (v - state[name]))
        if step == 0:
            first = {name: projections(name, b) for name, b in bufs.items()}
    return dict(c, seed=seed, losses=losses, momentum_1=first,
                momentum_10={n: projections(n, b) for n, b in bufs.items()},
                weights_10={n: projections(n, v - start[n]) for n, v in state.items()},
                ema_10={n: projections(n, v - start[n]) for n, v in ema.items()})


def search(c, seed):
    """From the first seed that is known to keep the margin (or another one's neighbourhood)."""
    seed += c['first'] - 1
    while True:
        out = train(c, seed)
        if out is not None:
            print(c['name'], 'seed', seed)
            return out
        seed += 1


BASE = dict(width=8, channels=3, blocks=(1, 1, 1, 1), batch=4, size=48, classes=5, lr=0.01, momentum=0.9,
            weight_decay=4e-3, ema_decay=0.9999, margin=2e-5, later=0)
CASES = (
    dict(BASE, name='nesterov', first=1, micro_batches=1, nesterov=True, decay_biases=False, bn_momentum=0.1,
         keep=0, dropout=0, soft=False),
    dict(BASE, name='noise', first=631, micro_batches=2, nesterov=False, decay_biases=True, bn_momentum=1.0,
         keep=0.2, dropout=0.25, soft=True, later=0.05))


GRADIENTS = (
    dict(name='odd', width=16, blocks=(1, 2, 1, 1), channels=3, classes=7, size=45, batch=3, keep=0.2,
         dropout=0.25),
    dict(name='gray', width=8, blocks=(2, 1, 1, 1), channels=1, classes=10, size=32, batch=4, keep=0.1,
         dropout=0.4))


def members(depths):
    """The family's own members, at a small size that is odd in three stages."""
    return [dict(name='resnetrs%d' % d, channels=3, classes=1000, size=33, batch=2, keep=0.1,
                 dropout=0.25) for d in depths]


def check_sgd():
    """update() is torch.optim.SGD's step."""
    a = torch.nn.Parameter(torch.linspace(-1, 1, 7, dtype=torch.float64))
    b = a.detach().clone()
    buf = torch.zeros_like(b)
    for nesterov in (True, False):
        opt = torch.optim.SGD([a], lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=nesterov)
        b.copy_(a.detach())
        buf.zero_()
        for _ in range(3):
            a.grad = torch.cos(a.detach())
            update(b, torch.cos(b), buf, dict(weight_decay=0.01, decayed=True, momentum=0.9, lr=0.1,
                                              nesterov=nesterov))
            opt.step()
        assert torch.allclose(a.detach(), b, rtol=1e-14, atol=0), (a, b)


def write(folder, path, data):
    data['made_with'] = 'torch %s, timm %s' % (torch.__version__, timm.__version__)
    path = os.path.join(folder, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as f:
        json.dump(data, f, indent=0, sort_keys=True)
        f.write('\n')


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--seed', type=int, default=1)
    ap.add_argument('--out', default=HERE)
    ap.add_argument('--depths', default='', help='members whose gradients are added: 50,101')
    args = ap.parse_args()
    torch.set_num_threads(1)
    check_sgd()
    check_smoothing()
    cases = list(GRADIENTS) + members([int(d) for d in args.depths.split(',') if d])
    write(args.out, 'nn/timm.json',
          dict(families=families(), inference=inference(args.seed),
               gradients=[gradients(c, args.seed) for c in cases]))
    write(args.out, 'train/timm.json', dict(cases=[search(c, args.seed) for c in CASES]))


if __name__ == '__main__':
    main()
