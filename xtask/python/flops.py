"""Writes the operations that fvcore and ptflops count for layers and networks of torch, as JSON. Both count a
multiplication and an addition as one, so that the numbers are doubled. fvcore cannot count torch's recurrent layers and
attention, so they are made of products. ptflops counts torch's own, and biases, so that they have none.

Usage: flops.py > crates/callbacks/src/model_summary/torch_flops.json
"""

import json

import torch
from fvcore.nn import FlopCountAnalysis
from ptflops import get_model_complexity_info
from torch import nn


class Attention(nn.Module):
    """Multi-head self-attention from matrix products, which fvcore can count."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        batch, length, width = x.shape
        split = lambda y: y.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        weights = torch.matmul(q, k.transpose(2, 3)).softmax(-1)
        return self.output(torch.matmul(weights, v).transpose(1, 2).reshape(batch, length, width))


class Recurrent(nn.Module):
    """The gates of an LSTM (4) or a GRU (3), each with a product for the input and one for the state, at each step."""

    def __init__(self, inputs, width, gates):
        super().__init__()
        self.inputs = nn.Linear(inputs, gates * width)
        self.state = nn.Linear(width, gates * width)
        self.width = width

    def forward(self, x):
        state = torch.zeros(x.shape[0], self.width)
        for step in range(x.shape[1]):
            state = torch.tanh(self.inputs(x[:, step]) + self.state(state))[:, : self.width]
        return state


class First(nn.Module):
    """The first output of a layer that has several."""

    def __init__(self, layer, inputs):
        super().__init__()
        self.layer, self.count = layer, inputs

    def forward(self, x):
        return self.layer(*[x] * self.count)[0]


MLP = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 7))
CNN = nn.Sequential(
    *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten()), nn.Linear(8 * 9, 10)
)
CASES = {
    "linear": (nn.Linear(12, 7), (3, 5, 12)),
    "conv1d": (nn.Conv1d(4, 6, 3, stride=2, padding=1), (2, 4, 15)),
    "conv2d": (nn.Conv2d(4, 6, (3, 5), stride=(1, 2), padding=(1, 0), dilation=(2, 1), groups=2), (2, 4, 9, 11)),
    "conv3d": (nn.Conv3d(2, 3, 2), (1, 2, 4, 5, 6)),
    "conv_transpose1d": (nn.ConvTranspose1d(4, 6, 3, stride=2), (2, 4, 7)),
    "conv_transpose2d": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 5, 6)),
    "conv_transpose3d": (nn.ConvTranspose3d(2, 3, 2), (1, 2, 3, 4, 5)),
    "attention": (Attention(8, 2), (3, 5, 8)),
    "lstm": (Recurrent(5, 6, 4), (2, 7, 5)),
    "gru": (Recurrent(5, 6, 3), (2, 7, 5)),
    "mlp": (MLP, (3, 12)),
    "cnn": (CNN, (2, 1, 10, 10)),
}
# As in CASES.
OWN = {
    "linear": (nn.Linear(12, 7, bias=False), (3, 5, 12)),
    "conv2d": (nn.Conv2d(4, 6, (3, 5), stride=(1, 2), padding=(1, 0), dilation=(2, 1), groups=2, bias=False), (2, 4, 9, 11)),
    "attention": (First(nn.MultiheadAttention(8, 2, bias=False, batch_first=True), 3), (3, 5, 8)),
    "lstm": (First(nn.LSTM(5, 6, bias=False, batch_first=True), 1), (2, 7, 5)),
    "gru": (First(nn.GRU(5, 6, bias=False, batch_first=True), 1), (2, 7, 5)),
}


def own(module, shape):
    """ptflops counts one item."""
    options = {"as_strings": False, "print_per_layer_stat": False, "verbose": False, "backend": "aten"}
    products, _ = get_model_complexity_info(module.eval(), shape[1:], **options)
    return 2 * shape[0] * products


def main():
    counts = {}
    for name, (module, shape) in CASES.items():
        analysis = FlopCountAnalysis(module.eval(), torch.zeros(shape))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        with torch.no_grad():
            output = list(module(torch.zeros(shape)).shape)
        counts[name] = {"input": list(shape), "output": output, "flops": 2 * analysis.total()}
    versions = {"torch": torch.__version__, "fvcore": "0.1.5.post20221221", "ptflops": "0.7.5"}
    print(json.dumps({**versions, "layers": counts, "own": {name: own(*case) for name, case in OWN.items()}}, indent=1))


main()
