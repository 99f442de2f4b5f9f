#!/usr/bin/env python3
"""Runs the Python code of the page on checkpoints with the checkpoint of the MNIST example, and tests the resulting model.

  mnist_check.py PAGE.md CHECKPOINT METRICS.csv DATA        DATA: the folder of the idx files

The page loads `last.ckpt` into the PyTorch module `model`. Exit code 0: on the test digits it has the accuracy and the
loss that the example logged for the step of the checkpoint.
"""

import csv
import gzip
import json
import math
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import numpy
import torch
from safetensors import safe_open


def model_of(page, checkpoint):
    """The model that the unchanged code of the page creates from the checkpoint."""
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))
    names, before = {}, Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(checkpoint, Path(folder) / "last.ckpt")
        os.chdir(folder)
        try:
            exec(compile(code, page.name, "exec"), names)
        finally:
            os.chdir(before)
    return names["model"]


def logged(metrics, step):
    """The logged accuracy and loss of the test at a step."""
    with open(metrics, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, restval=""):
            if int(row["step"]) == step and row["test_acc"]:
                return float(row["test_acc"]), float(row["test_loss"])
    raise AssertionError(f"{metrics} has no test at the checkpoint's step {step}")


def digits(folder):
    def bytes_of(name, header):
        return numpy.frombuffer(gzip.decompress((folder / name).read_bytes()), numpy.uint8, offset=header)

    pixels = bytes_of("t10k-images-idx3-ubyte.gz", 16).astype(numpy.float32).reshape(-1, 1, 28, 28)
    labels = bytes_of("t10k-labels-idx1-ubyte.gz", 8).astype(numpy.int64)
    return torch.from_numpy((pixels / 255 - 0.1307) / 0.3081), torch.from_numpy(labels)


def main(page, checkpoint, metrics, data):
    with safe_open(checkpoint, framework="pt") as file:
        step = json.loads(file.metadata()["stormfire"])["progress"]["global_step"]
    wanted_accuracy, wanted_loss = logged(metrics, step)
    images, labels = digits(data)
    with torch.no_grad():
        logits = model_of(page, checkpoint)(images)
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    print(f"PyTorch on {len(labels)} test digits: accuracy {accuracy}, loss {loss}; logged at step {step}: {wanted_accuracy}, {wanted_loss}")
    assert abs(accuracy - wanted_accuracy) < 0.5 / len(labels), "PyTorch classifies other digits correctly"
    assert math.isclose(loss, wanted_loss, rel_tol=1e-5), "the losses differ"


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:]))
    except AssertionError as error:
        sys.exit(f"PROBLEM: {error}")
