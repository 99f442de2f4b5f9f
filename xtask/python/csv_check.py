#!/usr/bin/env python3
"""Reads a metrics.csv with pandas and with Python's own csv, and compares it with what TensorBoard read of the same run.

  csv_check.py METRICS.csv DUMP.json        DUMP.json: the output of `tensorboard_check.py dump`

Exit code 0: both readers agree, steps go up, and each value that both loggers hold at a step is the same number.
"""

import csv
import json
import math
import sys

import pandas


def rows_of(path):
    """Every value as (step, column) -> number, by Python's csv module."""
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
    """TensorBoard stores 32 bits of a number, CSV all digits."""
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


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except AssertionError as error:
        sys.exit(f"PROBLEM: {error}")
