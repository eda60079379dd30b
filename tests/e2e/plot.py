"""Draws the picture from the data: plot.py RESULTS.json PICTURE.svg

For `make e2e`: requests and failed requests during a deploy of puma, with dumb-init and
with drain-init. For `make e2e-kubernetes`: the requests that a pod still answers after its
deletion and those that fail, with the same two inits.
"""

import json
import os
import statistics
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

# The same data always gives the same file.
matplotlib.rcParams.update({"svg.hashsalt": "drain-init", "svg.fonttype": "none", "font.size": 10})
WAYS = ("dumb-init", "drain-init --delay-term D")


LARGEST = 60_000


def find(results, way):
    return next(row for row in results["rows"] if row["server"] == "puma" and row["way"] == way
                and row["path"] == "tcp" and row["removal_s"] == 1 and not row["container"])


def save(figure, target):
    figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    if os.path.getsize(target) > LARGEST:
        sys.exit(f"plot.py: {target} has more than {LARGEST:,} bytes")


def median(row, what):
    return statistics.median(pod[what] for pod in row["pods"] if pod[what] is not None)


def kubernetes(results, target):
    rows = {row["way"]: row for row in results["runs"][0]["deploys"] if row["server"] == "puma"}
    ways = ("dumb-init", "drain-init, DRAIN_INIT_DELAY_TERM=5")
    figure, axes = plt.subplots(len(ways), 1, figsize=(9, 4.6), sharex=True, sharey=True)
    for axis, way in zip(axes, ways):
        row, line = rows[way], rows[way]["timeline"]
        edges = [line["from_s"] + i * line["bin_s"] for i in range(len(line["failed"]) + 1)]
        for what, color, label in (("answered", "#bbbbbb", "answered by the deleted pod"), ("failed", "#c0392b", "failed")):
            axis.stairs([count / len(row["pods"]) for count in line[what]], edges, fill=True, color=color, label=label)
        axis.axvline(0, color="black", linewidth=0.8, linestyle="--", label="deleted: TERM to PID 1, removal starts")
        axis.axvline(median(row, "server_told"), color="#2060a0", linewidth=1.2, label="puma has TERM (median)")
        axis.axvline(median(row, "ended"), color="black", linewidth=0.8, linestyle=":", label="the container has ended (median)")
        axis.set_title(f"{way}: {sum(path['failed'] for path in row['paths'].values()):,} failed, {len(row['pods'])} pods")
        axis.set_ylabel("requests a pod,\nin 0.1 s")
        axis.set_xlim(edges[0], 7)
    axes[-1].set_xlabel("seconds since a pod's deletion")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    save(figure, target)


def main(source, target):
    with open(source, encoding="utf-8") as file:
        results = json.load(file)
    if "runs" in results:
        kubernetes(results, target)
        return
    rows = {way: find(results, way) for way in WAYS}
    figure, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True)
    for axis, (way, row) in zip(axes, rows.items()):
        line = row["timeline"]
        starts = [line["start_s"] + i * line["bin_s"] for i in range(len(line["failed"]))]
        edges = [*starts, starts[-1] + line["bin_s"]]
        axis.stairs(line["requests"], edges, fill=True, color="#dddddd", label="requests")
        axis.stairs(line["failed"], edges, fill=True, color="#c0392b", label="failed")
        for number, at in enumerate(line["signals_s"]):
            axis.axvline(at, color="black", linewidth=0.8, linestyle="--",
                         label="SIGTERM, removal starts" if number == 0 else None)
            axis.axvline(at + row["removal_s"], color="black", linewidth=0.8, linestyle=":",
                         label="removal has arrived" if number == 0 else None)
        command = way.replace(" D", f" {row['delay_s']}")
        axis.set_title(f"{command}: {sum(line['failed'])} failed")
        axis.set_xlabel("seconds since the first SIGTERM")
        axis.set_xlim(line["start_s"], starts[-1] + line["bin_s"])
        axis.set_xticks(range(round(line["start_s"]), round(starts[-1] + line["bin_s"]) + 1))
    axes[0].set_ylabel("requests in 0.1 s")
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, frameon=False)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    save(figure, target)


main(*sys.argv[1:])
