"""The wheels: the description on PyPI, the contents, and pip, which installs them."""

import re
import subprocess
import zipfile

import pytest
from conftest import DIST, NATIVE, RELEASED, TOP, VERSION, fails, run

WHEELS = {arch["machine"]: next(DIST.glob(f"drain_init-*_{arch['machine']}.whl")) for arch in RELEASED if arch["tier"] == "1"}


def test_there_is_a_wheel_for_each_architecture():
    assert set(DIST.glob("*.whl")) == set(WHEELS.values()) and len(WHEELS) == 2


@pytest.mark.parametrize("cpu", WHEELS)
def test_the_description_has_no_link_that_is_dead_on_pypi(cpu):
    metadata = zipfile.ZipFile(WHEELS[cpu]).read(f"drain_init-{VERSION}.dist-info/METADATA").decode()
    description = metadata.partition("\n\n")[2]
    assert description.startswith("# drain-init\n")
    links = re.findall(r"\]\(([^)]*)\)", description)
    assert len(links) >= 4
    for link in links:
        assert link.startswith("https://github.com/drain-init/drain-init"), link
        path = re.search(r"/blob/main/([^#]*)", link)
        assert path is None or (TOP / path[1]).is_file(), link


@pytest.mark.parametrize("cpu", WHEELS)
def test_the_wheel_carries_the_notices_of_what_is_linked_in(cpu):
    for name in ("NOTICES", "LICENSE-MIT", "LICENSE-APACHE"):
        assert zipfile.ZipFile(WHEELS[cpu]).read(f"drain_init-{VERSION}.dist-info/licenses/{name}") == (TOP / name).read_bytes()


def test_the_release_carries_the_notices():
    assert (DIST / "NOTICES").read_bytes() == (TOP / "NOTICES").read_bytes()
    assert "  NOTICES\n" in (DIST / "SHA256SUMS").read_text()


@pytest.fixture(scope="module")
def pip(tmp_path_factory):
    """pip of a fresh virtual environment, which finds only the wheels in dist/."""
    venv = tmp_path_factory.mktemp("pip") / "venv"
    run("python3", "-m", "venv", venv)

    def pip(command, *arguments, check=run):
        only = ["--no-index", "--find-links", DIST, "--no-cache-dir", "--only-binary", ":all:"] if command == "install" else []
        return check(venv / "bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check", command, *only, *arguments)

    pip.venv = venv
    return pip


def assert_it_runs(*command):
    assert run(*command, "--version") == f"drain-init {VERSION}\n"
    assert subprocess.run([*command, "sh", "-c", "exit 3"], check=False).returncode == 3


def test_pip_installs_the_program_and_uninstalls_it(pip):
    pip("install", f"drain-init=={VERSION}")
    assert_it_runs(pip.venv / "bin/drain-init")
    pip("uninstall", "--yes", "drain-init")
    assert not list(pip.venv.rglob("*drain*init*"))


@pytest.mark.parametrize("cpu", WHEELS)
@pytest.mark.parametrize("platform", ["manylinux_2_17", "musllinux_1_1"])
def test_pip_chooses_the_wheel_for_the_platform(pip, platform, cpu, tmp_path):
    pip("install", "--platform", f"{platform}_{cpu}", "--target", tmp_path, f"drain-init=={VERSION}")
    native = {arch["name"]: arch["machine"] for arch in RELEASED}[NATIVE] == cpu
    assert_it_runs(*([] if native else [f"qemu-{cpu}-static"]), tmp_path / "bin/drain-init")


def test_pip_finds_no_wheel_for_windows(pip, tmp_path):
    pip("install", "--platform", "win_amd64", "--target", tmp_path, f"drain-init=={VERSION}", check=fails)
