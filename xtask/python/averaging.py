"""Prints the table `crates/callbacks/src/averaging/torch.json`: what PyTorch's `swa_utils` makes of given weights.

Run it with the Python of `target/venv-torch`.
"""

import json

import torch
from torch.optim.swa_utils import SWALR, AveragedModel

STEPS = 12


def weights(step):
    """Six numbers that no simple formula averages."""
    return [((step * 37 + i * 101) % 97) / 13.0 - 3.0 for i in range(6)]


def averages(**options):
    model = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(6))])
    averaged = AveragedModel(model, **options)
    rows = []
    for step in range(STEPS):
        with torch.no_grad():
            model[0].copy_(torch.tensor(weights(step)))
        averaged.update_parameters(model)
        rows.append(averaged.module[0].tolist())
    return rows


def ema(decay):
    return averages(avg_fn=lambda average, value, num: decay * average + (1.0 - decay) * value)


def warm_ema(decay):
    def mix(average, value, num):
        own = min(decay, (1.0 + float(num)) / (10.0 + float(num)))
        return own * average + (1.0 - own) * value

    return averages(avg_fn=mix)


def swalr(strategy, epochs):
    """The rates of two groups: two epochs of an exponential schedule, then `SWALR`."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.4, 0.04)]
    optimizer = torch.optim.SGD(groups, lr=0.4)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    rows = []
    swa = None
    for epoch in range(8):
        if epoch == 2:
            swa = SWALR(optimizer, swa_lr=0.01, anneal_epochs=epochs, anneal_strategy=strategy)
        rows.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        (swa or schedule).step()
    return rows


print(
    json.dumps(
        {
            "weights": [weights(step) for step in range(STEPS)],
            "mean": averages(),
            "ema 0.9": ema(0.9),
            "ema 0.999": ema(0.999),
            "ema 0.9 warm": warm_ema(0.9),
            "swalr cos 4": swalr("cos", 4),
            "swalr linear 3": swalr("linear", 3),
            "swalr cos 0": swalr("cos", 0),
        },
        separators=(",", ":"),
    ).replace('],"', '],\n"')
)
