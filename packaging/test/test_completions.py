"""The completions for bash, fish and zsh, each in the shell itself."""

import os
import pty
import re
import select
import shlex
import time

import pytest
from conftest import DIST, NATIVE, TOP, run

COMPLETIONS = TOP / "packaging/completions"


@pytest.fixture(scope="module", autouse=True)
def shells():
    run(TOP / "packaging/need", "fish", "zsh")


def options_in_help(binary):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", run(binary, "--help")))


def bash(*words):
    """What bash offers for WORDS, if the last of them is being typed."""
    script = (
        "source /usr/share/bash-completion/bash_completion && source \"$1\" && shift\n"
        "COMP_WORDS=(drain-init \"$@\"); COMP_CWORD=$#; COMP_LINE=\"${COMP_WORDS[*]}\"; COMP_POINT=${#COMP_LINE}\n"
        "_drain_init; printf '%s\\n' \"${COMPREPLY[@]}\"")
    output = run("bash", "-c", script, "complete", COMPLETIONS / "drain-init.bash", *words)
    return set(output.split())


def fish(*words):
    """The same in fish."""
    line = shlex.join(["drain-init", *words[:-1]]) + " " + words[-1]
    script = f"source {COMPLETIONS}/drain-init.fish; complete -C {shlex.quote(line)}"
    return {offer.split("\t")[0] for offer in run("fish", "--no-config", "-c", script).splitlines()}


def zsh(*words):
    """The same in zsh, which completes only on a terminal."""
    line = shlex.join(["drain-init", *words[:-1]]) + " " + words[-1]
    setup = (
        f"PS1= RPS1= LISTMAX=0; stty -echo cols 160 rows 400; unsetopt zle_bracketed_paste 2>/dev/null; fpath=({COMPLETIONS} $fpath)\n"
        "autoload -U compinit && compinit -D -u; zstyle ':completion:*' verbose no\n"
        # zsh lists nothing while keys are waiting, so one key does it all and prints when it is done.
        "tell() { zle list-choices; zle -R; print -n END-$((6 * 7)); }; zle -N tell; bindkey '^T' tell\n"
        "zle-line-init() { print -n BEGIN-$((6 * 7)) }; zle -N zle-line-init\n")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe("zsh", ["zsh", "-f", "-i"], os.environ | {"TERM": "dumb", "LC_ALL": "C.UTF-8"})
    said = b""
    deadline = time.monotonic() + 60

    def until(mark):
        nonlocal said
        while mark not in said:
            assert time.monotonic() < deadline, said
            if select.select([terminal], [], [], 1)[0]:
                said += os.read(terminal, 65536)
        before, _, said = said.partition(mark)
        return before.decode(errors="replace")

    try:
        os.write(terminal, setup.encode())
        until(b"BEGIN-42")
        os.write(terminal, line.encode() + b"\x14")
        return set(until(b"END-42").split())
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


SHELLS = [bash, fish, zsh]


@pytest.mark.parametrize("offers", SHELLS, ids=lambda offers: offers.__name__)
def test_every_shell_completes_every_option_that_help_names(offers):
    known = options_in_help(DIST / f"drain-init-{NATIVE}")
    assert "--delay-term" in known
    assert {word.rstrip("=") for word in offers("--") if re.fullmatch("--[a-z].*", word)} == known


@pytest.mark.parametrize("offers", SHELLS, ids=lambda offers: offers.__name__)
def test_every_shell_completes_values_and_the_command(offers):
    assert "TERM" in offers("--stop-signal", "T")
    assert "15s" in offers("--kill-after", "1")
    assert "--stop-cmd" in offers("--delay-term", "5", "--st")
    assert "runcon" in offers("--delay-term", "5", "--", "runco")
    assert "runcon" in offers("-c", "runco")
    # After COMMAND, options are COMMAND's.
    assert not {word for word in offers("sleep", "--de") if word.startswith("--delay")}
