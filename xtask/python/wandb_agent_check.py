#!/usr/bin/env python3
"""Lets W&B's sweep agent drive a program of `stormfire::cli`, with a server on the loopback.

  wandb_agent_check.py PROGRAM FOLDER        PROGRAM: the example `custom_logger`, with options `model.lr`

The real `wandb agent` asks the server for runs, which names two of them. It starts the program with their options as
flags, first with hyphens, then without. The server then has two runs with the ids, the sweep and the options of the
agent's runs, and their metrics.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from wandb_server import Server

KEY = "0123456789" * 4
SWEEP = "sweep001"
RATES = {"agentrun1": 0.125, "agentrun2": 0.25}


class SweepServer(Server):
    """A server with one sweep."""

    def __init__(self, command):
        self.command = command
        self.waiting = list(RATES)
        super().__init__()

    def data(self, operation, variables):
        if operation == "SweepWithRuns":
            config = json.dumps({"program": "unused", "command": self.command})
            sweep = {"id": "s", "name": variables["sweep"], "method": "grid", "state": "RUNNING", "description": "", "config": config}
            return {"project": {"sweep": sweep | {"runs": {"edges": []}}}}
        if operation == "CreateAgent":
            return {"createAgent": {"agent": {"id": "agent1"}}}
        if operation == "Heartbeat":
            commands = []
            if self.waiting and not json.loads(variables["runState"] or "{}"):
                run = self.waiting.pop(0)
                args = {"model.lr": {"value": RATES[run]}, "trainer.max_epochs": {"value": 1}}
                commands = [{"type": "run", "id": run, "run_id": run, "program": "unused", "args": args}]
            elif not self.waiting and not json.loads(variables["runState"] or "{}"):
                commands = [{"type": "exit"}]
            return {"agentHeartbeat": {"agent": {"id": "agent1"}, "commands": json.dumps(commands)}}
        return super().data(operation, variables)


def main(program, folder):
    program, folder = os.path.abspath(program), Path(folder).absolute()
    for form in ("${args}", "${args_no_hyphens}"):
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "home").mkdir(parents=True)
        quiet = ["trainer.enable_progress_bar=false", f"trainer.default_root_dir={folder}", f"lines.file={folder}/lines.jsonl"]
        server = SweepServer([program, form, "trainer.loggers=[{name: wandb}]", *quiet])
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        environment |= {"HOME": str(folder / "home"), "NETRC": str(folder / "home/none"), "WANDB_ERROR_REPORTING": "false", "NO_PROXY": "127.0.0.1"}
        environment |= {"WANDB_BASE_URL": server.address, "WANDB_API_KEY": KEY, "WANDB_DIR": str(folder)}
        agent = [str(Path(sys.executable).with_name("wandb")), "agent", "--count", str(len(RATES)), f"me/p/{SWEEP}"]
        done = subprocess.run(agent, env=environment, cwd=folder / "home", capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        server.close()
        check(server.requests, done)
    print(f"wandb agent: started {len(RATES)} runs, with flags in both forms")


def check(requests, done):
    upserts = [request.json()["variables"] for request in requests if request.operation == "UpsertBucket"]
    for run, rate in RATES.items():
        own = [variables for variables in upserts if variables["name"] == run]
        assert own, f"there is no run {run}: {done.stdout}{done.stderr}"
        assert (own[0]["sweep"], own[0]["project"], own[0]["entity"]) == (SWEEP, "p", "me"), own[0]
        config = json.loads(own[-1]["config"])
        assert config["lr"]["value"] == rate, config
        streams = [request.json() for request in requests if request.path == f"/files/me/p/{run}/file_stream"]
        rows = [json.loads(line) for body in streams for name, chunk in (body.get("files") or {}).items() if name == "wandb-history.jsonl" for line in chunk["content"]]
        assert any("train_loss" in row for row in rows), rows
        assert any(body.get("complete") and body["exitcode"] == 0 for body in streams), "the run has not ended"


if __name__ == "__main__":
    main(*sys.argv[1:])
