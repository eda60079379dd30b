"""The rpm packages: their contents, and rpm and dnf, which install them with the lines of docs/install.md."""

import os
import re
import shutil
import subprocess

import pytest
from conftest import ARCHITECTURES, DIST, NATIVE, TOP, VERSION, documented, fails, needs_root, run
from test_apt import EARLIER, OLDER

NAMES = dict(line.split() for line in run(TOP / "packaging/architectures", "name", "rpm").splitlines())
CPU = NAMES[NATIVE]
STAND_IN = f"drain-init-dumb-init-{VERSION}-1.noarch.rpm"


def built():
    """The architectures whose binaries are in dist/: our name → rpm's."""
    return {name: cpu for name, cpu in NAMES.items() if (DIST / f"drain-init-{name}").exists()}


def query(rpm, form, *options):
    return run("rpm", "--dbpath", "/var/empty/drain-init", "-qp", "--nosignature", *options, "--qf", form, rpm, stderr=subprocess.PIPE)


def build_packages(form, version, out, date=os.environ["SOURCE_DATE_EPOCH"], **variables):
    out.mkdir(exist_ok=True)
    run(TOP / "packaging/nfpm/build", form, env=os.environ | {
        "VERSION": version, "SOURCE_DATE_EPOCH": date, "DIST": str(DIST), "OUT": str(out)} | variables)
    return out


def test_each_binary_has_an_rpm_that_needs_nothing():
    assert set(ARCHITECTURES) <= set(built())
    assert {path.name for path in DIST.glob("*.rpm")} == {STAND_IN, *(f"drain-init-{VERSION}-1.{cpu}.rpm" for cpu in built().values())}
    for name, cpu in built().items():
        rpm = DIST / f"drain-init-{VERSION}-1.{cpu}.rpm"
        assert query(rpm, "%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{OS} %{BUILDHOST}") == f"drain-init {VERSION} 1 {cpu} linux drain-init"
        assert query(rpm, "%{BUILDTIME}") == os.environ["SOURCE_DATE_EPOCH"]
        assert all(line.startswith("rpmlib(") for line in query(rpm, "[%{REQUIRENAME}\n]").splitlines())
        assert query(rpm, "[%{CONFLICTNAME}%{OBSOLETENAME}]") in ("", "(none)")
        program = subprocess.run(f"rpm2archive -n - <{rpm} | tar -xO ./usr/bin/drain-init", shell=True, stdout=subprocess.PIPE, check=True).stdout
        assert program == (DIST / f"drain-init-{name}").read_bytes()


def test_the_rpm_says_what_the_deb_and_cargo_say():
    rpm = DIST / f"drain-init-{VERSION}-1.{CPU}.rpm"
    deb = DIST / f"drain-init_{VERSION}_{NATIVE}.deb"
    control = dict(re.findall(r"(?m)^(\S+): (.*)$", run("dpkg-deb", "--field", deb)))
    assert query(rpm, "%{PACKAGER}") == control["Maintainer"]
    assert query(rpm, "%{URL}") == control["Homepage"]
    assert query(rpm, "%{SUMMARY}") == control["Description"]
    text = re.sub(r"(?m)^ \.?", "", run("dpkg-deb", "--field", deb, "Description").split("\n", 1)[1]).strip()
    assert query(rpm, "%{DESCRIPTION}") == f"{control['Description']}\n\n{text}"
    assert f'\nlicense = "{query(rpm, "%{LICENSE}")}"\n' in (TOP / "Cargo.toml").read_text()
    changes = query(rpm, "[%{CHANGELOGNAME}\n%{CHANGELOGTEXT}\n]")
    assert changes.startswith(f"{control['Maintainer']} - {VERSION}\n- ")


def test_the_rpm_has_program_manual_completion_licences_and_documents():
    rpm = DIST / f"drain-init-{VERSION}-1.{CPU}.rpm"
    listed = query(rpm, "[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEFLAGS:fflags}. %{FILENAMES}\n]")
    found = {}
    for line in listed.splitlines():
        mode, owner, flags, path = line.split()
        assert owner == "root:root", line
        assert mode == ("drwxr-xr-x" if mode.startswith("d") else "-rwxr-xr-x" if path == "/usr/bin/drain-init" else "-rw-r--r--"), line
        found[path] = flags.removesuffix(".")
    doc, licences = "/usr/share/doc/drain-init", "/usr/share/licenses/drain-init"
    examples = {f"{doc}/examples/{name}": "d" for name in ("Procfile", "compose.yaml", "deployment.yaml", "web.service")}
    assert found == {
        "/usr/bin/drain-init": "", "/usr/share/bash-completion/completions/drain-init": "",
        "/usr/share/zsh/site-functions/_drain-init": "", "/usr/share/fish/vendor_completions.d/drain-init.fish": "",
        "/usr/share/man/man1/drain-init.1.gz": "d", doc: "", f"{doc}/CHANGELOG.md": "d", f"{doc}/README.md": "d", f"{doc}/examples": "",
        licences: "", f"{licences}/LICENSE-MIT": "l", f"{licences}/LICENSE-APACHE": "l", f"{licences}/NOTICES": "l"} | examples


def test_the_rpm_stand_in_provides_dumb_init_and_obsoletes_nothing():
    rpm = DIST / STAND_IN
    assert "dumb-init = 1.2.5\n" in query(rpm, "[%{PROVIDENEVRS}\n]")
    assert query(rpm, "[%{CONFLICTNEVRS}]") == "dumb-init"
    # With Obsoletes, every upgrade would replace Fedora's dumb-init.
    assert query(rpm, "[%{OBSOLETENEVRS}]") in ("", "(none)")
    assert f"drain-init = {VERSION}-1\n" in query(rpm, "[%{REQUIRENEVRS}\n]")
    assert "/usr/bin/dumb-init drain-init\n" in query(rpm, "[%{FILENAMES} %{FILELINKTOS}\n]")


def test_rpm_and_apk_are_the_same_when_built_twice(tmp_path):
    for form in ("rpm", "apk"):
        build_packages(form, VERSION, tmp_path / form, TZ="Pacific/Chatham", LC_ALL="C")
        for package in (tmp_path / form).iterdir():
            assert package.read_bytes() == (DIST / package.name).read_bytes(), package.name


def test_an_unknown_format_and_a_missing_binary_are_errors(tmp_path):
    said = fails(TOP / "packaging/nfpm/build", "deb")
    assert said == "nfpm/build: 'deb' is not a format (try rpm or apk)\n"
    said = fails(TOP / "packaging/nfpm/build", "rpm", env=os.environ | {"DIST": str(tmp_path)})
    assert said == f"nfpm/build: no binary in {tmp_path}: run make build\n"


class Machine:
    """A root directory that rpm and dnf install into, from the packages in DIRECTORY."""

    def __init__(self, root):
        self.root = root
        (root / "etc").mkdir(parents=True)
        (root / "etc/dnf.conf").write_text(
            f"[main]\ngpgcheck=1\nlocalpkg_gpgcheck=1\nreposdir=/nowhere\ncachedir={root}/var/cache/dnf\nlogdir={root}/var/log\nplugins=0\n")

    def __call__(self, line, directory=DIST, check=run):
        program, *arguments = line.replace("x86_64", CPU).split()
        options = {"rpm": ["--root", self.root], "dnf": ["-y", "-c", self.root / "etc/dnf.conf", f"--installroot={self.root}", "--releasever=1"]}
        return check(program, *options.get(program, []), *arguments, cwd=directory)

    def installed(self):
        return set(run("rpm", "--root", self.root, "-qa", "--qf", "%{NAME}-%{VERSION}\n").split())


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "root")


CHECK, RPM = documented("sha256sum -c --ignore-missing SHA256SUMS"), documented("rpm .*")
DNF, SWAP = documented("dnf install --nogpgcheck ./.*"), documented("dnf install --nogpgcheck --allowerasing .*")


@needs_root
@pytest.mark.parametrize("line", [RPM, DNF], ids=["rpm", "dnf"])
def test_the_documented_line_installs_the_rpm(machine, line, tmp_path):
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    for name in (f"drain-init-{VERSION}-1.{CPU}.rpm", "SHA256SUMS"):
        shutil.copy(DIST / name, downloads)
    assert machine(CHECK, downloads) == f"drain-init-{VERSION}-1.{CPU}.rpm: OK\n"
    machine(line, downloads)
    assert machine.installed() == {f"drain-init-{VERSION}"}
    assert run(machine.root / "usr/bin/drain-init", "--version") == f"drain-init {VERSION}\n"
    assert run(machine.root / "usr/bin/drain-init", "--", "/bin/echo", "it runs") == "it runs\n"
    assert machine("rpm --verify drain-init") == ""
    machine("rpm -e drain-init")
    assert machine.installed() == set()
    assert not list(machine.root.glob("usr/**/*drain-init*"))


@needs_root
def test_the_documented_lines_refuse_an_rpm_in_which_a_byte_was_changed(machine, tmp_path):
    name = f"drain-init-{VERSION}-1.{CPU}.rpm"
    data = bytearray((DIST / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / name).write_bytes(data)
    shutil.copy(DIST / "SHA256SUMS", tmp_path)
    assert f"{name}: FAILED" in machine(CHECK, tmp_path, fails)
    for line in (RPM, DNF):
        machine(line, tmp_path, fails)
        assert machine.installed() == set()


@needs_root
def test_dnf_wants_a_signature_unless_told_otherwise(machine):
    """The packages do not have a signature; SHA256SUMS has one."""
    assert "not signed" in machine(DNF.replace("--nogpgcheck ", ""), check=fails)


@needs_root
def test_dnf_upgrades_from_an_older_rpm(machine, work):
    older = build_packages("rpm", OLDER, work / "older-rpms", EARLIER)
    machine(DNF.replace(VERSION, OLDER), older)
    assert machine.installed() == {f"drain-init-{OLDER}"}
    machine(DNF)
    assert machine.installed() == {f"drain-init-{VERSION}"}


@needs_root
def test_dnf_swaps_dumb_init_for_the_stand_in_with_the_documented_line(machine, tmp_path):
    """A package of that name plays Fedora's dumb-init."""
    (tmp_path / "dumb-init").write_text("#!/bin/sh\n")
    (tmp_path / "nfpm.yaml").write_text(
        f"name: dumb-init\narch: {CPU}\nversion: 1.2.5\nrelease: 16\nlicense: MIT\ndescription: not drain-init\n"
        "contents: [{src: dumb-init, dst: /usr/bin/dumb-init, file_info: {mode: 0755}}]\n")
    nfpm = run(TOP / "packaging/venv", "nfpm").strip()
    run(f"{nfpm}/bin/nfpm", "package", "--packager", "rpm", "--target", tmp_path / "dumb-init.rpm", cwd=tmp_path)
    machine("dnf install --nogpgcheck ./dumb-init.rpm", tmp_path)
    assert machine.installed() == {"dumb-init-1.2.5"}
    machine(SWAP.replace("--allowerasing ", ""), check=fails)
    machine(SWAP)
    assert machine.installed() == {f"drain-init-{VERSION}", f"drain-init-dumb-init-{VERSION}"}
    assert os.readlink(machine.root / "usr/bin/dumb-init") == "drain-init"
