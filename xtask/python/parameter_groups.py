"""Prints the table `crates/optim/src/optimizer/param_groups/torch.json`: steps of PyTorch's optimizers with parameter groups.

Run it with the Python of `target/venv-torch`.
"""

import json

import torch

STEPS = 6
PATHS = ["body.weight", "body.bias", "head.weight", "head.bias"]


def gradient(step, index):
    return [((step * 7 + index * 5 + i * 3) % 11) / 4.0 - 1.2 for i in range(2)]


def start(index):
    return [0.5 + index, -1.0 + 0.25 * index]


def run(make, rates, decays, schedule=None):
    params = [torch.nn.Parameter(torch.tensor(start(i))) for i in range(len(PATHS))]
    groups = [{"params": [p], "lr": lr, "weight_decay": wd} for p, lr, wd in zip(params, rates, decays)]
    optimizer = make(groups)
    schedule = schedule and schedule(optimizer)
    rows = []
    for step in range(STEPS):
        for i, param in enumerate(params):
            param.grad = torch.tensor(gradient(step, i))
        optimizer.step()
        if schedule:
            schedule.step()
        rows.append([value for param in params for value in param.tolist()])
    return rows


# The body has a fifth of the rate, biases have no decay, the head's weight has another decay.
RATES = [0.02, 0.02, 0.1, 0.1]
DECAYS = [0.1, 0.0, 0.3, 0.0]


def halving(optimizer):
    return torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)


print(
    json.dumps(
        {
            "start": [start(i) for i in range(len(PATHS))],
            "gradients": [[gradient(step, i) for i in range(len(PATHS))] for step in range(STEPS)],
            "AdamW": run(lambda groups: torch.optim.AdamW(groups, eps=1e-5), RATES, DECAYS),
            "Adam": run(lambda groups: torch.optim.Adam(groups, eps=1e-5), RATES, DECAYS),
            "SGD": run(lambda groups: torch.optim.SGD(groups, momentum=0.9), RATES, DECAYS),
            "AdamW, halving": run(lambda groups: torch.optim.AdamW(groups, eps=1e-5), RATES, DECAYS, halving),
        },
        separators=(",", ":"),
    ).replace('],"', '],\n"')
)
