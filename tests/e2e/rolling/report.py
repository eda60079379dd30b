"""The results as a Markdown table and as JSON, and which promises were broken."""

import json

from .rows import PATHS

HEADER = ("# Rolling deploys: every server and init\n\n"
          "[e2e.md](../e2e.md) explains the run, the paths and the columns.\n\n"
          "| server | run as | way to the pod | removal | delay | deploys | requests | failed "
          "| in flight | TERMs received | longest gap | signal to exit | exit status |\n"
          "| --- | --- | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --- |\n")
INITS = ("catatonit", "drain-init", "dumb-init", "tini")


def command(way):
    """A way as Markdown, with a command line as code."""
    words, colon, line = way.rpartition(": ")
    return f"{words}{colon}`{line}`" if line.split()[0] in INITS else way


def key(row):
    """The key of a result's row."""
    return (row["server"], row["way"], row["path"], row["container"], row["removal_s"])


def markdown(results):
    lines = [HEADER]
    for row in results["rows"]:
        stops = row["all_stops"] if "all_stops" in row else summary(row["stops"])
        low, high = (f"{seconds:.1f}" for seconds in stops["seconds"])
        statuses, told = stops["statuses"], stops["told"]
        in_flight = f"{stops['in_flight']:,}" if told else ""
        delay = "" if row["delay_s"] is None else f"{row['delay_s']:g} s"
        server = row["server"] + (" in podman" if row["container"] else "")
        lines.append(
            f"| {server} | {command(row['way'])} | {PATHS[row['path']]} | {row['removal_s']:g} s | {delay} "
            f"| {row['deploys']} | {row['requests']:,} | {row['failed']:,} "
            f"| {in_flight} | {', '.join(map(str, told))} | {row['longest_gap_ms']:,} ms | {low if low == high else f'{low}–{high}'} s "
            f"| {', '.join(statuses)} |\n")
    lines.append(f"\nMade with {versions(results['made_with'])}.\n")
    # Rows that were made again, or later, with ONLY.
    others = {}
    for row in results["rows"]:
        if "made_with" in row:
            servers = others.setdefault(versions(row["made_with"]), [])
            servers += [] if row["server"] in servers else [row["server"]]
    for made_with, servers in others.items():
        lines.append(f"\nThe rows of {', '.join(servers)}: made later, with {made_with}.\n")
    return "".join(lines)


def summary(stops):
    """The table's figures for a row's stops."""
    seconds = [stop["seconds"] for stop in stops]
    told = sorted({times for stop in stops for times in stop.get("told") or ()})
    return {"seconds": [min(seconds), max(seconds)], "told": told,
            "statuses": sorted({"killed" if stop["killed"] else str(stop["status"]) for stop in stops}),
            "in_flight": sum(stop["in_flight"] for stop in stops) if told else 0}


def is_drawn(row):
    """Whether plot.py draws this row."""
    return (row["server"] == "puma" and row["way"] in ("dumb-init", "drain-init --delay-term D")
            and row["path"] == "tcp" and row["removal_s"] == 1 and not row["container"])


def kept(row):
    """ROW as in docs/e2e/results.json, with only the figures that the pages and the picture use."""
    dropped = {"stops", "failures", "own_status", "sent_late_ms"} | (set() if is_drawn(row) else {"timeline"})
    stops = {} if "all_stops" in row else {"all_stops": summary(row["stops"])}
    return {name: value for name, value in row.items() if name not in dropped} | stops


def versions(made_with):
    return ", ".join(f"{name} {version}" for name, version in made_with.items())


def as_json(results):
    """The results that the pages use, one row per line."""
    rows = ",\n".join(json.dumps(kept(row), ensure_ascii=False) for row in results["rows"])
    rest = {"made_with": results["made_with"]}
    return f"{json.dumps(rest, ensure_ascii=False, indent=1)[:-2]},\n \"rows\": [\n{rows}\n ]\n}}\n"


def broken_promises(rows, results):
    """One line for each broken promise; rows and results are in the same order."""
    broken = []
    for row, result in zip(rows, results["rows"]):
        name = row.words()
        if row.lossless and result["failed"]:
            broken.append("\n".join([f"{name}: {result['failed']} of {result['requests']:,} requests failed "
                                     f"({result['failures']})", *result.get("time_lines", ())]))
        broken += [f"{name}: {line}" for line in result.get("disagreements", ())]
        if row.own_status:
            wrong = [s for s in result["stops"] if s["status"] != result["own_status"] or s["killed"]]
            if wrong:
                broken.append(f"{name}: exit status {wrong[0]['status']}"
                              f"{' (killed)' if wrong[0]['killed'] else ''}, but the server's own "
                              f"is {result['own_status']}")
        told = [stop["told"] for stop in result["stops"] if stop["told"]]
        if row.once and told:
            wrong = [times for times in told if set(times) != {1}]
            if wrong:
                broken.append(f"{name}: in {len(wrong)} of {len(told)} servers, not every process received "
                              f"TERM exactly once, but {wrong[0]} times")
            elif "--stop-cmd" not in row.way and not all(stop["in_flight"] for stop in result["stops"]):
                broken.append(f"{name}: no request was in flight at a stop, so this run proves nothing")
        if (row.loses or row.way == "dumb-init" and row.path in ("tcp", "http")) and not result["failed"]:
            broken.append(f"{name}: lost no request, so this run proves nothing")
        left = sum(stop["left"] for stop in result["stops"])
        if left:
            broken.append(f"{name}: {left} processes remained after PID 1 had exited")
    for death in results["deaths_in_delay"]:
        if death["promised"] and (death["seconds"] > 0.1 or death["status"] != 137):
            broken.append(f"{death['way']}: ended {1000 * death['seconds']:.0f} ms after its app had died during "
                          f"the delay, with status {death['status']}; the promise is 100 ms and 137")
    return broken
