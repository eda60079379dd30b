"""Whether the series that --measure-drain logs agrees with the load generator's log."""

import bisect
import math
import re
from pathlib import Path

# Seconds by which drain-init's samples and the generator's sends may be late. A
# connection this close to the turn of a second may be counted in either.
SLACK = 0.15
LINE = re.compile(r"new connections in each second of the drain: ([\d ]+)$", re.MULTILINE)


def disagreements(pods, stops, requests):
    """A text with both series for each pod whose drain-init did not count what was sent."""
    found = []
    for pod, stop in zip(pods, stops):
        sent = sorted(r.due + r.late - stop.since for r in requests if r.pod == pod.name)
        line = LINE.search(Path(pod.log).read_text())
        if not line:
            found.append(f"{pod.name} logged no series; see {pod.log}")
        elif wrong := difference([int(figure) for figure in line[1].split()], sent):
            found.append(f"{pod.name}: {wrong}\n  drain-init:     {line[1]}\n"
                         f"  load generator: {' '.join(map(str, by_second(sent)))}")
    return found


def by_second(sent):
    """How many requests were sent in each second after TERM, up to the last second with any."""
    after = [at for at in sent if at >= 0]
    seconds = [0] * (math.floor(after[-1]) + 1 if after else 0)
    for at in after:
        seconds[math.floor(at)] += 1
    return seconds


def difference(series, sent):
    """Where the series contradicts `sent`, the times in seconds after TERM; None if it does not."""
    def before(at):
        return bisect.bisect_right(sent, at)

    if not sum(series):
        return "no connection arrived during the drain, so this run proves nothing"
    counted = 0
    for second, figure in enumerate(series, 1):
        counted += figure
        least = before(second - SLACK) - before(SLACK)
        most = before(second + SLACK) - before(-SLACK)
        if not least <= counted <= most:
            return f"{counted} connections counted until second {second}, {least} to {most} sent"
    # The last second may be cut short. All connections were made before its end.
    if counted < before(math.inf) - before(SLACK):
        return f"{counted} connections counted, {before(math.inf) - before(SLACK)} sent"
    return None
