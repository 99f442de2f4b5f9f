"""Runs `mlflow_sample` with local MLflow servers, and reads the logged values back with MLflow's client.

usage: mlflow_check.py FOLDER SAMPLE STORMFIRE

One server is plain. The other requires a login and uses TLS. `mlflow migrate-filestore` moves the files that the sample
wrote for the file store into a database, from which they are read.
"""

import datetime
import io
import ipaddress
import json
import math
import os
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
import wave
from pathlib import Path

QUIET = dict(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true", NO_PROXY="127.0.0.1")
os.environ.update(QUIET)
PASSWORD = "a-password-of-the-check"
USER = "admin"
EXPERIMENT = "stormfire checks"
STEPS = 2500
MODEL = "epoch=0-step=4"
LARGEST = sys.float_info.max


class Server:
    """A server on a free port, with its files in a separate folder."""

    def __init__(self, folder, *arguments, tls=None, **environment):
        folder.mkdir(parents=True)
        self.context = tls and ssl.create_default_context(cafile=tls["authority"])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"http{'s' if tls else ''}://127.0.0.1:{free.getsockname()[1]}"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", self.address.rpartition(":")[2], "--workers", "1"]
        command += ["--backend-store-uri", "sqlite:///runs.db", "--artifacts-destination", "artifacts", *arguments]
        if tls:
            command += ["--uvicorn-opts", f"--ssl-keyfile {tls['key']} --ssl-certfile {tls['certificate']}"]
        self.log = folder / "server.log"
        with open(self.log, "w") as log:
            environment = dict(os.environ, PYTHONWARNINGS="ignore", **environment)
            # A separate session, because the server starts further processes.
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)

    def wait(self):
        until = time.monotonic() + 180
        while True:
            try:
                return urllib.request.urlopen(f"{self.address}/health", timeout=5, context=self.context).read()
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    sys.exit(f"the server did not start:\n{self.log.read_text()}")
                time.sleep(0.2)

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, 15)
        self.process.wait(60)


def main():
    folder, sample, stormfire = [Path(argument).resolve() for argument in sys.argv[1:]]
    login = dict(MLFLOW_FLASK_SERVER_SECRET_KEY="a-key-of-the-check", MLFLOW_AUTH_ADMIN_PASSWORD=PASSWORD)
    tls = certificates(folder)
    servers = [Server(folder / "plain"), Server(folder / "secure", "--app-name", "basic-auth", tls=tls, **login)]
    try:
        # The end also takes some time.
        from mlflow import MlflowClient

        for server in servers:
            server.wait()
        check(folder, sample, stormfire, *servers, tls, MlflowClient)
    finally:
        for server in servers:
            server.stop()


def certificates(folder):
    """A certificate for this machine, its key, the authority that signed it, and another authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def certificate(name, key, issuer, issuer_key, *extensions):
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder(issuer or name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=2))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(issuer_key, hashes.SHA256())

    def write(name, thing):
        path = folder / f"{name}.pem"
        path.write_bytes(thing)
        return path

    key, authority_key, other_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    is_authority = x509.BasicConstraints(ca=True, path_length=None)
    authority = certificate("the authority of the check", authority_key, None, authority_key, is_authority)
    other = certificate("another host", other_key, None, other_key, is_authority)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    own = certificate("the server", key, authority.subject, authority_key, here)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = {"certificate": own, "authority": authority, "other": other}
    folder.mkdir(parents=True, exist_ok=True)
    return dict({name: write(name, thing.public_bytes(pem)) for name, thing in public.items()}, key=write("key", private))


def check(folder, sample, stormfire, plain, secure, tls, client_of):
    began = time.monotonic()
    out = folder / "out"
    out.mkdir()
    places = [plain.address, (folder / "killed" / "mlruns").as_uri()]
    killed = [kill(sample, folder / "killed", place) for place in places]
    login = dict(MLFLOW_TRACKING_USERNAME=USER, MLFLOW_TRACKING_PASSWORD=PASSWORD, MLFLOW_TRACKING_SERVER_CERT_PATH=str(tls["authority"]))
    command = [sample, out, plain.address, secure.address, tls["other"]]
    printed = subprocess.run(command, env=dict(os.environ, **login), check=True, stdout=subprocess.PIPE).stdout
    runs = json.loads(printed)
    killed = [resume(sample, folder / "killed", *place) for place in zip(places, killed)]
    print(f"the sample took {time.monotonic() - began:.1f} s")
    sent_later(stormfire, out, login)
    # A separate process, which needs no server.
    target = f"sqlite:///{folder / 'migrated.db'}"
    command = [sys.executable, "-m", "mlflow", "migrate-filestore", "--source", out / "ml runs", "--target", target]
    quiet = dict(os.environ, PYTHONWARNINGS="ignore")
    migration = subprocess.Popen(command, cwd=folder, env=quiet, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert not any(PASSWORD.encode() in path.read_bytes() for path in out.rglob("*") if path.is_file())

    client = client_of(plain.address)
    everything(client, runs["server"]["parent"], "parent", folder, out)
    registered(client, runs["server"]["parent"])
    endings(client, runs["server"])
    continued(client, runs["server"]["continued"], joined=True)
    conflict(client, runs["server"]["conflict"])
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert len(client.search_runs([experiment.experiment_id])) == len(runs["server"]) + 1, "each run exists once"
    kill_9(client, killed[0])

    os.environ.update(login)
    with_login(secure, runs["secure"], client_of)
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    kill_9(client_of(places[1]), killed[1])
    file_store(folder, out, runs["files"], client_of, migration, target)


def sent_later(stormfire, out, login):
    """A run that does not trust the server sends nothing, and neither does a run without a login."""
    sync = lambda *more, **environment: subprocess.run(
        [stormfire, "sync", *more], cwd=out, env=dict(os.environ, **environment), stdout=subprocess.PIPE, text=True
    )
    certificate = {name: value for name, value in login.items() if name.endswith("PATH")}
    refused, listed = sync("--patience", "3", **certificate), sync("--dry-run")
    sent, again = sync(**login), sync(**login)
    codes = [outcome.returncode for outcome in (refused, listed, sent, again)]
    assert codes == [1, 0, 0, 0], (codes, refused.stdout, listed.stdout, sent.stdout)
    assert "needs the token or login" in refused.stdout and listed.stdout.startswith("mlflow: 2 records of `stormfire checks/"), (refused, listed)
    assert sent.stdout.endswith("\n  2 delivered, 0 spooled, 0 refused\n") and again.stdout == "nothing waits\n", (sent, again)


def histories(client, run, keys):
    return {key: [(metric.step, metric.value) for metric in client.get_metric_history(run, key)] for key in keys}


def everything(client, run_id, name, folder, out):
    import numpy

    run = client.get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", name), run.info
    assert run.info.start_time <= run.info.end_time
    infinity = LARGEST if name == "parent" else math.inf
    steps = range(STEPS)
    expected = {
        "train/loss": [(step, step / 3.0) for step in steps],
        "f32": [(step, float(numpy.float32(0.1) * numpy.float32(step))) for step in steps],
        "at:é": [(step, 1e-300) for step in steps],
        "special/inf": [(STEPS, infinity)],
        "special/-inf": [(STEPS, -infinity)],
        "zero": [(STEPS, 0.0)],
        "no step": [(0, 1.0)],
    }
    assert set(run.data.metrics) == {*expected, "special/nan"}, run.data.metrics
    found = histories(client, run_id, run.data.metrics)
    [(step, nan)] = found.pop("special/nan")
    assert step == STEPS and math.isnan(nan)
    if name != "parent":
        # The migration uses the database, which has no infinities.
        expected["special/inf"], expected["special/-inf"] = found["special/inf"], found["special/-inf"]
        assert abs(found["special/inf"][0][1]) >= LARGEST
    for key, values in expected.items():
        assert sorted(found[key]) == sorted(values), (key, found[key][:5])
    assert run.data.params == {
        "lr": "0.001",
        "seed": "42",
        "on": "true",
        "none": "null",
        "net/width": "32",
        "net/act": "relu",
        "list": "[1,2]",
        "text": 'a: "b"\nñ 漢 #',
        "long": "x" * 6000,
        "empty": "",
        "odd _name_-60f322747614": "1e5",
    }, run.data.params
    tags = run.data.tags
    assert tags["mlflow.note.content"] == "**a note**" and tags["tag with ñ"] == ("long " * 1700)[:8000]
    assert tags["mlflow.source.type"] == "LOCAL" and tags["mlflow.source.name"].startswith("mlflow_sample") and tags["mlflow.user"]
    assert tags["mlflow.loggedImages"] == "True"
    assert json.loads(tags["mlflow.loggedArtifacts"]) == [{"path": "tables/confusion/step_3.json", "type": "table"}]
    [model] = json.loads(tags["mlflow.log-model.history"])
    assert (model["artifact_path"], list(model["flavors"])) == (MODEL, ["stormfire"]), model
    artifacts(client, run_id, folder / f"artifacts of {name}", out)


def artifacts(client, run_id, copy, out):
    from mlflow.models import Model

    copy.mkdir()
    client.download_artifacts(run_id, "", str(copy))
    found = {str(path.relative_to(copy)): path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    images = {}
    for name in [name for name in found if name.startswith("images/")]:
        # Parsed like on the page of a run.
        key, step, time_, small = re.fullmatch(r"images/(.+?)\+step\+(\d+)\+timestamp\+(\d+)\+[0-9a-f]{32}(\+compressed)?\.png", name).groups()
        assert abs(int(time_) / 1000 - time.time()) < 3600
        images[key, int(step), bool(small)] = found.pop(name)
    assert len(images) == 6, images.keys()
    for step in (1, 2):
        assert images["val~dogs", step, False] == (out / f"dogs_{step}.png").read_bytes()
        assert images["val~dogs", step, True].startswith(b"\x89PNG")
    assert images["grey", 7, False] == images["grey", 7, True]

    assert found.pop(f"{MODEL}/{MODEL}.ckpt") == (out / f"{MODEL}.ckpt").read_bytes()
    assert found.pop(f"{MODEL}/aliases.txt") == b"['best', 'latest']"
    assert found.pop(f"{MODEL}/metadata.yaml").decode() == f"original_filename: {MODEL}.ckpt\nmonitor: val_loss\nscore: 0.5\n"
    assert found.pop(f"{MODEL}/MLmodel")
    model = Model.load(str(copy / MODEL))
    assert (model.artifact_path, model.flavors["stormfire"]["data"]) == (MODEL, f"{MODEL}.ckpt"), model
    sound = wave.open(io.BytesIO(found.pop("audio/beep/step_3.wav")))
    assert (sound.getframerate(), sound.getnchannels(), sound.getnframes()) == (8000, 2, 2)
    assert found.pop("figures/curve/step_4.png").startswith(b"\x89PNG")
    table = json.loads(found.pop("tables/confusion/step_3.json"))
    assert table == {"columns": ["label", "count", "ok"], "data": [["seven", 12, True], ["ñ", 0.5, False]]}, table
    histogram = json.loads(found.pop("histograms/weights/step_3.json"))
    assert (histogram["num"], histogram["sum"], sum(histogram["counts"])) == (3, 2.5, 3), histogram
    assert {name: content.decode() for name, content in found.items()} == {
        "texts/notes/first/step_3.md": "# Title\n\nñ",
        "figures/curve/step_3.svg": '<svg xmlns="http://www.w3.org/2000/svg"/>',
        "graph.txt": "(net/a): Linear()\n(net/b): Relu() <- net/a\n",
        "data/tree/sub folder/50% ñ+.txt": "deep",
        "data/tree/empty.bin": "",
    }, found.keys()


def registered(client, run_id):
    """A checkpoint can become a version of a registered model, as with the button on MLflow's page."""
    import mlflow

    mlflow.set_tracking_uri(client.tracking_uri)
    version = mlflow.register_model(f"runs:/{run_id}/{MODEL}", "digits")
    assert (version.version, version.run_id) in [(number, run_id) for number in (1, "1")], version
    files = {Path(file.path).name for file in mlflow.artifacts.list_artifacts("models:/digits/1")}
    assert files >= {f"{MODEL}.ckpt", "MLmodel"}, files


def endings(client, runs):
    child, killed = client.get_run(runs["child"]), client.get_run(runs["killed"])
    assert (child.info.status, killed.info.status) == ("FAILED", "KILLED")
    assert child.data.tags["mlflow.parentRunId"] == runs["parent"]
    assert histories(client, runs["child"], ["loss"]) == {"loss": [(1, 0.5)]}


def continued(client, run_id, joined):
    run = client.get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "continued"), run.info
    keys = ["loss", "test_loss"] if joined else ["loss"]
    expected = {"loss": [(step, float(step)) for step in range(8)], "test_loss": [(8, 0.25)]}
    assert histories(client, run_id, run.data.metrics) == {key: expected[key] for key in keys}
    images = [file.path for file in client.list_artifacts(run_id, "images")]
    steps = sorted(int(re.search(r"\+step\+(\d+)", path).group(1)) for path in images)
    assert steps == sorted([*range(8), *range(8)]), images


def conflict(client, run_id):
    run = client.get_run(run_id)
    assert run.data.params == {"lr": "0.1", "a": "1", "z": "2"}, run.data.params
    assert run.data.metrics == {"loss": 0.5} and run.info.status == "FINISHED"


def kill(sample, folder, place):
    """Kills a run in the middle. Returns an earlier position of the run."""
    victim = subprocess.Popen([sample, "killed", folder, place], stdout=subprocess.PIPE, text=True)
    position = None
    for line in victim.stdout:
        if line.startswith("position "):
            position = line.removeprefix("position ")
        if line == "logged 2000\n":
            break
    victim.kill()
    victim.wait()
    return position


def resume(sample, folder, place, position):
    command = [sample, "resumed", folder, place, position]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def kill_9(client, run_id):
    run = client.get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "kill -9"), run.info
    steps = range(1, 3001)
    expected = {"loss": [(step, float(step)) for step in steps]}
    expected.update({name: [(step, 1.0) for step in steps if step % 2 == odd] for odd, name in enumerate(["even", "odd"])})
    assert histories(client, run_id, run.data.metrics) == expected


def with_login(server, run_ids, client_of):
    try:
        urllib.request.urlopen(f"{server.address}/api/2.0/mlflow/runs/get?run_id={run_ids[0]}", context=server.context)
        raise AssertionError("no login was requested")
    except urllib.error.HTTPError as error:
        assert error.code == 401, error
    client = client_of(server.address)
    for run in map(client.get_run, run_ids):
        assert (run.info.status, run.data.metrics) == ("FINISHED", {"loss": 0.5})
    [sent_later] = [one for one in client.search_runs([run.info.experiment_id]) if one.info.run_id not in run_ids]
    assert (sent_later.info.status, sent_later.data.metrics) == ("FINISHED", {"loss": 0.5}), sent_later


def file_store(folder, out, runs, client_of, migration, target):
    printed, _ = migration.communicate()
    assert migration.returncode == 0, printed
    client = client_of(target)
    everything(client, runs["parent"], "123", folder, out)
    continued(client, runs["continued"], joined=False)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert len(client.search_runs([experiment.experiment_id])) == len(runs)
    # The same folder, read without the migration.
    client = client_of((out / "ml runs").as_uri())
    assert [metric.value for metric in client.get_metric_history(runs["parent"], "special/inf")] == [math.inf]
    assert client.get_run(runs["continued"]).info.status == "FINISHED"


if __name__ == "__main__":
    main()
    print("MLflow reads all logged values")
