"""Writes crates/data/src/samplers/fixtures/fairseq.json: batches of similar lengths by fairseq's `batch_by_size`.

It needs NumPy and the source of fairseq 0.12, whose Cython runs here as Python: without its types. The inputs are the
same in each run.

    pip download --no-deps fairseq-fixed==0.12.3.1
    python xtask/python/data/lengths.py fairseq_fixed-0.12.3.1.tar.gz > crates/data/src/samplers/fixtures/fairseq.json
"""

import json
import re
import sys
import tarfile

import numpy

SOURCE = "fairseq/data/data_utils_fast.pyx"


def batch_by_size(archive):
    with tarfile.open(archive) as files:
        name = next(name for name in files.getnames() if name.endswith(SOURCE))
        source = files.extractfile(name).read().decode().replace("\r\n", "\n")
    source = re.search(r"^cpdef list batch_by_size_vec\(.*?(?=\n@cython|\ncpdef)", source, re.MULTILINE | re.DOTALL)[0]
    a_type = r"(?:np\.ndarray\[[^\]]*\]|\w+)(?:\[[:, ]*\])?"
    source = source.replace("cpdef list ", "def ", 1)
    source = re.sub(rf"^( +)cdef {a_type} (?=\w+ =)", r"\1", source, flags=re.MULTILINE)
    # Parameters.
    source = re.sub(rf"^( +){a_type} (\w+,)$", r"\1\2", source, flags=re.MULTILINE)
    module = {"np": numpy}
    exec(compile(source, SOURCE, "exec"), module)
    return module["batch_by_size_vec"]


def cases():
    random = numpy.random.default_rng(7)
    texts = numpy.minimum(numpy.exp(random.normal(3, 0.8, 150)).astype(int) + 1, 120)
    yield texts, 1, 256, None
    yield texts, 8, 256, None
    yield texts, 8, 480, 7
    yield texts, 16, None, 12
    yield random.integers(1, 10, 90), 1, 9, None
    yield random.integers(1, 10, 90), 1, 40, 6
    yield numpy.full(21, 5), 4, 32, None
    yield numpy.array([9]), 8, 16, 4


def main(archive):
    of_fairseq, parts = batch_by_size(archive), []
    for lengths, multiple, max_tokens, batch_size in cases():
        padded = numpy.sort(-(-lengths // multiple) * multiple)
        batches = of_fairseq(numpy.arange(len(padded)), padded, max_tokens or -1, batch_size or -1, 1)
        batches = [padded[batch].tolist() for batch in batches]
        options = {"multiple_of": multiple, "max_tokens": max_tokens, "batch_size": batch_size}
        parts.append({"lengths": lengths.tolist(), **options, "batches": batches})
    print(json.dumps(parts, separators=(",", ":")))


main(sys.argv[1])
