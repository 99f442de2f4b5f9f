"""Writes inputs of metrics and the values that other libraries compute from them: a JSON file for each kind of metric.

usage: cases.py FOLDER

The tests of `crates/metrics` read them (`STORMFIRE_METRICS_CASES`). The random inputs are the same in each run.
"""

import json
import math
import sys
import warnings
from pathlib import Path

import classification
import image
import ranking
import regression
import retrieval
import text


def plain(value):
    """JSON has no NaN and no infinity: they become strings."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def main():
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for kinds in [classification.KINDS, ranking.KINDS, regression.KINDS, text.KINDS, image.KINDS, retrieval.KINDS]:
        for name, make in kinds.items():
            cases = list(make())
            values = sum(len(case["expected"]) for case in cases)
            (folder / f"{name}.json").write_text(json.dumps(plain(cases)))
            print(f"{name}: {values} values of {len(cases)} inputs")


if __name__ == "__main__":
    main()
