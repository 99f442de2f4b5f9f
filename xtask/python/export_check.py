"""Loads exported weights with PyTorch, and compares the outputs of the net with those before.

    export_check.py FOLDER

FOLDER is that of pytorch_checkpoint.py. The test of crates/checkpoint has written FOLDER/exported/whole/model.safetensors
and the shards of FOLDER/exported/shards/model.safetensors.index.json.
"""

import json
import sys
from pathlib import Path

import torch
from pytorch_checkpoint import Net
from safetensors import safe_open
from safetensors.torch import load_file


def sharded(folder):
    """As `load_sharded_checkpoint` of `transformers`: the index says where each tensor is."""
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    weights = {}
    for name, shard in index["weight_map"].items():
        with safe_open(folder / shard, framework="pt") as file:
            assert file.metadata() == {"format": "pt"}, file.metadata()
            weights[name] = file.get_tensor(name)
    sizes = [tensor.numel() * tensor.element_size() for tensor in weights.values()]
    assert index["metadata"]["total_size"] == sum(sizes), (index["metadata"], sum(sizes))
    assert len(set(index["weight_map"].values())) > 1
    return weights


def main(folder):
    answers = json.loads((folder / "outputs.json").read_text())
    exported = folder / "exported"
    whole = load_file(exported / "whole/model.safetensors")
    for weights in (whole, sharded(exported / "shards")):
        net = Net()
        net.load_state_dict(weights)
        net.eval()
        with torch.no_grad():
            outputs = net(torch.tensor(answers["inputs"]))
        difference = (outputs - torch.tensor(answers["outputs"])).abs().max().item()
        print(f"{len(weights)} tensors, largest difference {difference}")
        assert difference < 1e-6, "the exported net answers differently"
    exact = torch.load(folder / "weights.pt")
    for name, tensor in whole.items():
        # An export does not know how many batches the statistics have seen.
        assert torch.equal(tensor, exact[name]) or name == "norm.num_batches_tracked", name
    assert whole.keys() == exact.keys(), whole.keys() ^ exact.keys()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
