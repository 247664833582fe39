"""A training step of torch: SGD with momentum, cross-entropy, channels last, autocast for bf16.
usage: peer_train.py MODEL SIZE BATCH CHANNELS CLASSES f32|bf16 eager|inductor SECONDS"""
import sys

import torch
from common import least, network

name, size, batch, channels, classes = sys.argv[1], *map(int, sys.argv[2:6])
precision, mode, seconds = sys.argv[6], sys.argv[7], float(sys.argv[8])
model = network(name, channels, classes).to(memory_format=torch.channels_last).train()
x = torch.randn(batch, channels, size, size).to(memory_format=torch.channels_last)
y = torch.randint(0, classes, (batch,))
opt = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=4e-5)
run = torch.compile(model) if mode == 'inductor' else model


def step():
    opt.zero_grad(set_to_none=True)
    with torch.autocast('cpu', torch.bfloat16, enabled=precision == 'bf16'):
        loss = torch.nn.functional.cross_entropy(run(x), y)
    loss.backward()
    opt.step()


key = 'theirs' if mode == 'inductor' else 'theirs:eager'
print('%s\t%.3f' % (key, batch / least(step, seconds)))
