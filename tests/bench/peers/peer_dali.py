"""The input pipeline of DALI on processors. usage: peer_dali.py PHOTOS train|eval SIZE SECONDS"""
import os
import sys
import time

from nvidia.dali import fn, pipeline_def, types

folder, kind, size, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
cores = len(os.sched_getaffinity(0))


@pipeline_def(batch_size=64, num_threads=cores, device_id=None)
def pipeline():
    jpegs, labels = fn.readers.file(file_root=folder, random_shuffle=True, name='files')
    mirror = 0
    if kind == 'train':
        x = fn.decoders.image_random_crop(jpegs, device='cpu')
        x = fn.resize(x, resize_x=size, resize_y=size)
        mirror = fn.random.coin_flip()
    else:
        x = fn.decoders.image(jpegs, device='cpu')
        x = fn.resize(x, resize_shorter=int(size / 0.91))
    x = fn.crop_mirror_normalize(x, dtype=types.FLOAT, output_layout='CHW', crop=(size, size),
                                 mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                                 mirror=mirror)
    return x, labels


p = pipeline()
p.build()
batches = max(1, p.epoch_size('files') // 64)
best = 0
end = time.perf_counter() + seconds
while time.perf_counter() < end or best == 0:
    start = time.perf_counter()
    for _ in range(batches):
        p.run()
    best = max(best, 64 * batches / (time.perf_counter() - start))
print(f'theirs\t{best:.1f}')
