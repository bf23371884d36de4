"""torch_speed.py: how fast PyTorch runs keras_cnn.

    torch_speed.py forward BATCH THREADS      microseconds an image, the median of several
    torch_speed.py train IMAGES THREADS       images a second, batch 128, Adam: the median of three, after a first
"""
import statistics
import sys
import time

import torch

import digits


def forward(batch):
    network = digits.keras_cnn().eval()
    images = torch.rand(batch, 1, 28, 28)
    times = []
    with torch.inference_mode():
        for _ in range(20):
            start = time.perf_counter()
            for _ in range(max(1, 256 // batch)):
                network(images)
            times.append((time.perf_counter() - start) / (max(1, 256 // batch) * batch))
    return 1e6 * statistics.median(times)


def train(n):
    network = digits.keras_cnn()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    loss = torch.nn.CrossEntropyLoss()
    images = torch.rand(n, 1, 28, 28)
    labels = torch.randint(0, 10, (n,))
    rates = []
    for _ in range(4):
        start = time.perf_counter()
        for some in torch.randperm(n).split(128):
            optimizer.zero_grad()
            loss(network(images[some]), labels[some]).backward()
            optimizer.step()
        rates.append(n / (time.perf_counter() - start))
    return statistics.median(rates[1:])


what, size, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
print(f"{forward(size):.1f}" if what == "forward" else f"{train(size):.0f}")
