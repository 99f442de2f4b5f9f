"""Prints what callbacks and the tuner of Lightning 2.2.5 decide, as a table of cases.

Run it with the Python of `target/venv-torch`:

    lightning_rules.py rates > crates/callbacks/src/finetuning/lightning.json
    lightning_rules.py spikes > crates/callbacks/src/spike_detection/lightning.json
    lightning_rules.py sizes > crates/tuner/src/batch_size/lightning.json
"""

import contextlib
import json
import logging
import math
import sys
import tempfile
import types
import warnings

import numpy
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.spike import SpikeDetection, TrainingSpikeException
from pytorch_lightning.callbacks import BackboneFinetuning
from pytorch_lightning.tuner import Tuner

random = numpy.random.default_rng(5)


def rates():
    """The rates of the backbone in six epochs. It is unfrozen at epoch 2."""
    constant, falling = [0.4] * 6, [0.4, 0.3, 0.5, 0.2, 0.1, 0.05]
    doubled, drawn = [2.0] * 8, [round(float(factor), 3) for factor in random.uniform(1, 3, 8)]
    for of_optimizer, factors, ratio, lr, align in [
        (constant, doubled, 0.1, None, True),
        (constant, drawn, 0.5, None, True),
        (constant, drawn, 0.5, None, False),
        (falling, doubled, 0.1, None, True),
        (falling, doubled, 0.1, None, False),
        (falling, drawn, 0.1, 0.01, True),
        (constant, doubled, 0.1, 0.9, True),
    ]:
        module = types.SimpleNamespace(backbone=torch.nn.Linear(1, 1), head=torch.nn.Linear(1, 1))
        optimizer = torch.optim.Adam(module.head.parameters(), lr=1.0)
        callback = BackboneFinetuning(2, factors.__getitem__, ratio, lr, align)
        callback.freeze_before_training(module)
        found = []
        for epoch, rate in enumerate(of_optimizer):
            optimizer.param_groups[0]["lr"] = rate
            callback.finetune_function(module, epoch, optimizer)
            found.append(optimizer.param_groups[1]["lr"] if len(optimizer.param_groups) > 1 else None)
        options = {"initial_ratio": ratio, "initial_lr": lr, "align": align}
        yield {"of_optimizer": of_optimizer, "factors": factors, **options, "rates": found}


class OneRank:
    """What `SpikeDetection` needs of Fabric."""

    class strategy:
        root_device = torch.device("cpu")
        barrier = staticmethod(lambda: None)
        reduce_boolean_decision = staticmethod(lambda decision, all: decision)

    global_rank = 0


def spikes():
    """The numbers of the losses that are spikes. Each would end a run of Lightning. Here the next batch follows it."""
    for mode, window, warmup, atol, rtol, finite_only, broken in [
        ("min", 10, 1, None, 2.0, True, []),
        ("min", 10, 1, None, 0.53, True, []),
        ("min", 3, 6, None, 0.53, True, []),
        ("min", 10, 1, 2.5, 0.25, True, []),
        ("max", 4, 2, None, 0.5, True, []),
        ("max", 4, 0, 0.5, 0.25, True, []),
        ("min", 4, 1, None, 0.75, True, [3, 7, 8, 20]),
        ("min", 4, 1, None, 0.75, False, [0, 7, 8, 20]),
        ("min", 1, 1, None, 1.0, True, [0]),
    ]:
        # Eighths, with some that stand out.
        losses = (random.integers(4, 13, 40) + random.integers(0, 60, 40) * (random.random(40) < 0.2)) / 8
        if mode == "max":
            losses = 8 - losses
        losses[broken] = math.nan
        with tempfile.TemporaryDirectory() as folder:
            detection = SpikeDetection(mode, window, warmup, atol, rtol, folder, finite_only)
            found = []
            for number, loss in enumerate(losses):
                try:
                    detection.on_train_batch_end(OneRank, torch.tensor(loss), None, number)
                except TrainingSpikeException:
                    found.append(number)
        options = {"mode": mode, "window": window, "warmup": warmup, "atol": atol, "rtol": rtol, "finite_only": finite_only}
        yield {**options, "losses": [None if math.isnan(loss) else loss for loss in losses], "spikes": found}


class Hungry(pl.LightningModule):
    """It has no memory for a batch with more than `limit` items."""

    def _register_sharded_tensor_state_dict_hooks_if_available(self):
        """Debian's PyTorch 1.13 cannot import what these need with Python 3.11."""

    def __init__(self, limit, batch_size):
        super().__init__()
        self.layer, self.limit, self.batch_size, self.tried = torch.nn.Linear(1, 1), limit, batch_size, []

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.zeros(5000, 1), self.batch_size)

    def training_step(self, batch, batch_idx):
        self.tried.append(len(batch))
        if len(batch) > self.limit:
            raise RuntimeError("CUDA out of memory.")
        return self.layer(batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def sizes():
    """The sizes of the trials, and the result, without the margin of later versions."""
    for mode, first, limit in [
        ("power", 2, 20),
        ("power", 3, 100),
        ("power", 64, 5),
        ("power", 16, 16),
        ("binsearch", 2, 20),
        ("binsearch", 3, 100),
        ("binsearch", 64, 20),
        ("binsearch", 5, 37),
        ("binsearch", 2, 512),
        ("binsearch", 8, 511),
    ]:
        # The first trial of Lightning has the batch size that the loader has already.
        module = Hungry(limit, first)
        with tempfile.TemporaryDirectory() as folder:
            parts = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
            trainer = pl.Trainer(accelerator="cpu", max_epochs=1, default_root_dir=folder, **parts)
            result = Tuner(trainer).scale_batch_size(module, mode=mode, init_val=first, steps_per_trial=1)
        yield {"search": mode, "first": first, "limit": limit, "tried": module.tried, "result": result}


def main(name):
    assert pl.__version__ == "2.2.5"
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with contextlib.redirect_stdout(sys.stderr):
        cases = list({"rates": rates, "spikes": spikes, "sizes": sizes}[name]())
    print(json.dumps(cases, separators=(",", ":")))


main(sys.argv[1])
