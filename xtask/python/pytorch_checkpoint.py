"""Trains a small net with PyTorch Lightning, and writes its checkpoints and its outputs.

    pytorch_checkpoint.py FOLDER

FOLDER/lightning.ckpt is Lightning's checkpoint, FOLDER/weights.pt a plain `torch.save(net.state_dict(), ..)`,
FOLDER/legacy.pt the same in the format of PyTorch before 1.6. FOLDER and FOLDER/bins are also folders as those of Hugging
Face, with shards and an index. FOLDER/outputs.json has the inputs and outputs of the net in evaluation mode. The imported
net must give these outputs.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file
from pytorch_lightning import LightningModule, Trainer, seed_everything
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 4, bias=False))
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        return self.norm(self.layers(x))


class Net(nn.Module):
    """The `Net` of the test in crates/checkpoint."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 2)
        self.conv = nn.Conv1d(2, 3, kernel_size=2)
        self.norm = nn.BatchNorm1d(3)
        self.block = Block()

    def forward(self, tokens):
        x = self.embedding(tokens).transpose(1, 2)
        return self.block(self.norm(self.conv(x)).flatten(1))


class Lit(LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.save_hyperparameters()
        self.net = Net()

    def _register_sharded_tensor_state_dict_hooks_if_available(self):
        """Does nothing. Its imports fail with Debian's PyTorch 1.13, and this module is not sharded."""

    def training_step(self, batch, batch_idx):
        tokens, target = batch
        return nn.functional.mse_loss(self.net(tokens), target)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)


def hugging_face(weights, folder):
    """The weights as shards with an index, as safetensors and as PyTorch's files."""
    names = sorted(weights)
    bins = folder / "bins"
    bins.mkdir(exist_ok=True)
    shards = {"model.safetensors": {}, "pytorch_model.bin": {}}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        tensors = {f"encoder.{name}": weights[name].clone() for name in part}
        for name in tensors:
            shards["model.safetensors"][name] = f"model-{number:05}-of-00002.safetensors"
            shards["pytorch_model.bin"][name] = f"pytorch_model-{number:05}-of-00002.bin"
        save_file(tensors, folder / f"model-{number:05}-of-00002.safetensors", metadata={"format": "pt"})
        torch.save(tensors, bins / f"pytorch_model-{number:05}-of-00002.bin")
    for name, place in (("model.safetensors", folder), ("pytorch_model.bin", bins)):
        index = {"metadata": {"total_size": 0}, "weight_map": shards[name]}
        (place / f"{name}.index.json").write_text(json.dumps(index, indent=2) + "\n")


def other_numbers(weights, folder):
    def floats(dtype):
        return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in weights.items()}

    save_file(floats(torch.float16), folder / "f16.safetensors", metadata={"format": "pt"})
    save_file(floats(torch.float64), folder / "f64.safetensors", metadata={"format": "pt"})
    torch.save(floats(torch.bfloat16), folder / "bf16.pt")


def main(folder):
    warnings.filterwarnings("ignore")
    seed_everything(7)
    batches = [(torch.randint(0, 5, (8, 3)), torch.randn(8, 4)) for _ in range(5)]
    lit = Lit(lr=0.05)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = Trainer(max_epochs=2, accelerator="cpu", **quiet)
    trainer.fit(lit, torch.utils.data.DataLoader(batches, batch_size=None))
    folder.mkdir(parents=True, exist_ok=True)
    trainer.save_checkpoint(folder / "lightning.ckpt")
    torch.save(lit.net.state_dict(), folder / "weights.pt")
    torch.save(lit.net.state_dict(), folder / "legacy.pt", _use_new_zipfile_serialization=False)
    hugging_face(lit.net.state_dict(), folder)
    other_numbers(lit.net.state_dict(), folder)
    lit.eval()
    tokens = torch.randint(0, 5, (4, 3))
    with torch.no_grad():
        outputs = lit.net(tokens)
    (folder / "outputs.json").write_text(json.dumps({"inputs": tokens.tolist(), "outputs": outputs.tolist()}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
