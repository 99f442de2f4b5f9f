"""Writes crates/tuner/tests/fits/lr_find.csv: a learning-rate test of a line, by PyTorch and PyTorch Lightning.

Rates are those of Lightning's scheduler, suggestions those of NumPy (steepest) and of fastai's `valley`, copied below.
Lightning's smoothing divides by 1 - 0.98^(step + 1), with a step that is one too large. Here it is 1 - 0.98^i.

    target/venv-torch/bin/python xtask/python/tuner/lr_find.py > crates/tuner/tests/fits/lr_find.csv
"""

import numpy
import torch
from pytorch_lightning.tuner.lr_finder import _ExponentialLR


def valley(lrs, losses):
    n = len(losses)
    max_start, max_end = 0, 0
    lds = [1] * n
    for i in range(1, n):
        for j in range(0, i):
            if (losses[i] < losses[j]) and (lds[i] < lds[j] + 1):
                lds[i] = lds[j] + 1
            if lds[max_end] < lds[i]:
                max_end = i
                max_start = max_end - lds[max_end]
    sections = (max_end - max_start) / 3
    return lrs[max(max_start + int(sections) + int(sections / 2), 0)]


STEPS, SKIP_BEGIN, SKIP_END, THRESHOLD, BETA = 60, 10, 1, 4.0, 0.98
torch.set_default_dtype(torch.float32)
points = torch.arange(12, dtype=torch.float32) / 12
batches = points.split(4)
layer = torch.nn.Linear(1, 1)
with torch.no_grad():
    layer.weight.fill_(0.5)
    layer.bias.fill_(0.1)
optimizer = torch.optim.SGD(layer.parameters(), lr=1e-4)
scheduler = _ExponentialLR(optimizer, end_lr=20.0, num_iter=STEPS)
mean, best, rates, smoothed, lines = 0.0, float("inf"), [], [], []
for i in range(1, STEPS + 1):
    x = batches[(i - 1) % len(batches)].unsqueeze(1)
    rate = optimizer.param_groups[0]["lr"]
    loss = torch.nn.functional.mse_loss(layer(x), 2 * x + 1)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    mean = BETA * mean + (1 - BETA) * loss.item()
    rates.append(rate)
    smoothed.append(mean / (1 - BETA**i))
    lines.append(f"{rate!r},{loss.item()!r},{smoothed[-1]!r}")
    if i == 1 or smoothed[-1] < best:
        best = smoothed[-1]
    if i > 1 and smoothed[-1] > THRESHOLD * best:
        break
used = slice(SKIP_BEGIN, len(rates) - SKIP_END)
lrs, losses = numpy.array(rates[used]), numpy.array(smoothed[used])
steepest = lrs[numpy.argmin(numpy.gradient(losses, numpy.log(lrs)))]
print(f"# steepest {steepest!r} valley {valley(lrs, losses)!r}".replace("np.float64(", "").replace(")", ""))
print("\n".join(lines))
