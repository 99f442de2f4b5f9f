"""The time of metrics of torchmetrics, on the data of `xtask/bench/src/metrics.rs`: a line `NAME UPDATE COMPUTE VALUE` for each."""

import time
import warnings

import torch
import torchmetrics.classification as c
import torchmetrics.regression as r

warnings.simplefilter("ignore")
torch.set_num_threads(1)
ITEMS, CLASSES, BATCHES = 256, 10, 100


def numbers(count, seed):
    state, drawn = seed, []
    for _ in range(count):
        state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
        drawn.append(state / 2_147_483_648)
    return torch.tensor(drawn, dtype=torch.float32)


def main():
    logits = numbers(ITEMS * CLASSES, 1).reshape(ITEMS, CLASSES)
    classes = (numbers(ITEMS, 2) * CLASSES).long()
    scores, labels = numbers(ITEMS, 3), (numbers(ITEMS, 4) > 0.5).long()
    predictions, targets = numbers(ITEMS, 5), numbers(ITEMS, 6)
    # As fast as it goes: without checks of the inputs.
    of = {"num_classes": CLASSES, "validate_args": False}
    binary = {"thresholds": 200, "validate_args": False}
    metrics = {
        "accuracy": (c.MulticlassAccuracy(average="micro", **of), logits, classes),
        "precision": (c.MulticlassPrecision(**of), logits, classes),
        "recall": (c.MulticlassRecall(**of), logits, classes),
        "f1": (c.MulticlassF1Score(**of), logits, classes),
        "confusion": (c.MulticlassConfusionMatrix(**of), logits, classes),
        "auroc": (c.BinaryAUROC(**binary), scores, labels),
        "average_precision": (c.BinaryAveragePrecision(**binary), scores, labels),
        "mse": (r.MeanSquaredError(), predictions, targets),
        "mae": (r.MeanAbsoluteError(), predictions, targets),
        "r2": (r.R2Score(), predictions, targets),
    }
    for name, (metric, predicted, right) in metrics.items():
        metric.update(predicted, right)
        began = time.perf_counter()
        for _ in range(1, BATCHES):
            metric.update(predicted, right)
        update = (time.perf_counter() - began) / (BATCHES - 1)
        began = time.perf_counter()
        value = metric.compute()
        compute = time.perf_counter() - began
        print(name, update, compute, float(value[0, 0] if value.ndim else value))


if __name__ == "__main__":
    main()
