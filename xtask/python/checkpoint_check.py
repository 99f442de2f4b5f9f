#!/usr/bin/env python3
"""Reads a checkpoint with only the official `safetensors` package.

  checkpoint_check.py sample FILE               the file of the example `sample` of stormfire-checkpoint: names, shapes,
                                                dtypes, values, manifest and checksum
  checkpoint_check.py fit    FILE INSPECT.json  the checkpoint of a fit: tensors and manifest equal the output of
                                                `stormfire inspect FILE --json`, all values are finite, every state belongs
                                                to a weight, and the checksum is correct

Exit code 0: the file is readable and has the expected content.
"""

import json
import sys

import ml_dtypes
import numpy
import xxhash
from safetensors import safe_open
from safetensors.numpy import load_file

CHECKSUM = "stormfire/checksum"
DTYPES = {
    "f64": numpy.float64,
    "f32": numpy.float32,
    "f16": numpy.float16,
    "bf16": ml_dtypes.bfloat16,
    "i64": numpy.int64,
    "i32": numpy.int32,
    "i16": numpy.int16,
    "i8": numpy.int8,
    "u64": numpy.uint64,
    "u32": numpy.uint32,
    "u16": numpy.uint16,
    "u8": numpy.uint8,
    "bool": numpy.bool_,
}


def manifest_of(path):
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    assert metadata["format"] == "stormfire", f"the metadata's format is {metadata['format']!r}"
    manifest = json.loads(metadata["stormfire"])
    assert manifest["format_version"] == 1, f"format version {manifest['format_version']}"
    return manifest


def check_checksum(path):
    with open(path, "rb") as file:
        data = file.read()
    with safe_open(path, framework="numpy") as file:
        checksum = file.get_tensor(CHECKSUM).tobytes()
    assert data[-16:] == checksum, "the checksum is not the last tensor"
    assert xxhash.xxh3_128_digest(data[:-16]) == checksum, "the checksum is not XXH3-128 of the bytes before it"


def sample(path):
    manifest = manifest_of(path)
    assert manifest["progress"]["global_step"] == 10 and manifest["metrics"] == {"nan": "NaN", "val_loss": 0.1}, manifest
    tensors = load_file(path)
    expected = {f"layer.{name}" for name in DTYPES} | {"layer.empty", "optimizer/Adam/layer.scalar/time", CHECKSUM}
    assert set(tensors) == expected, f"found {sorted(tensors)}"
    for name, dtype in DTYPES.items():
        found = tensors[f"layer.{name}"]
        numbers = numpy.arange(24).reshape(2, 3, 4)
        wanted = numbers % 2 == 1 if name == "bool" else numbers.astype(dtype)
        assert found.dtype == dtype, f"{name}: dtype {found.dtype}"
        assert found.shape == wanted.shape and (found == wanted).all(), f"{name}: {found}"
    assert tensors["layer.empty"].shape == (0, 3), tensors["layer.empty"].shape
    scalar = tensors["optimizer/Adam/layer.scalar/time"]
    assert scalar.shape == () and scalar == 0, scalar
    print(f"checkpoint: {len(tensors)} tensors with the written values")


def fit(path, inspect_path):
    with open(inspect_path, encoding="utf-8") as file:
        inspected = json.load(file)
    assert manifest_of(path) == inspected["manifest"], "the manifest differs from the output of `stormfire inspect`"
    with safe_open(path, framework="numpy") as file:
        slices = {name: file.get_slice(name) for name in file.keys() if name != CHECKSUM}
        found = {name: (slice.get_dtype(), slice.get_shape()) for name, slice in slices.items()}
    wanted = {tensor["name"]: (tensor["dtype"], tensor["shape"]) for tensor in inspected["tensors"]}
    assert found == wanted, f"tensors differ: {sorted(set(found) ^ set(wanted)) or 'in dtype or shape'}"
    tensors = load_file(path)
    weights = {name for name in found if "/" not in name}
    assert weights, "no weights"
    for name, tensor in tensors.items():
        assert numpy.isfinite(tensor.astype(numpy.float64)).all(), f"{name} has a value that is not finite"
        if name.startswith("optimizer/"):
            _, _, parameter, state = name.split("/")
            assert parameter in weights, f"{name} belongs to no weight"
            wanted_shape = () if tensor.ndim == 0 else tensors[parameter].shape
            assert tensor.shape == wanted_shape, f"{name} has the shape {tensor.shape}, its weight {wanted_shape}"
    print(f"checkpoint: {len(weights)} weights and {len(found) - len(weights)} other tensors, as in `stormfire inspect`")


if __name__ == "__main__":
    mode, *arguments = sys.argv[1:]
    try:
        {"sample": sample, "fit": fit}[mode](*arguments)
        check_checksum(arguments[0])
    except AssertionError as error:
        sys.exit(f"PROBLEM: {error}")
