"""What the harness talks to in the loader's pod: python3 agent.py, by `kubectl exec -i`.

    time                          prints its clock
    start ADDRESS MODE SECONDS    runs generator.py, or pooled.py in the mode "pool", for so long at most;
                                  prints "started" or why it did not start
    stop                          ends it; prints a line for each request, times by this clock, then "end"

The end of stdin means that the harness is gone, so the load ends as well.
"""

import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Seconds.
PATIENCE = 60


def wait_for(address):
    """Waits for a listener there. kube-proxy sets up a Service a moment after its pods are ready."""
    host, port = address.split(":")
    deadline = time.monotonic() + PATIENCE
    while True:
        # A connection attempt that began too early never succeeds, so each attempt is a new one.
        try:
            with socket.create_connection((host, port), timeout=1):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no connection to {address} within {PATIENCE} s: {error}") from None
        time.sleep(0.1)


def start(records, address, mode, seconds):
    wait_for(address)
    program = "pooled.py" if mode == "pool" else "generator.py"
    # timeout forwards TERM. The program then writes its records.
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
                    try:
                        load = start(records, *words)
                        print("started")
                    except TimeoutError as error:
                        print(error)
                elif command == "stop":
                    stop(load, records)
                    load = None
                sys.stdout.flush()
        finally:
            if load:
                load.terminate()
                load.wait()


main()
