"""Runs a command with a server of S3 of its own, and looks at what it left with Amazon's client.

usage: s3_check.py COMMAND...
"""

import json
import logging
import os
import subprocess
import sys

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
    subprocess.run(sys.argv[1:], check=True)
    look(s3)
    server.stop()


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
    # Amazon's tag of an object that came in parts ends with their number.
    assert found["large/a.ckpt"]["ETag"].endswith('-3"'), found["large/a.ckpt"]["ETag"]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)
    print(f"{len(found)} objects are as they should be")


if __name__ == "__main__":
    main()
