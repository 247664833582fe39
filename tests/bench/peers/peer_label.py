"""The job of `preceptor label` as torch's users do it: ImageFolder, DataLoader, inductor in bf16,
top 10 of each image to a file. Compiling is not counted. usage: peer_label.py PHOTOS MODEL SIZE"""
import os
import sys
import tempfile
import time

import numpy as np
import torch
import torchvision as tv
from common import network

folder, name, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
workers = torch.get_num_threads()
T = tv.transforms
transform = T.Compose([
    T.Resize(int(size / 0.91), T.InterpolationMode.BICUBIC), T.CenterCrop(size), T.ToTensor(),
    T.Normalize((.485, .456, .406), (.229, .224, .225))])
data = tv.datasets.ImageFolder(folder, transform)
loader = torch.utils.data.DataLoader(data, 32, num_workers=workers, drop_last=True)
model = torch.compile(network(name).to(memory_format=torch.channels_last).eval())


def predict(x):
    with torch.inference_mode(), torch.autocast('cpu', torch.bfloat16):
        return torch.topk(torch.softmax(model(x.to(memory_format=torch.channels_last)).float(), 1),
                          10)


x = torch.randn(32, 3, size, size)
predict(x), predict(x)
start, n, out = time.perf_counter(), 0, []
for x, _ in loader:
    p, k = predict(x)
    out.append((p.numpy(), k.numpy().astype(np.uint16)))
    n += len(x)
with tempfile.TemporaryDirectory() as d:
    np.savez(os.path.join(d, 'labels.npz'), p=np.concatenate([o[0] for o in out]),
             k=np.concatenate([o[1] for o in out]))
    print('theirs\t%.3f' % (n / (time.perf_counter() - start)))
