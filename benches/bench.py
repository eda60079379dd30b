"""Measures drain-init and other inits, and writes benches/results.json and the tables
in docs/size-and-speed.md. With BENCH_EXACT it does not measure times, and keeps those
of the last run.

Bytes, pages and system calls are exact. Times are ratios within one run, in which the
inits take turns (A, B, ..., A, B, ...). They say nothing about another machine.
"""

import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
DIST = TOP / "dist"
RESULTS = TOP / "benches" / "results.json"
PAGE = TOP / "docs" / "size-and-speed.md"
BEGIN, END = "<!-- bench: made by `make bench` -->", "<!-- /bench -->"

STARTS = int(os.environ.get("STARTS", "400"))
SIGNALS = int(os.environ.get("SIGNALS", "10000"))
ORPHANS = int(os.environ.get("ORPHANS", "20000"))
ROUNDS, FORWARD_ROUNDS = 5, 40

# Each architecture's name, machine, qemu and deb.
ARCHITECTURES = json.loads(subprocess.run(
    [TOP / "packaging/architectures", "--json", "name", "machine", "qemu", "deb"],
    stdout=subprocess.PIPE, check=True).stdout)

# Upper bounds, in bytes.
BUDGET = {"amd64": 59_000, "arm64": 59_600, "386": 60_500, "armv7": 68_000, "ppc64le": 85_000, "riscv64": 55_500, "s390x": 72_000}
LAYER_BUDGET, DEB_BUDGET, PPC_DEB_BUDGET = 41 * 1024, 59 * 1024, 61 * 1024

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def fail(text):
    sys.exit(f"bench: {text}")


def note(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def check_budget():
    """Fails if a binary has outgrown its budget."""
    for arch in ARCHITECTURES:
        name, most = f"drain-init-{arch['name']}", BUDGET[arch["name"]]
        size = (DIST / name).stat().st_size
        print(f"{name}: {size:,} bytes of {most:,}")
        if size > most:
            fail(f"{name} has {size:,} bytes, {size - most:,} more than its budget")


def compile_c(name, to, *flags, compiler="gcc"):
    source = TOP / "benches" / f"{name}.c"
    subprocess.run([compiler, *flags, "-o", to, source], check=True)
    return str(to)


class Peer:
    """An init: its command line and its figures."""

    def __init__(self, name, *argv):
        self.name, self.argv, self.figures = name, list(argv), {}

    @property
    def binary(self):
        return self.argv[0]


def native_binary():
    return DIST / f"drain-init-{next(arch['name'] for arch in ARCHITECTURES if arch['machine'] == platform.machine())}"


def peers(work):
    subprocess.run(
        ["cargo", "build", "-q", "--release", "--locked", "--bin", "drain-init",
         "--target-dir", work / "plain"],
        cwd=TOP, check=True)
    limit = compile_c("limit", work / "limit", "-Os", "-static", "-s", compiler="musl-gcc")
    drain_init = shutil.copy2(native_binary(), work / "drain-init")
    plain = shutil.copy2(work / "plain/release/drain-init", work / "plain-drain-init")
    # A new file's pages count as dirty until they are on disk.
    os.sync()
    return [
        Peer("drain-init", drain_init),
        Peer("drain-init, plain cargo build", plain),
        Peer("dumb-init", "/usr/bin/dumb-init"),
        # tini -g and catatonit -g signal the group, as the others do. -s: tini
        # complains if it is neither PID 1 nor a subreaper.
        Peer("tini", "/usr/bin/tini", "-s", "-g", "--"),
        Peer("tini-static", "/usr/bin/tini-static", "-s", "-g", "--"),
        Peer("catatonit", "/usr/bin/catatonit", "-g", "--"),
        Peer("fork, exec, wait in C", limit),
    ]


def drains(peer):
    return peer.name.startswith("drain-init")


def forwards(peer):
    return not peer.name.startswith("fork")


def memory(peer):
    """The init's memory in kB while COMMAND sleeps, and its page faults until then."""
    figures = []
    for _ in range(ROUNDS):
        init = subprocess.Popen([*peer.argv, "/bin/sleep", "60"], env=ENVIRONMENT)
        try:
            child = first_child(init.pid)
            wait_until(lambda: comm(child) == "sleep" and asleep(init.pid) and asleep(child))
            rollup = Path(f"/proc/{init.pid}/smaps_rollup").read_text()
            sizes = [int(re.search(rf"^{key}: +(\d+)", rollup, re.M)[1]) for key in ("Rss", "Anonymous")]
            figures.append([*sizes, int(stat(init.pid)[MINOR_FAULTS])])
        finally:
            os.kill(child, signal.SIGKILL)
            init.wait()
    rss, private, faults = zip(*figures)
    peer.figures["rss_kb"], peer.figures["private_kb"] = statistics.median(rss), statistics.median(private)
    # The kernel adds a few when memory is scarce.
    peer.figures["page_faults"] = min(faults)


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            fail("a process was not ready after 10 s")
        time.sleep(0.001)


def first_child(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    wait_until(lambda: path.read_text().split())
    return int(path.read_text().split()[0])


def comm(pid):
    return Path(f"/proc/{pid}/comm").read_text().strip()


# The field minflt of proc_pid_stat(5), counted from the state.
MINOR_FAULTS = 7


def stat(pid):
    """The fields of /proc/PID/stat from the state on."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def asleep(pid):
    return stat(pid)[0] == "S"


def starts(all_peers):
    """The time of `INIT true` divided by that of `true`: quartiles over all rounds."""
    def once(argv):
        began = time.perf_counter()
        pid = os.posix_spawn(argv[0], argv, ENVIRONMENT)
        os.waitpid(pid, 0)
        return time.perf_counter() - began

    plain = ["/bin/true"]
    times = {peer.name: [] for peer in all_peers}
    for round_ in range(STARTS + 20):
        alone = once(plain)
        for peer in all_peers:
            ratio = once([*peer.argv, *plain]) / alone
            if round_ >= 20:
                times[peer.name].append(ratio)
    for peer in all_peers:
        low, middle, high = statistics.quantiles(times[peer.name], n=4)
        peer.figures["start"] = {"p25": low, "p50": middle, "p75": high}


def system_calls(peer):
    """The init's system calls, without COMMAND's. The execve that starts the init
    counts, as in strace. COMMAND lasts so long that each init has to wait for it."""
    result = subprocess.run(
        ["strace", "-c", "-U", "calls,name", *peer.argv, "/bin/sleep", "0.1"],
        env=ENVIRONMENT, capture_output=True, text=True, check=True)
    total = re.search(r"^ *(\d+) +total", result.stderr, re.M)
    peer.figures["system_calls"] = int(total[1])


def instructions(peer, work):
    out = work / "callgrind"
    subprocess.run(
        ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}.%p", *peer.argv, "/bin/true"],
        env=ENVIRONMENT, capture_output=True, check=True)
    # There is a file for each process. The child's ends at its exec.
    totals = []
    for path in work.glob("callgrind.*"):
        total = re.search(r"^(?:totals|summary): (\d+)", path.read_text(), re.M)
        totals.append((path.name, int(total[1])))
        path.unlink()
    # The lowest process ID is the init's.
    peer.figures["instructions"] = min(totals, key=lambda it: int(it[0].split(".")[1]))[1]


def forwarding(all_peers, program):
    """Microseconds from kill() to the child's handler."""
    samples = {peer.name: [] for peer in all_peers} | {"straight": []}
    commands = [("straight", [])] + [(peer.name, peer.argv) for peer in all_peers]
    for turn in range(FORWARD_ROUNDS):
        # The order rotates, because a command may affect the one after it.
        for name, argv in commands[turn % len(commands):] + commands[:turn % len(commands)]:
            result = subprocess.run(
                [program, str(SIGNALS // FORWARD_ROUNDS), *argv],
                env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=True)
            samples[name].append(sorted(int(line) / 1000 for line in result.stdout.split()))
    def figures(rounds):
        p50, p99 = ([times[len(times) * percent // 100] for times in rounds] for percent in (50, 99))
        return {"p50": statistics.median(p50), "p99": statistics.median(p99)}
    for peer in all_peers:
        peer.figures["forward_us"] = figures(samples[peer.name])
    ours, _, *others = all_peers
    best = min(others, key=lambda peer: peer.figures["forward_us"]["p50"])
    ratios = [own[len(own) // 2] / other[len(other) // 2]
              for own, other in zip(samples[ours.name], samples[best.name], strict=True)]
    p25, p50, p75 = statistics.quantiles(ratios, n=4)
    return {"straight": figures(samples["straight"]),
            "forward_ratio": {"to": best.name, "p25": p25, "p50": p50, "p75": p75}}


def reaping(all_peers, program):
    """Nanoseconds of PID 1's CPU time for each orphan.

    Inits that have -c run with it, because tini and catatonit do not create a session
    either. The kernel schedules sessions against each other (sched_autogroup), which
    costs any init a tenth here.
    """
    def single(peer):
        return [*peer.argv, "-c", "--"] if drains(peer) or peer.name == "dumb-init" else peer.argv

    samples = {peer.name: [] for peer in all_peers}
    for _ in range(ROUNDS):
        for peer in all_peers:
            result = subprocess.run(
                ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
                 *single(peer), program, str(ORPHANS)],
                env=ENVIRONMENT, capture_output=True, text=True, check=True)
            samples[peer.name].append(int(result.stdout.split()[0]) / ORPHANS)
    for peer in all_peers:
        peer.figures["reap_ns"] = round(min(samples[peer.name]))


def switches(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.M)[1])


def idle(peer, seconds=5.0):
    """Wake-ups per minute while COMMAND sleeps, and wake-ups in a whole delay."""
    delay = ["--delay-term", "1", "-q", "--"] if drains(peer) else []
    # COMMAND ignores TERM, so that the init still runs after the delay.
    command = ["/bin/sh", "-c", "trap '' TERM; exec /bin/sleep 60"]
    init = subprocess.Popen([*peer.argv, *delay, *command], env=ENVIRONMENT)
    child = first_child(init.pid)
    wait_until(lambda: comm(child) == "sleep" and asleep(init.pid) and asleep(child))
    before = switches(init.pid)
    time.sleep(seconds)
    peer.figures["wakeups_per_minute"] = round((switches(init.pid) - before) * 60 / seconds, 1)
    if delay:
        before = switches(init.pid)
        init.send_signal(signal.SIGTERM)
        time.sleep(2.0)
        # One wake-up is for the signal itself.
        peer.figures["wakeups_in_delay"] = switches(init.pid) - before - 1
    os.kill(child, signal.SIGKILL)
    init.wait()


def foreign():
    """The bytes and system calls of the builds for other architectures."""
    every = {}
    for arch in ARCHITECTURES:
        if arch["machine"] == platform.machine():
            continue
        binary = DIST / f"drain-init-{arch['name']}"
        # The child's output may garble some of the init's lines, so the highest count is right.
        calls = max(emulated_calls(arch["qemu"], binary) for _ in range(30))
        every[arch["name"]] = {"bytes": binary.stat().st_size, "system_calls": calls}
    return every


def emulated_calls(qemu, binary):
    result = subprocess.run(
        [f"qemu-{qemu}-static", "-strace", binary, "/bin/true"],
        env=ENVIRONMENT, capture_output=True, text=True, check=True)
    # "PID call(args) = result": the first process ID is the init's.
    lines = [line for line in result.stderr.splitlines() if re.match(r"^\d+ \w+\(", line)]
    init = lines[0].split()[0]
    return sum(line.split()[0] == init for line in lines)


def deb_key(arch):
    return "deb" if arch["name"] == "amd64" else f"deb_{arch['name']}"


def packages():
    figures = {}
    for arch in ARCHITECTURES:
        debs = sorted(DIST.glob(f"drain-init_*_{arch['deb']}.deb"))
        if debs:
            figures[deb_key(arch)] = debs[-1].stat().st_size
    archives = sorted(DIST.glob("drain-init-*.oci.tar"))
    if archives:
        figures["layer"] = layer_size(archives[-1])
    for key in figures:
        most = {"layer": LAYER_BUDGET, "deb_ppc64le": PPC_DEB_BUDGET}.get(key, DEB_BUDGET)
        if figures[key] > most:
            fail(f"the {key} has {figures[key]:,} bytes, {figures[key] - most:,} more than its budget")
    return figures


def layer_size(archive):
    import tarfile
    with tarfile.open(archive) as tar:
        def load(digest):
            member = "blobs/" + digest.replace(":", "/")
            try:
                return json.load(tar.extractfile(member))
            except KeyError:
                return json.load(tar.extractfile("./" + member))
        names = tar.getnames()
        index = json.load(tar.extractfile("index.json" if "index.json" in names else "./index.json"))
        document = load(index["manifests"][0]["digest"])
        while "manifests" in document:
            document = load(document["manifests"][0]["digest"])
        return sum(layer["size"] for layer in document["layers"])


def table(results):
    rows = results["peers"]
    ours = rows[0]
    lines = [
        "| | bytes | RSS kB | private kB | page faults | start ÷ `true` | system calls | instructions "
        "| forward µs p50, p99 | reap ns | wake-ups/min |",
        "| --- " + "| ---: " * 10 + "|",
    ]
    for row in rows:
        forward = row.get("forward_us")
        lines.append("| " + " | ".join([
            row["name"],
            f"{row['bytes']:,}",
            f"{row['rss_kb']:,.0f}",
            f"{row['private_kb']:,.0f}",
            f"{row['page_faults']:,}",
            f"{row['start']['p50']:.2f} ({row['start']['p25']:.2f}–{row['start']['p75']:.2f})",
            str(row["system_calls"]),
            f"{row['instructions']:,}",
            f"{forward['p50']:.1f}, {forward['p99']:.1f}" if forward else "–",
            f"{row['reap_ns']:,.0f}" if "reap_ns" in row else "–",
            f"{row['wakeups_per_minute']:g}",
        ]) + " |")
    limit = rows[-1]
    ratio = results["forward_ratio"]
    lines += [
        "",
        f"drain-init starts in {ours['start']['p50'] / limit['start']['p50']:.2f} times the time of a C program that only "
        f"forks, execs and waits. A signal takes {ratio['p50']:.2f} times "
        f"as long ({ratio['p25']:.2f}–{ratio['p75']:.2f}) as through {ratio['to']}, the fastest other init. kill() directly to the "
        f"child takes {results['straight']['p50']:.1f} µs. drain-init wakes up "
        f"{'once' if ours['wakeups_in_delay'] == 1 else str(ours['wakeups_in_delay']) + ' times'} in a delay of any length.",
    ]
    sizes = results["packages"]
    if "layer" in sizes and "deb" in sizes:
        lines[-1] += f" The image's layer has {sizes['layer']:,} bytes, the deb {sizes['deb']:,}."
    # Without times, because those of an emulator mean nothing.
    lines += ["", "| architecture | bytes | bytes of the deb | system calls, in qemu-user |", "| --- | ---: | ---: | ---: |"]
    for arch in ARCHITECTURES:
        figures = results["others"].get(arch["name"])
        if figures:
            deb = sizes.get(deb_key(arch))
            lines.append(f"| {arch['name']} | {figures['bytes']:,} | {f'{deb:,}' if deb else '–'} | {figures['system_calls']} |")
    return "\n".join(lines)


def write_page(text):
    page = PAGE.read_text()
    if BEGIN not in page or END not in page:
        fail(f"{PAGE.name} has no place for the tables ({BEGIN})")
    before, rest = page.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main():
    check_budget()
    sizes = packages()
    if os.environ.get("BENCH_CHECK"):
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        work = Path(name)
        work.chmod(0o755)
        note("building the peers")
        everyone = peers(work)
        forward = compile_c("forward", work / "forward", "-O2")
        orphans = compile_c("orphans", work / "orphans", "-O2")
        for peer in everyone:
            note(f"memory, system calls, instructions, wake-ups of {peer.name}")
            peer.figures["bytes"] = os.stat(os.path.realpath(peer.binary)).st_size
            memory(peer)
            system_calls(peer)
            instructions(peer, work)
            idle(peer)
        if os.environ.get("BENCH_EXACT"):
            results = json.loads(RESULTS.read_text()) | {"others": foreign(), "packages": sizes}
            for row, peer in zip(results["peers"], everyone, strict=True):
                row |= {"name": peer.name, **peer.figures}
            report(results)
            return
        note(f"{STARTS} starts of each")
        starts(everyone)
        inits = [peer for peer in everyone if forwards(peer)]
        note(f"{SIGNALS} signals through each")
        forwarded = forwarding(inits, forward)
        if os.geteuid() == 0:
            note(f"{ORPHANS} orphans for each, {ROUNDS} times")
            reaping(inits, orphans)
        else:
            print("SKIP reaping: needs root, for a PID namespace")
        results = {
            "machine": f"{platform.machine()}, Linux {platform.release().split('-')[0]}, {os.cpu_count()} cores",
            "peers": [{"name": peer.name, **peer.figures} for peer in everyone],
            **forwarded,
            "others": foreign(),
            "packages": sizes,
        }
    report(results)


def rounded(value):
    """VALUE with at most three decimals, which for microseconds is a nanosecond."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return round(value, 3) if isinstance(value, float) else value


def report(results):
    results = rounded(results)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    text = table(results)
    write_page(text)
    print(text)


main()
