"""Writes crates/tuner/src/sweep/fixtures/optuna.json: decisions of Optuna's pruners, and results of its TPE sampler.

It needs Optuna 5.0.0 and NumPy 2.4.6, which no other test needs. The random inputs are the same in each run. It takes
some minutes.

    pip install optuna==5.0.0 numpy==2.4.6
    python xtask/python/tuner/optuna_cases.py > crates/tuner/src/sweep/fixtures/optuna.json
"""

import json
import math
import warnings

import numpy
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_weights

NAN = float("nan")


def number(value):
    """Six digits are enough. JSON has no NaN."""
    return None if math.isnan(value) else float(f"{value:.6g}")


# Pruners. The values are eighths, so that some are equal and medians are exact.


def trials(generator, count, longest):
    for _ in range(count):
        steps = int(generator.integers(2, longest + 1))
        slope, start = generator.uniform(-0.5, 0.5), generator.uniform(0, 4)
        yield numpy.round(8 * (start + slope * numpy.arange(steps) + generator.normal(0, 0.5, steps))) / 8


def ends(pruner, first_step, mode, reports):
    """The number of validations after which each trial ends, if it does not reach its last one."""
    study = optuna.create_study(direction={"min": "minimize", "max": "maximize"}[mode], pruner=pruner)
    for values in reports:
        trial, ended = study.ask(), None
        for step, value in enumerate(values):
            trial.report(float(value), step + first_step)
            if trial.should_prune():
                ended = step + 1
                break
        if ended is None:
            # The study does not take a value of NaN, but such a trial is the last one.
            study.tell(trial, float(numpy.nan_to_num(values[-1])))
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        yield {"reports": [number(value) for value in values], "ended": ended}


def pruners():
    generator = numpy.random.default_rng(1)
    median = lambda startup, warmup: (optuna.pruners.MedianPruner(startup, warmup), 0)
    halving = lambda first, factor: (optuna.pruners.SuccessiveHalvingPruner(first, factor, 0), 1)
    for name, options, (pruner, first_step) in [
        ("median", [5, 0], median(5, 0)),
        ("median", [1, 0], median(1, 0)),
        ("median", [3, 2], median(3, 2)),
        ("asha", [1, 3], halving(1, 3)),
        ("asha", [1, 2], halving(1, 2)),
        ("asha", [2, 4], halving(2, 4)),
    ]:
        for mode in ["min", "max"]:
            # The last trial is NaN, from its start or later. NaN of the other trials counts differently here.
            last = list(trials(generator, 1, 9))[0]
            last[int(generator.integers(0, 2)) :] = NAN
            reports = [*trials(generator, 16, 9), last]
            yield {"pruner": name, "options": options, "mode": mode, "trials": list(ends(pruner, first_step, mode, reports))}
    alone = [[NAN, NAN]]
    yield {"pruner": "asha", "options": [1, 3], "mode": "min", "trials": list(ends(halving(1, 3)[0], 1, "min", alone))}
    # No other trial has a fourth validation.
    longer = [[1.0, 2.0], [2.0, 1.0, 1.0], [NAN] * 5]
    yield {"pruner": "median", "options": [2, 3], "mode": "max", "trials": list(ends(median(2, 3)[0], 0, "max", longer))}


# Densities: those of points with a number from -1 to 2 and one of three names.


def densities():
    generator = numpy.random.default_rng(2)
    space = {"number": FloatDistribution(-1, 2), "name": CategoricalDistribution(["a", "b", "c"])}
    parameters = _ParzenEstimatorParameters(1.0, True, False, default_weights, True)
    points = lambda count: [(number(generator.uniform(-1, 2)), int(generator.integers(0, 3))) for _ in range(count)]
    for count in [0, 1, 2, 7, 30, 60]:
        seen, at = points(count), points(6)
        columns = lambda of: {"number": numpy.array([x for x, _ in of], dtype=float), "name": numpy.array([y for _, y in of], dtype=int)}
        logs = _ParzenEstimator(columns(seen), space, parameters).log_pdf(columns(at))
        yield {"seen": seen, "at": at, "logs": [number(value) for value in logs]}


# The best values after a number of trials.

TRIALS, STUDIES = 50, 60


def hartmann(x):
    a = numpy.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])
    p = [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991]]
    p = numpy.array([*p, [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]]) / 1e4
    return -(numpy.array([1, 1.2, 3, 3.2]) * numpy.exp(-(a * (numpy.array(x) - p) ** 2).sum(1))).sum()


def branin(x, y):
    curve = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return curve**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def mixed(trial):
    lr, hidden = trial.suggest_float("lr", 1e-5, 1, log=True), trial.suggest_int("hidden", 8, 256)
    dropout, layer = trial.suggest_float("dropout", 0, 0.8), trial.suggest_categorical("layer", ["relu", "gelu", "tanh"])
    offset = {"relu": 0.5, "gelu": 0.0, "tanh": 0.8}[layer]
    return (math.log10(lr) + 2.5) ** 2 + ((hidden - 96) / 64) ** 2 + offset + 4 * (dropout - 0.2) ** 2


FUNCTIONS = {
    "sphere": lambda t: sum(t.suggest_float(f"x{i}", -5, 10) ** 2 for i in range(3)),
    "branin": lambda t: branin(t.suggest_float("x", -5, 10), t.suggest_float("y", 0, 15)),
    "rosenbrock": lambda t: (lambda x, y: 100 * (y - x**2) ** 2 + (1 - x) ** 2)(t.suggest_float("x", -2, 2), t.suggest_float("y", -2, 2)),
    "hartmann": lambda t: hartmann([t.suggest_float(f"x{i}", 0, 1) for i in range(6)]),
    "mixed": mixed,
}


def best(function):
    for seed in range(STUDIES):
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        study.optimize(function, n_trials=TRIALS)
        yield number(study.best_value)


def main():
    assert optuna.__version__ == "5.0.0"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    results = {name: list(best(function)) for name, function in FUNCTIONS.items()}
    parts = {"pruners": list(pruners()), "densities": list(densities()), "trials": TRIALS, "best": results}
    print(json.dumps({"optuna": optuna.__version__, **parts}, separators=(",", ":")))


main()
