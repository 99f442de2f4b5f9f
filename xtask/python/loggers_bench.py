"""Logs the same values with Python's loggers as `cargo xtask bench` does with Stormfire's.

Usage: loggers_bench.py CASE COUNT. Prints JSON: wall time and processor time in seconds, and peak memory in KiB.
"""

import json
import resource
import sys
import tempfile
import time


def tensorboard_x(folder):
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(folder)

    def work(count):
        for step in range(count):
            writer.add_scalar("train_loss", 1 / (step + 1), step)
        writer.close()

    return work


def lightning_csv(folder):
    from pytorch_lightning.loggers import CSVLogger

    # Two columns, written every 100 rows, which is the default.
    logger = CSVLogger(folder)

    def work(count):
        for step in range(count):
            logger.log_metrics({"train_loss": 1 / (step + 1), "b": 1 / (step + 1)}, step)
            if step % 100 == 99:
                logger.save()
        logger.save()

    return work


CASES = {"tensorboardX": tensorboard_x, "lightning-csv": lightning_csv}


def main(case, count):
    with tempfile.TemporaryDirectory() as folder:
        # The import is not part of the measurement.
        work = CASES[case](folder)
        began, cpu = time.perf_counter(), time.process_time()
        work(count)
        result = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    result["peak_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
