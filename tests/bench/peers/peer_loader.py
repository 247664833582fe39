"""torchvision's training input: random-resized crop, flip, RandAugment(2, 10).
usage: peer_loader.py PHOTOS SIZE SECONDS"""
import os
import sys
import time

import torch
import torchvision as tv

folder, size, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
T = tv.transforms
transform = T.Compose([
    T.RandomResizedCrop(size), T.RandomHorizontalFlip(), T.RandAugment(2, 10), T.ToTensor(),
    T.Normalize((.485, .456, .406), (.229, .224, .225))])
loader = torch.utils.data.DataLoader(tv.datasets.ImageFolder(folder, transform), 64, shuffle=True,
                                     num_workers=len(os.sched_getaffinity(0)), persistent_workers=True)
best = 0
end = time.perf_counter() + seconds
while time.perf_counter() < end or best == 0:
    start = time.perf_counter()
    n = sum(len(x) for x, _ in loader)
    best = max(best, n / (time.perf_counter() - start))
print(f'theirs\t{best:.1f}')
