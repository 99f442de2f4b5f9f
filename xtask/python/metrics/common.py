"""Helpers of the case generators."""

import numpy
import torch


def attempt(expected, key, compute):
    """Adds a value, unless the library refuses the input."""
    try:
        value = compute()
    except (ValueError, RuntimeError, IndexError, ZeroDivisionError, TypeError):
        return
    expected[key] = value


def floats(generator, *shape):
    """Normally distributed numbers that a 32-bit float holds exactly."""
    return generator.normal(size=shape).astype(numpy.float32)


def bf16(values):
    """The nearest numbers that `bfloat16` holds."""
    return torch.tensor(values).bfloat16().float().numpy()


def dtype_of(name):
    """The options of an input that is named after its type."""
    return {"dtype": "bf16"} if name.startswith("bf16") else {}


def case(name, inputs, options, expected):
    return {"name": name, "inputs": inputs, "options": options, "expected": expected}
