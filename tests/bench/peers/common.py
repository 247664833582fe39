"""What the peers share: the least time of a function, the networks."""
import time
from functools import partial

import timm
import torch
from timm.layers import get_attn
from timm.models.resnet import Bottleneck, ResNet

torch.set_num_threads(len(__import__('os').sched_getaffinity(0)))


def least(f, seconds):
    """The least time of f, after two calls that are not counted."""
    f()
    f()
    best = float('inf')
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or best == float('inf'):
        start = time.perf_counter()
        f()
        best = min(best, time.perf_counter() - start)
    return best


def small(width, blocks, channels, classes):
    """preceptor's small members: two convolutions in the stem, three stages."""
    m = ResNet(Bottleneck, blocks, num_classes=classes, in_chans=channels, stem_width=width // 2,
               stem_type='deep', replace_stem_pool=True, avg_down=True,
               channels=tuple(width << i for i in range(len(blocks))),
               block_args=dict(attn_layer=partial(get_attn('se'), rd_ratio=0.25)))
    m.conv1 = torch.nn.Sequential(
        torch.nn.Conv2d(channels, width, 3, padding=1, bias=False), torch.nn.BatchNorm2d(width),
        torch.nn.ReLU(inplace=True),
        torch.nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False))
    m.bn1 = torch.nn.BatchNorm2d(width)
    m.maxpool = torch.nn.Identity()
    return m


def network(name, channels=3, classes=1000):
    if name == 'resnetrs11_w16':
        return small(16, (1, 1, 1), channels, classes)
    return timm.create_model(name, in_chans=channels, num_classes=classes)
