"""Writes the masks that torch.nn.utils.prune makes for fixed weights, as JSON.

Usage: pruning.py > crates/callbacks/src/pruning/torch_masks.json. Weights have no ties: torch breaks them at random.
"""

import json

import torch
from torch import nn
from torch.nn.utils import prune


def weights(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(5, 4)
        self.b = nn.Linear(4, 3)
        self.c = nn.Conv2d(2, 4, 3)
        for seed, layer in enumerate([self.a, self.b, self.c]):
            layer.weight.data = weights(layer.weight.shape, seed)


LAYERS = ["a", "b", "c"]


def whole(amounts):
    def run(net):
        for amount in amounts:
            parameters = [(getattr(net, layer), "weight") for layer in LAYERS]
            prune.global_unstructured(parameters, pruning_method=prune.L1Unstructured, amount=amount)

    return run


def by_layer(amounts):
    def run(net):
        for amount in amounts:
            for layer in LAYERS:
                prune.l1_unstructured(getattr(net, layer), "weight", amount=amount)

    return run


def structured(amounts, n, dim):
    def run(net):
        for amount in amounts:
            for layer in LAYERS:
                prune.ln_structured(getattr(net, layer), "weight", amount=amount, n=n, dim=dim)

    return run


CASES = [
    ("global", [0.5], None, None, whole([0.5])),
    ("global", [0.3, 0.3, 0.25], None, None, whole([0.3, 0.3, 0.25])),
    ("global", [7, 9], None, None, whole([7, 9])),
    ("layer", [0.5], None, None, by_layer([0.5])),
    ("layer", [0.2, 0.2, 0.9], None, None, by_layer([0.2, 0.2, 0.9])),
    ("layer", [1, 2, 3], None, None, by_layer([1, 2, 3])),
    ("structured", [0.5], 2, 0, structured([0.5], 2, 0)),
    ("structured", [0.4, 0.5], 1, 1, structured([0.4, 0.5], 1, 1)),
    ("structured", [1, 1], 2, 0, structured([1, 1], 2, 0)),
    ("structured", [0.5], float("inf"), 0, structured([0.5], float("inf"), 0)),
]


def main():
    net = Net()
    layers = {layer: {"shape": list(getattr(net, layer).weight.shape), "weight": getattr(net, layer).weight.flatten().tolist()} for layer in LAYERS}
    cases = []
    for kind, amounts, n, dim, run in CASES:
        net = Net()
        run(net)
        masks = {layer: "".join(str(int(keep)) for keep in getattr(net, layer).weight_mask.flatten().tolist()) for layer in LAYERS}
        cases.append({"kind": kind, "amounts": amounts, "norm": "inf" if n == float("inf") else n, "dim": dim, "masks": masks})
    print(json.dumps({"torch": torch.__version__, "layers": layers, "cases": cases}, indent=1))


main()
