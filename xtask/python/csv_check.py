#!/usr/bin/env python3
"""Reads a metrics.csv with pandas and with Python's csv module, and compares it with TensorBoard's values of the same run.

  csv_check.py METRICS.csv DUMP.json        DUMP.json: the output of `tensorboard_check.py dump`
  csv_check.py --million FOLDER MEMORY      FOLDER: the files of the example `csv_million`; MEMORY: its output

Exit code 0: both readers agree, the steps increase, and both loggers have the same number for each value of a step.
"""

import csv
import json
import math
import struct
import sys

import pandas


def rows_of(path):
    """Every value as (step, column) -> number, read with Python's csv module."""
    values, last_step = {}, -1
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, restval=""):
            assert None not in row, f"a row has more cells than the header: {row}"
            step = int(row["step"])
            assert step > last_step, f"step {step} after step {last_step}: one row for each step, in order"
            last_step = step
            for column, text in row.items():
                if column != "step" and text != "":
                    values[step, column] = float(text)
    return values


def same(left, right):
    """Whether two numbers are equal. TensorBoard stores 32 bits, CSV all digits."""
    return left == right or (math.isnan(left) and math.isnan(right)) or math.isclose(left, right, rel_tol=1e-6)


def main(csv_path, dump_path):
    values = rows_of(csv_path)
    frame = pandas.read_csv(csv_path)
    for (step, column), value in values.items():
        found = frame.loc[frame["step"] == step, column].iloc[0]
        assert same(float(found), value), f"{column} at step {step}: pandas read {found}, csv read {value}"
    with open(dump_path, encoding="utf-8") as file:
        runs = json.load(file)["classic"]
    compared = 0
    for run in runs.values():
        for tag, points in run["scalars"].items():
            for step, _, value in points:
                if (step, tag) in values:
                    assert same(values[step, tag], float(value)), f"{tag} at step {step}: csv {values[step, tag]}, tensorboard {value}"
                    compared += 1
    assert compared > 0, f"no value in common: csv has {sorted({c for _, c in values})}"
    print(f"csv: {len(frame)} rows, {len(frame.columns)} columns, {compared} values equal to TensorBoard's")


def million(folder, memory, rows=1_000_000, late=50):
    """Checks every value with Python's csv and json and with pandas, and the memory of the writer."""

    def single(value):
        return struct.unpack("f", struct.pack("f", value))[0]

    def expected(step):
        row = {"step": step, "loss": 1 / (step + 1), "acc": single(single(step) / 3)}
        if step % 100_000 == 7:
            row |= {"odd": math.nan, "even": -math.inf}
        every = rows // late
        return row | ({f"late_{step // every}": step} if step % every == every - 1 else {})

    def check(found, step):
        wanted = expected(step)
        assert found.keys() == wanted.keys(), f"row {step}: {found}"
        for column, value in wanted.items():
            read = float(found[column])
            equal = read == value or (math.isnan(read) and math.isnan(value))
            # An exact f32 is written as the shortest decimal that reads back as the same f32.
            equal = equal or (value == single(value) == single(read))
            assert equal, f"{column}, row {step}: {read}, not {value}"

    count = 0
    with open(f"{folder}/run/metrics.csv", newline="", encoding="utf-8") as file:
        head = next(csv.reader(file))
        assert head[:2] == ["step", "epoch"] and len(head) == 2 + 2 + 2 + late, head
        for count, cells in enumerate(csv.reader(file), 1):
            assert len(cells) == len(head), f"row {count} has {len(cells)} cells"
            check({column: text for column, text in zip(head, cells) if text}, count - 1)
    assert count == rows, f"csv: {count} rows"
    with open(f"{folder}/run/metrics.jsonl", encoding="utf-8") as file:
        for count, line in enumerate(file, 1):
            check(json.loads(line), count - 1)
    assert count == rows, f"jsonl: {count} rows"
    frame = pandas.read_csv(f"{folder}/run/metrics.csv")
    assert frame.shape == (rows, len(head)) and frame["late_49"].dropna().tolist() == [rows - 1], frame.shape
    lines = pandas.read_json(f"{folder}/run/metrics.jsonl", lines=True, precise_float=True)
    assert lines.shape == (rows, len(head) - 1), lines.shape
    for column in ("loss", "acc", "late_7"):
        assert frame[column].equals(lines[column].astype(float)), column
    if memory != "unknown":
        assert int(memory) < 4096, f"writing 99 of 100 rows took {memory} KiB more"
    print(f"a million rows: csv and jsonl hold every value, written with {memory} KiB more than the first hundredth")


if __name__ == "__main__":
    try:
        if sys.argv[1] == "--million":
            million(*sys.argv[2:])
        else:
            main(*sys.argv[1:])
    except AssertionError as error:
        sys.exit(f"PROBLEM: {error}")
