"""Prints the numbers of PyTorch's samplers and of scikit-learn's splits that the tests of crates/data contain.

    target/venv-metrics/bin/python xtask/python/data/samplers.py
"""

import warnings

import numpy
import torch
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, StratifiedShuffleSplit
from torch.utils.data import WeightedRandomSampler, random_split

DRAWS = 120_000
LABELS = numpy.repeat([0, 1, 2], [6, 3, 1])
STRATIFIED = [
    ("0100000120100200011121010002000100000020000000000000200000000000001010202010000000000000020001000010001", 5),
    ("10111010110101111111", 3),
    ("0000000000000000000000001020000000000000020000000000001000000100000000100000000000000002000000000", 4),
    ("231303203210200111123020212001133230223100032312013313033", 10),
]
GROUPED = [("417641571357366716038414503144400846332121341107843563281408", 4), ("3110433434303313403003123230320", 3)]


def digits(text):
    return numpy.array([int(digit) for digit in text])


def draws(weights):
    torch.manual_seed(0)
    return numpy.bincount(list(WeightedRandomSampler(weights, DRAWS))).tolist()


def pairs(weights):
    torch.manual_seed(0)
    drawn = torch.multinomial(torch.tensor(weights).expand(DRAWS, -1), 2, replacement=False).numpy()
    counts = numpy.zeros((len(weights), len(weights)), int)
    numpy.add.at(counts, (drawn[:, 0], drawn[:, 1]), 1)
    return counts.tolist()


def first_items(sizes, count):
    """The classes of a stratified sample of this size."""
    labels = numpy.repeat(numpy.arange(len(sizes)), sizes)
    split = StratifiedShuffleSplit(1, train_size=count, random_state=0).split(labels, labels)
    return numpy.bincount(labels[next(split)[0]], minlength=len(sizes)).tolist()


def main():
    warnings.simplefilter("ignore")
    print("draws with replacement:", draws([1.0, 2.0, 3.0, 4.0]))
    print("pairs without replacement:", pairs([1.0, 2.0, 3.0, 4.0]))
    print("draws with the weights 1 / class size:", draws((1 / numpy.bincount(LABELS))[LABELS].tolist()))
    for count in [7, 10, 33, 50, 64, 90]:
        print(f"{count} items of classes with 70, 20 and 10 items:", first_items([70, 20, 10], count))
    for text, k in STRATIFIED:
        labels = digits(text)
        folds = StratifiedKFold(k, shuffle=True, random_state=0).split(labels, labels)
        print(f"{k} stratified folds:", [numpy.bincount(labels[test], minlength=labels.max() + 1).tolist() for _, test in folds])
    for text, k in GROUPED:
        print(f"{k} grouped folds:", [len(test) for _, test in GroupKFold(k).split(text, groups=digits(text))])
    print("4 folds of 11 items:", [len(test) for _, test in KFold(4).split(range(11))])
    for items, parts in [(10, [0.8, 0.2]), (11, [0.3, 0.3, 0.4]), (7, [0.5, 0.25, 0.25]), (2, [0.1, 0.2, 0.7]), (0, [0.5, 0.5])]:
        print(f"{items} items in {parts}:", [len(part) for part in random_split(range(items), parts)])


main()
