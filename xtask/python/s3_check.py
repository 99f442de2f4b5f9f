"""Runs a command with a local S3 server, and checks the objects with Amazon's client.

usage: s3_check.py COMMAND...                   a test that writes checkpoints
       s3_check.py --logs FOLDER COMMAND...     a program that runs in FOLDER and writes logs
"""

import csv
import json
import logging
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "stormfire"


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://{host}:{port}",
        AWS_ALLOW_HTTP="true",
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_REGION="us-east-1",
        AWS_DEFAULT_REGION="us-east-1",
        NO_PROXY=host,
        STORMFIRE_TEST_S3=f"s3://{BUCKET}/below/run 1",
    )
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    if sys.argv[1] == "--logs":
        _, _, folder, *command = sys.argv
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        subprocess.run([*command, f"s3://{BUCKET}/the logs"], check=True, cwd=folder)
        look_at_logs(s3, Path(folder) / ".stormfire/logs/s3" / BUCKET)
    else:
        subprocess.run(sys.argv[1:], check=True)
        look(s3)
    server.stop()


def look_at_logs(s3, local):
    """Checks that every object equals the file of the loggers, and that the table has every row once."""
    body = lambda key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    there = {entry["Key"]: body(entry["Key"]) for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
    here = {file.relative_to(local).as_posix(): file.read_bytes() for file in local.rglob("*") if file.is_file()}
    assert there.keys() == here.keys(), (sorted(there), sorted(here))
    assert there == here, [name for name in here if there[name] != here[name]]
    run = "the logs/lightning_logs/version_0"
    rows = list(csv.DictReader(there[f"{run}/metrics.csv"].decode().splitlines()))
    # Numbers such as 1/4096 are written as the shortest decimals of an f32.
    assert [int(row["step"]) for row in rows] == list(range(1000))
    assert all(math.isclose(float(row["loss"]), 1 / (step + 1), rel_tol=1e-7) for step, row in enumerate(rows))
    lines = [json.loads(line) for line in there[f"{run}/metrics.jsonl"].splitlines()]
    assert [line["step"] for line in lines] == list(range(1000))
    assert there[f"{run}/hparams.yaml"] == b"lr: 0.001\n"
    assert sum("tfevents" in name for name in there) == 2, sorted(there)
    print(f"{len(there)} objects equal the files of the loggers")


def look(s3):
    found = {entry["Key"].removeprefix("below/run 1/"): entry for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
    files = ["best_k_models.yaml", "epoch=1.ckpt", "epoch=3.ckpt", "last.ckpt"]
    expected = [f"{run}/checkpoints/{name}" for run in ("files", "links") for name in files] + ["large/a.ckpt", "large/b.ckpt"]
    assert sorted(found) == sorted(expected), sorted(found)
    body = lambda name: s3.get_object(Bucket=BUCKET, Key=found[name]["Key"])["Body"].read()
    for name in expected:
        if name.endswith(".ckpt"):
            data = body(name)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            assert json.loads(header["__metadata__"]["stormfire"])["format_version"] == 1, name
    assert body("large/a.ckpt") == body("large/b.ckpt")
    # Amazon's tag of a multipart object ends with the number of parts.
    assert found["large/a.ckpt"]["ETag"].endswith('-3"'), found["large/a.ckpt"]["ETag"]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)
    print(f"{len(found)} objects have the expected content")


if __name__ == "__main__":
    main()
