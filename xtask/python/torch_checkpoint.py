"""Saves and loads the same state with torch as `cargo xtask bench` does with Stormfire: layers with Adam's moments.

Usage: torch_checkpoint.py FILE WIDTH LAYERS. Prints the seconds of torch.save, of the sync after it and of torch.load,
and the growth of memory during a save in GiB.
"""

import os
import sys
import time

import torch


def peak_gib():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 2**20


def forget_peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def main(path, width, layers):
    module = torch.nn.Sequential(*(torch.nn.Linear(width, width) for _ in range(layers)))
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, width)).mean().backward()
    optimizer.step()
    optimizer.zero_grad()

    forget_peak()
    before, began = peak_gib(), time.perf_counter()
    torch.save({"state_dict": module.state_dict(), "optimizer_states": [optimizer.state_dict()]}, path)
    saved, save_memory = time.perf_counter(), peak_gib() - before
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.close(file)
    synced = time.perf_counter()
    begun = time.perf_counter()
    # Older versions cannot load the state of an optimizer with `weights_only`.
    checkpoint = torch.load(path, weights_only=False)
    loaded = time.perf_counter()
    assert len(checkpoint["state_dict"]) == 2 * layers
    print(saved - began, synced - saved, loaded - begun, save_memory)


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
