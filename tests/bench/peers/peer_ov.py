"""OpenVINO, throughput mode. usage: peer_ov.py MODEL SIZE BATCH f32|bf16 SECONDS"""
import sys

import openvino as ov
import torch
from common import least, network

name, size, batch, precision, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), \
    sys.argv[4], float(sys.argv[5])
x = torch.randn(batch, 3, size, size)
model = ov.convert_model(network(name).eval(), example_input=x, input=[batch, 3, size, size])
compiled = ov.Core().compile_model(model, 'CPU', {
    'INFERENCE_PRECISION_HINT': precision, 'PERFORMANCE_HINT': 'THROUGHPUT',
    'INFERENCE_NUM_THREADS': torch.get_num_threads()})
requests = compiled.get_property('OPTIMAL_NUMBER_OF_INFER_REQUESTS')
queue = ov.AsyncInferQueue(compiled, requests)
pixels = x.numpy()


def run():
    for _ in range(requests):
        queue.start_async({0: pixels})
    queue.wait_all()


print('theirs\t%.3f' % (batch * requests / least(run, seconds)))
