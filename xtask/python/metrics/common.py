"""Helpers of the case generators."""

import numpy


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


def case(name, inputs, options, expected):
    return {"name": name, "inputs": inputs, "options": options, "expected": expected}
