#!/usr/bin/env python3
"""Checks configurations as an editor does, with the JSON schema that a program prints, and compares the verdicts with the program's.

  schema_check.py PROGRAM        PROGRAM: the example `mnist`

Exit code 0: the schema is valid, the printed configuration fits it, and both refuse and accept the same files.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import jsonschema
import yaml

ACCEPTED = [
    "model: {hidden: 3}",
    "trainer: {devices: 2, accelerator: CPU, precision: bf16-mixed, max_time: '00:12:00:00'}",
    "trainer: {devices: auto, val_check_interval: 0.25 epochs, limit_train_batches: 0.5, on_non_finite: 'skip:5'}",
    "trainer: {callbacks: [{name: early_stopping, monitor: val_loss}], loggers: [{name: csv}]}",
    "trainer: {max_epochs: null, seed: 7, strategy: threads}",
    "trainer: {max_time: 90, callbacks: [{name: timer, limit: 90}, {name: model_checkpoint, every: 2 epochs}]}",
]
REFUSED = [
    "modl: {hidden: 3}",
    "model: {hiden: 3}",
    "model: {hidden: many}",
    "model: {hidden: -1}",
    "model: {hidden: 1.5}",
    "model: 3",
    "trainer: {max_epoch: 3}",
    "trainer: {strategy: thread}",
    "trainer: {precision: 16-true}",
    "trainer: {val_check_interval: 3 sheep}",
    "trainer: {max_time: 12 parsecs}",
    "trainer: {devices: several}",
    "trainer: {on_non_finite: ignore}",
    "trainer: {callbacks: [{name: early_stoping, monitor: val_loss}]}",
    "trainer: {callbacks: [{name: early_stopping}]}",
    "trainer: {callbacks: [{name: early_stopping, monitor: val_loss, patiense: 3}]}",
    "trainer: {callbacks: [{name: timer, limit: -1}]}",
    "trainer: {callbacks: [{name: model_checkpoint, every: 5}]}",
    "trainer: {loggers: [{name: tensorbord}]}",
]


def main(program):
    def run(*arguments):
        return subprocess.run([program, *arguments], capture_output=True, text=True, encoding="utf-8")

    schema = json.loads(run("--print-schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    editor = jsonschema.Draft202012Validator(schema)
    editor.validate(yaml.safe_load(run("--print-config").stdout))
    described = schema["properties"]["trainer"]["properties"]
    assert all(option.get("description") for option in described.values()), "each option has its documentation"
    assert "](" not in json.dumps([option["description"] for option in described.values()]), "a link to a name of Rust"
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "config.yaml"
        for text in ACCEPTED + REFUSED:
            file.write_text(text, encoding="utf-8")
            verdicts = editor.is_valid(yaml.safe_load(text)), run("--print-config", "-c", str(file)).returncode == 0
            assert verdicts == ((text in ACCEPTED,) * 2), f"editor and program accept `{text}`: {verdicts}"
    print(f"{len(described)} options; {len(ACCEPTED)} files accepted and {len(REFUSED)} refused by both")


main(*sys.argv[1:])
