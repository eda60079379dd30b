"""What the harness talks to in the loader's pod: python3 agent.py, by `kubectl exec -i`.

    time                          its clock
    start ADDRESS MODE SECONDS    runs generator.py, at most that long; pooled.py in the mode "pool"
    stop                          ends it: a line for each request, times by this clock, then "end"

When its stdin ends, whoever asked is gone: so is the load.
"""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def wait_for(address):
    """Until something listens there. kube-proxy sets up a Service a moment after its pods are ready."""
    host, port = address.split(":")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        # A connection begun too early is lost for good, so each attempt is a new one.
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            return
        time.sleep(0.1)


def start(records, address, mode, seconds):
    wait_for(address)
    program = "pooled.py" if mode == "pool" else "generator.py"
    # timeout hands TERM on, and the program writes down what it has when it gets one.
    return subprocess.Popen(["timeout", "--kill-after=30", seconds, sys.executable,
                             Path(__file__).with_name(program), address, records, mode],
                            stdin=subprocess.DEVNULL, stdout=sys.stderr)


def stop(load, records):
    load.terminate()
    if load.wait() not in (0, 124):
        print(f"failed {load.returncode}")
        return
    wall = time.time() - time.monotonic()
    with open(records, encoding="utf-8") as file:
        for kind, due, *rest in map(json.loads, file):
            print(json.dumps([kind, round(due + wall, 4), *rest]))
    print("end")


def main():
    load = None
    with tempfile.TemporaryDirectory() as directory:
        records = f"{directory}/requests.jsonl"
        try:
            for line in sys.stdin:
                command, *words = line.split()
                if command == "time":
                    print(time.time())
                elif command == "start":
                    load = start(records, *words)
                    print("started")
                elif command == "stop":
                    stop(load, records)
                    load = None
                sys.stdout.flush()
        finally:
            if load:
                load.terminate()
                load.wait()


main()
