"""Makes the page's tables and README's row from docs/kubernetes.json."""

import json
import statistics
import sys

from rolling.sandbox import REPOSITORY

from .deploys import PATHS

DATA = REPOSITORY / "docs/kubernetes.json"
PAGE = REPOSITORY / "docs/kubernetes.md"
README = REPOSITORY / "README.md"
PICTURE = REPOSITORY / "docs/kubernetes.svg"
END = "<!-- /kubernetes -->"
# Separates the commands of a run. The page has each in backquotes.
THEN = "`, then `"
OURS = "drain-init, DRAIN_INIT_DELAY_TERM=5"


def begin(what):
    return f"<!-- kubernetes: {what}, made by `make e2e-kubernetes FULL=1` -->"


def share(seen):
    return f"{seen['failed']:,} of {seen['requests']:,}"


def tenths(number):
    """With one decimal. Adding zero turns -0.0 into 0.0."""
    return f"{round(number, 1) + 0:.1f}"


def span(numbers, unit=" s"):
    """From the smallest to the largest, or a dash."""
    numbers = [number for number in numbers if number is not None]
    if not numbers:
        return "–"
    low, high = map(tenths, (min(numbers), max(numbers)))
    return (low if low == high else f"{low} to {high}") + unit


def last_answered(pod):
    return max(pod["last_answered"].values(), default=None)


def failed_span(row):
    return span([at for path in row["paths"].values() for at in path["failed_after_deletion"] or ()])


def command(way):
    return ", ".join(f"`{words}`" if "=" in words else words for words in way.split(", "))


def ends(row):
    codes = {}
    for pod in row["pods"]:
        words = "not seen" if pod["exit_code"] is None else f"{pod['exit_code']} {pod['reason']}".strip()
        codes[words] = codes.get(words, 0) + 1
    return ", ".join(f"{words} ({count})" if len(codes) > 1 else words for words, count in sorted(codes.items()))


def kinds(row):
    failures = {}
    for path in row["paths"].values():
        for kind, count in path["failures"].items():
            failures[kind] = failures.get(kind, 0) + count
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(failures.items(), key=lambda item: -item[1])) or "–"


def deploys_table(rows):
    """The table of rows that have the same loads."""
    paths = {path: f"failed, {PATHS[path]}" for path in rows[0]["paths"]}
    lines = [f"| server | run as | pods | {' | '.join(paths.values())} | how | failures, after a deletion "
             "| last request that the pod answered, after its deletion | deletion to end | exit code, reason |",
             f"| --- | --- | --: |{' --: |' * len(paths)} --- | --: | --: | --: | --- |"]
    for row in rows:
        lines.append(
            f"| {row['server']} | {command(row['way'])} | {len(row['pods'])} "
            f"| {' | '.join(share(row['paths'][path]) for path in paths)} | {kinds(row)} | {failed_span(row)} "
            f"| {span(map(last_answered, row['pods']))} | {span(pod['ended'] for pod in row['pods'])} | {ends(row)} |")
    return "\n".join(lines)


def deploys_tables(run):
    pools = [row for row in run["deploys"] if "pool" in row["paths"]]
    others = [row for row in run["deploys"] if row not in pools]
    return [deploys_table(rows) + "\n" for rows in (others, pools) if rows]


def series(run):
    """What --measure-drain logged, one line per deploy."""
    parts = []
    for row in run["deploys"]:
        pods = [" ".join(map(str, pod["series"])) for pod in row["pods"] if "series" in pod]
        if pods:
            lines = ["    " + "    ".join(pods[first:first + row["replicas"]]) for first in range(0, len(pods), row["replicas"])]
            parts.append(f"What `--measure-drain` logged for {row['server']}: new connections in each second of the drain, a line per "
                         "deploy and a group per pod. One connection in each second is the readiness probe.\n\n"
                         + "\n".join(lines) + "\n")
    return parts


def pods_table(run):
    lines = ["| row | what was seen |", "| --- | --- |"]
    lines += [f"| {row['row']} | {row['seen']} |" for row in run["pods"]]
    return "\n".join(lines)


def title(run):
    facts = run["facts"]
    proxy = "" if facts["proxy"] == "unknown" else f", kube-proxy in {facts['proxy']} mode"
    return f"Kubernetes {facts['Kubernetes']}{proxy}"


def made_with(run):
    facts = ", ".join(f"{name} {value}" for name, value in run["facts"].items() if name not in ("Kubernetes", "proxy"))
    return f"`{run['command']}`, {run['date']}: drain-init {run['drain_init']}; {facts}."


def tables(data):
    parts = []
    for run in data["runs"]:
        parts.append(f"### {title(run)}\n\n{made_with(run)}\n")
        parts += deploys_tables(run)
        parts += series(run)
        if run["pods"]:
            parts.append(pods_table(run) + "\n")
        if run["skipped"]:
            parts.append("Not run there: " + "; ".join(f"{name} ({why})" for name, why in run["skipped"]) + ".\n")
    return "\n".join(parts).rstrip("\n")


def row_of(data, way, server="puma"):
    return next(row for row in data["runs"][0]["deploys"] if row["way"] == way and row["server"] == server)


def times(data):
    """The picture's figures in words."""
    run, ours, theirs = data["runs"][0], row_of(data, OURS), row_of(data, "dumb-init")

    def line(words, numbers):
        numbers = [number for number in numbers if number is not None]
        return f"| {words} | {tenths(statistics.median(numbers))} s | {tenths(max(numbers))} s |" if numbers else f"| {words} | – | – |"

    return "\n".join([
        f"Seconds after a pod's deletion, {title(run)}, puma, {len(ours['pods'])} pods with drain-init and "
        f"{len(theirs['pods'])} with dumb-init:\n",
        "| | median | latest |", "| --- | --: | --: |",
        line("drain-init receives TERM", [pod["draining"] for pod in ours["pods"]]),
        line("the last request that the pod received, and answered", map(last_answered, ours["pods"])),
        line("puma receives TERM", [pod["server_told"] for pod in ours["pods"]]),
        line("the container ends", [pod["ended"] for pod in ours["pods"]]),
        line("with dumb-init: puma receives TERM and closes its socket", [pod["server_told"] for pod in theirs["pods"]]),
        f"\nWith dumb-init, requests failed from {failed_span(theirs)} after a deletion."])


def readme_row(data):
    ways = {"no init": "no init", "dumb-init": "dumb-init", "tini": "tini",
            "preStop sleep 5, dumb-init": "preStop sleep", OURS: "drain-init"}
    rows = {way: row_of(data, way)["paths"]["nginx"] for way in ways}
    return "\n".join([
        "| failed requests | " + " | ".join(ways.values()) + " |", "| --- |" + " ---: |" * len(ways),
        "| puma behind nginx, three replicas | " + " | ".join(map(share, rows.values())) + " |"])


def filled(path, blocks):
    """The page with these blocks between their marks."""
    text = path.read_text(encoding="utf-8")
    for what, block in blocks.items():
        before, mark, rest = text.partition(begin(what))
        _, end, after = rest.partition(END)
        if not end:
            sys.exit(f"e2e-kubernetes: {path.name} has no place for the {what}: {begin(what)} ... {END}")
        text = f"{before}{mark}\n\n{block}\n\n{end}{after}"
    return text


def pages(data):
    yield PAGE, filled(PAGE, {"times": times(data), "tables": tables(data)})
    yield README, filled(README, {"row": readme_row(data)})


def load():
    return json.loads(DATA.read_text(encoding="utf-8"))


def check():
    for path, wanted in pages(load()):
        if path.read_text(encoding="utf-8") != wanted:
            sys.exit(f"e2e-kubernetes: {path.name} does not have what docs/kubernetes.json says: run tests/e2e/kubernetes --write")


def write():
    for path, wanted in pages(load()):
        path.write_text(wanted, encoding="utf-8")


def as_json(data):
    """The data with one row per line, so a diff shows which rows changed."""
    runs = []
    for run in data["runs"]:
        head = {key: value for key, value in run.items() if key not in ("deploys", "pods")}
        parts = [f'"{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in head.items()]
        for key in ("deploys", "pods"):
            rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in run[key])
            parts.append(f'"{key}": [\n{rows}\n]' if rows else f'"{key}": []')
        runs.append("{" + ",\n".join(parts) + "}")
    return '{"runs": [\n' + ",\n".join(runs) + "\n]}\n"


def merged(data, run):
    """The data with this run in place of an older one of the same Kubernetes and proxy mode. A
    run of some rows replaces only those."""
    def key(of):
        return (of["facts"]["Kubernetes"], of["facts"]["proxy"])

    some_rows = run.pop("some_rows")
    runs = list(data["runs"])
    place = next((index for index, old in enumerate(runs) if key(old) == key(run)), None)
    if place is None:
        return {"runs": [*runs, run]}
    if some_rows:
        old = runs[place]
        for part in ("deploys", "pods"):
            new = {row["row"]: row for row in run[part]}
            rows = [new.pop(row["row"], row) for row in old[part]]
            run[part] = [*rows, *new.values()]
        run["skipped"] = [skip for skip in old["skipped"] if skip[0] not in {row["row"] for row in run["pods"]}]
        before = [each for each in old["command"].split(THEN) if each != run["command"]]
        run["command"] = THEN.join([*before, run["command"]])
    runs[place] = run
    return {"runs": runs}
