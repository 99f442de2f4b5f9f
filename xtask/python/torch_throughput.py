"""Trains the models of `tests/accelerators/src/models.rs` in PyTorch, alone or under Lightning.

Each line of standard input is a request, `MODEL raw|lightning PRECISION SECONDS`. The answer is the time of a step in
seconds, or `nan` if it failed, such as without Lightning, and the largest memory of the GPU in MiB.
"""
import logging
import os
import sys
import time
import warnings

import torch
import torch.nn as nn
import torch.nn.functional as F

BATCHES = 16
# `cuda` on a machine with a GPU.
DEVICE = os.environ.get("TORCH_DEVICE", "cpu")


class Mlp(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))


class Cnn(nn.Module):
    """PyTorch's MNIST example without its two dropouts."""

    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 32, 3, 1), nn.Conv2d(32, 64, 3, 1)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.c2(F.relu(self.c1(x)))), 2)
        return self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))


def attention(q, k, v):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    # PyTorch before 2.0.
    later = torch.triu(torch.ones(q.shape[2], q.shape[2], dtype=torch.bool), 1)
    scores = q @ k.transpose(-2, -1) / q.shape[3] ** 0.5
    return scores.masked_fill(later, float("-inf")).softmax(-1) @ v


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (z.view(b, t, self.heads, c // self.heads).transpose(1, 2) for z in self.qkv(self.ln1(x)).chunk(3, 2))
        y = attention(q, k, v)
        x = x + self.proj(y.transpose(1, 2).reshape(b, t, c))
        return x + self.down(F.gelu(self.up(self.ln2(x))))


class Gpt(nn.Module):
    def __init__(self, vocabulary=65, context=64, width=128, layers=4, heads=4):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.ln_f, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        x = self.head(self.ln_f(x))
        return x.view(-1, x.shape[-1])


def make(model):
    floats = lambda *shape: (torch.rand(*shape) * 2 - 1).to(DEVICE)
    ints = lambda high, *shape: torch.randint(0, high, shape).to(DEVICE)
    if model.startswith("mlp"):
        items = int(model[3:])
        return Mlp().to(DEVICE), [(floats(items, 784), ints(10, items)) for _ in range(BATCHES)]
    if model == "cnn64":
        return Cnn().to(DEVICE), [(floats(64, 1, 28, 28), ints(10, 64)) for _ in range(BATCHES)]
    return Gpt().to(DEVICE), [(ints(65, 32, 64), ints(65, 32 * 64)) for _ in range(BATCHES)]


def wait():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def raw(net, batches, seconds, precision):
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def step(i):
        x, y = batches[i % len(batches)]
        optimizer.zero_grad()
        with torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()

    for i in range(10):
        step(i)
    wait()
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        step(steps)
        steps += 1
    wait()
    return (time.perf_counter() - began) / steps


def lightning(net, batches, seconds, precision):
    import pytorch_lightning as pl

    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.ERROR)

    class Data:
        def __init__(self, steps):
            self.steps = steps

        def __len__(self):
            return self.steps

        def __iter__(self):
            return (batches[i % len(batches)] for i in range(self.steps))

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = net

        def training_step(self, batch, _):
            loss = F.cross_entropy(self.net(batch[0]), batch[1])
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-3)

        def on_train_start(self):
            wait()
            self.began = time.perf_counter()

        def on_train_end(self):
            wait()
            self.took = time.perf_counter() - self.began

    steps = max(3, int(seconds / raw(net, batches, seconds / 4, precision)))
    module = Module()
    quiet = dict(logger=False, enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False, precision=precision)
    pl.Trainer(max_epochs=1, accelerator="cpu" if DEVICE == "cpu" else "gpu", devices=1, **quiet).fit(module, Data(steps))
    return module.took / steps


def main():
    torch.set_num_threads(2)
    for order in sys.stdin:
        model, mode, precision, seconds = order.split()
        net, batches = make(model)
        if DEVICE == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            took = {"raw": raw, "lightning": lightning}[mode](net, batches, float(seconds), precision)
        except Exception as error:
            # No Lightning, or one that this PyTorch cannot load.
            print(f"{order.strip()}: {error}", file=sys.stderr)
            took = float("nan")
        memory = torch.cuda.max_memory_reserved() / 2**20 if DEVICE == "cuda" else float("nan")
        print(took, memory, flush=True)


if __name__ == "__main__":
    main()
