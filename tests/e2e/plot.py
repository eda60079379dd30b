"""Draws the picture from the data: plot.py RESULTS.json PICTURE.svg

Failed requests over time through one deploy of puma: dumb-init beside drain-init.
"""

import json
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

# The same data gives the same bytes.
matplotlib.rcParams.update({"svg.hashsalt": "drain-init", "svg.fonttype": "none", "font.size": 10})
WAYS = ("dumb-init", "drain-init --delay-term D")


def find(results, way):
    return next(row for row in results["rows"] if row["server"] == "puma" and row["way"] == way
                and row["path"] == "tcp" and row["removal_s"] == 1 and not row["container"])


def main(source, target):
    with open(source, encoding="utf-8") as file:
        results = json.load(file)
    rows = {way: find(results, way) for way in WAYS}
    figure, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True)
    for axis, (way, row) in zip(axes, rows.items()):
        line = row["timeline"]
        starts = [line["start_s"] + i * line["bin_s"] for i in range(len(line["failed"]))]
        axis.bar(starts, line["requests"], line["bin_s"], align="edge", color="#dddddd", label="requests")
        axis.bar(starts, line["failed"], line["bin_s"], align="edge", color="#c0392b", label="failed")
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
    figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})


main(*sys.argv[1:])
