"""The rpm packages and their repository: their form, their growth, and dnf, which installs from it."""

import hashlib
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from functools import partial
from pathlib import Path

import pytest
from conftest import (
    ARCHITECTURES, DIST, FULL, NATIVE, TOP, VERSION, assemble, assert_no_key_is_left, build_repository, fails, needs_root, run)
from test_apt import EARLIER, OLDER, make_key

NAMES = dict(line.split() for line in run(TOP / "packaging/architectures", "name", "rpm").splitlines())
CPU = NAMES[NATIVE]
STAND_IN = f"drain-init-dumb-init-{VERSION}-1.noarch.rpm"


def built():
    """The architectures' names of all packages in dist/, Debian's or Docker's → rpm's."""
    return {name: cpu for name, cpu in NAMES.items() if (DIST / f"drain-init-{name}").exists()}


def query(rpm, form, *options):
    return run("rpm", "--dbpath", "/var/empty/drain-init", "-qp", "--nosignature", *options, "--qf", form, rpm, stderr=subprocess.PIPE)


@pytest.fixture(scope="session")
def key(work):
    return make_key(work, "rpm-key", "rsa3072")


@pytest.fixture(scope="session")
def next_key(work):
    return make_key(work, "next-rpm-key", "rsa3072")


build_dnf = partial(build_repository, "dnf")


def build_packages(form, version, out, date=os.environ["SOURCE_DATE_EPOCH"], **variables):
    out.mkdir(exist_ok=True)
    run(TOP / "packaging/nfpm/build", form, env=os.environ | {
        "VERSION": version, "SOURCE_DATE_EPOCH": date, "DIST": str(DIST), "OUT": str(out)} | variables)
    return out


@pytest.fixture(scope="session")
def older(work, key):
    """A repository that has an older version only."""
    rpms = build_packages("rpm", OLDER, work / "older-rpms", EARLIER)
    build_dnf(OLDER, rpms, work / "older-rpm", SOURCE_DATE_EPOCH=EARLIER, RPM_SIGNING_KEY_FILE=key)
    return work / "older-rpm"


@pytest.fixture(scope="session")
def both(work, key, older):
    """The same repository after this version was released; the key comes in the environment this time."""
    build_dnf(VERSION, DIST, work / "both-rpm", RPM_SIGNING_KEY=key.read_text(), RPM_PREVIOUS=older)
    return work / "both-rpm"


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
    # With Obsoletes every upgrade would put it in the place of Fedora's dumb-init.
    assert query(rpm, "[%{OBSOLETENEVRS}]") in ("", "(none)")
    assert f"drain-init = {VERSION}-1\n" in query(rpm, "[%{REQUIRENEVRS}\n]")
    assert "/usr/bin/dumb-init drain-init\n" in query(rpm, "[%{FILENAMES} %{FILELINKTOS}\n]")


def test_rpm_and_apk_are_built_the_same_twice(tmp_path):
    for form in ("rpm", "apk"):
        build_packages(form, VERSION, tmp_path / form, TZ="Pacific/Chatham", LC_ALL="C")
        for package in (tmp_path / form).iterdir():
            assert package.read_bytes() == (DIST / package.name).read_bytes(), package.name


def test_a_format_that_is_none_and_a_missing_binary_are_told(tmp_path):
    said = fails(TOP / "packaging/nfpm/build", "deb")
    assert said == "nfpm/build: the format is rpm or apk, not 'deb'\n"
    said = fails(TOP / "packaging/nfpm/build", "rpm", env=os.environ | {"DIST": str(tmp_path)})
    assert said == f"nfpm/build: no binary is in {tmp_path}: run make build\n"


def located(repository, kind="primary"):
    """What repomd.xml says of KIND: its path and checksum."""
    data = ElementTree.parse(repository / "repodata/repomd.xml").find(f"{{*}}data[@type='{kind}']")
    return data.find("{*}location").get("href"), data.find("{*}checksum").text


def test_the_rpm_metadata_and_every_rpm_are_signed_by_the_key_beside_them(tmp_path):
    repository = DIST / "rpm"
    run("gpg", "--homedir", tmp_path, "--batch", "--output", tmp_path / "key.gpg", "--dearmor", repository / "RPM-GPG-KEY-drain-init")
    verify = ("gpgv", "--keyring", tmp_path / "key.gpg", repository / "repodata/repomd.xml.asc")
    run(*verify, repository / "repodata/repomd.xml")
    changed = tmp_path / "changed.xml"
    changed.write_text((repository / "repodata/repomd.xml").read_text() + "\n")
    fails(*verify, changed)
    for kind in ("primary", "filelists", "other"):
        path, digest = located(repository, kind)
        assert hashlib.sha256((repository / path).read_bytes()).hexdigest() == digest
    check = ("rpmkeys", "--dbpath", tmp_path / "db", "--define", "_pkgverify_level signature", "--checksig")
    (tmp_path / "db").mkdir()
    packages = sorted((repository / "packages").iterdir())
    fails(*check, *packages)
    run("rpmkeys", "--dbpath", tmp_path / "db", "--import", repository / "RPM-GPG-KEY-drain-init")
    run(*check, *packages)
    # dist/ is what anyone can build: without a signature, and else the same.
    for package in packages:
        fails(*check, DIST / package.name)
        assert query(package, "%{SHA256HEADER} %{PAYLOADDIGEST}") == query(DIST / package.name, "%{SHA256HEADER} %{PAYLOADDIGEST}")


@pytest.mark.skipif(not FULL, reason="make reproducible does it, too; here with FULL=1")
def test_the_same_key_and_date_make_the_same_rpm_repository(work, key):
    for name in ("rpm-once", "rpm-twice"):
        build_dnf(VERSION, DIST, work / name, RPM_SIGNING_KEY_FILE=key)
    run("diff", "--recursive", work / "rpm-once", work / "rpm-twice")


def test_a_new_version_keeps_the_older_rpms_and_the_last_metadata(older, both, work, key):
    assert {path.name for path in (both / "packages").iterdir()} == {
        path.name for path in [*(older / "packages").iterdir(), *DIST.glob("*.rpm")]}
    for path in older.glob("packages/*"):
        assert path.read_bytes() == (both / "packages" / path.name).read_bytes()
    assert (both / located(older)[0]).read_bytes() == (older / located(older)[0]).read_bytes()
    # Once more, as in a second try of the release: the same, and no generation more.
    build_dnf(VERSION, DIST, work / "again-rpm", RPM_SIGNING_KEY_FILE=key, RPM_PREVIOUS=both)
    assert not (work / "again-rpm" / located(older)[0]).exists()
    assert located(work / "again-rpm") == located(both)


def test_a_published_rpm_never_changes(work, key, both):
    changed = build_packages("rpm", VERSION, work / "changed-rpms", EARLIER)
    said = build_dnf(VERSION, changed, work / "changed-rpm", fails, RPM_SIGNING_KEY_FILE=key, RPM_PREVIOUS=both)
    assert "was published with other contents" in said
    assert not (work / "changed-rpm").exists()


def test_an_rpm_repository_does_not_change_its_key_unnoticed_and_takes_rsa_alone(work, both):
    said = build_dnf(VERSION, DIST, work / "rekeyed-rpm", fails, RPM_PREVIOUS=both)
    assert "no RPM_SIGNING_KEY" in said and "was not signed by the key given now" in said
    said = build_dnf(VERSION, DIST, work / "rekeyed-rpm", fails, RPM_SIGNING_KEY_FILE=make_key(work, "ed25519-key"))
    assert "the signing key is no RSA key" in said
    assert not (work / "rekeyed-rpm").exists()


class Machine:
    """A root that dnf installs into, the web through the test's proxy."""

    def __init__(self, root, site):
        self.root = root
        self.site = site
        self.repositories = root / "etc/yum.repos.d"
        self.repositories.mkdir(parents=True)
        self.configuration = root / "etc/dnf.conf"
        self.configuration.write_text(
            f"[main]\ngpgcheck=1\nreposdir={self.repositories}\ncachedir={root}/var/cache/dnf\nlogdir={root}/var/log\n"
            f"proxy={site.proxy}\nsslcacert={site.certificate}\nretries=1\nplugins=0\n")

    def serve(self, repository, name="drain-init"):
        """Puts REPOSITORY on the web, and downloads its file: all that a user does."""
        pages = self.root.parent / f"{self.root.name}.pages"
        shutil.rmtree(pages, ignore_errors=True)
        assemble(pages / "drain-init", rpm=repository)
        self.site.roots["drain-init.github.io"] = pages
        shutil.copy(repository / "drain-init.repo", self.repositories)

    def dnf(self, *arguments, check=run):
        # --refresh: with metadata_expire=0 what was loaded in this same second still counts.
        return check("dnf", "-y", "--refresh", "-c", self.configuration, f"--installroot={self.root}", "--releasever=1", *arguments)

    def installed(self):
        return set(run("rpm", "--root", self.root, "-qa", "--qf", "%{NAME}-%{VERSION}\n").split()) - {"gpg-pubkey"}

    def run(self, *command):
        return run(self.root / "usr/bin/drain-init", *command)


@pytest.fixture
def machine(site, work):
    root = work / f"dnf-{os.urandom(3).hex()}"
    before = dict(site.roots)
    yield Machine(root, site)
    site.roots.update(before)
    shutil.rmtree(root)


def names(machine):
    return {name for name in machine.installed() if name.startswith(("drain", "dumb"))}


@needs_root
def test_dnf_installs_checks_and_removes_the_rpm(machine):
    """From the repository that ships, with the file that ships; both signatures are asked for in it."""
    machine.serve(DIST / "rpm")
    text = (DIST / "rpm/drain-init.repo").read_text()
    assert "\ngpgcheck=1\n" in text and "\nrepo_gpgcheck=1\n" in text
    machine.dnf("install", "drain-init")
    assert names(machine) == {f"drain-init-{VERSION}"}
    assert VERSION in machine.run("--version")
    assert machine.run("--", "/bin/echo", "it runs") == "it runs\n"
    assert run("rpm", "--root", machine.root, "--verify", "drain-init") == ""
    assert (machine.root / "usr/share/licenses/drain-init/LICENSE-MIT").exists()
    machine.dnf("remove", "drain-init")
    assert names(machine) == set()
    assert not list(machine.root.glob("usr/**/*drain-init*"))


@needs_root
def test_dnf_upgrades_from_an_older_rpm(machine, older, both):
    machine.serve(older)
    machine.dnf("install", "drain-init", "drain-init-dumb-init")
    assert names(machine) == {f"drain-init-{OLDER}", f"drain-init-dumb-init-{OLDER}"}
    machine.serve(both)
    machine.dnf("upgrade")
    assert names(machine) == {f"drain-init-{VERSION}", f"drain-init-dumb-init-{VERSION}"}
    machine.dnf("downgrade", f"drain-init-{OLDER}", f"drain-init-dumb-init-{OLDER}")
    assert names(machine) == {f"drain-init-{OLDER}", f"drain-init-dumb-init-{OLDER}"}


@needs_root
def test_dnf_swaps_dumb_init_for_the_stand_in_only_when_told(machine, both, work):
    """Fedora's dumb-init is played by a package of that name, from a repository of its own."""
    fedora = work / "fedora"
    fedora.mkdir()
    (fedora / "dumb-init").write_text("#!/bin/sh\n")
    (fedora / "nfpm.yaml").write_text(
        f"name: dumb-init\narch: {CPU}\nversion: 1.2.5\nrelease: 16\nlicense: MIT\ndescription: not drain-init\n"
        "contents: [{src: dumb-init, dst: /usr/bin/dumb-init, file_info: {mode: 0755}}]\n")
    nfpm = run(TOP / "packaging/venv", "nfpm").strip()
    run(f"{nfpm}/bin/nfpm", "package", "--packager", "rpm", "--target", fedora, cwd=fedora)
    run("createrepo_c", fedora)
    (machine.repositories / "fedora.repo").write_text(f"[fedora]\nname=fedora\nbaseurl=file://{fedora}\ngpgcheck=0\n")
    machine.dnf("install", "dumb-init")
    machine.serve(both)
    machine.dnf("upgrade")
    assert names(machine) == {"dumb-init-1.2.5"}
    machine.dnf("install", "drain-init-dumb-init", check=fails)
    [line] = re.findall(r"(?m)^dnf (install --allowerasing drain-init-dumb-init)$", (TOP / "packaging/README.md").read_text())
    machine.dnf(*line.split())
    assert names(machine) == {f"drain-init-{VERSION}", f"drain-init-dumb-init-{VERSION}"}
    assert os.readlink(machine.root / "usr/bin/dumb-init") == "drain-init"


@needs_root
def test_dnf_refuses_metadata_signed_by_another_key(machine, both, work, next_key, tmp_path):
    shutil.copytree(both, tmp_path / "rpm")
    build_dnf(VERSION, DIST, work / "other-rpm", RPM_SIGNING_KEY_FILE=next_key)
    shutil.copy(work / "other-rpm/RPM-GPG-KEY-drain-init", tmp_path / "rpm")
    machine.serve(tmp_path / "rpm")
    said = machine.dnf("install", "drain-init", check=fails)
    assert "repomd.xml GPG signature verification error" in said, said
    assert names(machine) == set()


@needs_root
def test_dnf_refuses_an_rpm_that_is_not_signed_or_by_another_key(machine, both, next_key, tmp_path):
    """The metadata does not say so here: what is left is the package's own signature."""
    for name, source in (("unsigned", DIST), ("by another", both / "packages")):
        repository = tmp_path / name.split()[0]
        (repository / "packages").mkdir(parents=True)
        for rpm in source.glob("*.rpm"):
            shutil.copy(rpm, repository / "packages")
        run("createrepo_c", repository)
        text = (both / "drain-init.repo").read_text()
        (repository / "drain-init.repo").write_text(text.replace("repo_gpgcheck=1", "repo_gpgcheck=0"))
        build_dnf(VERSION, DIST, tmp_path / "keys", RPM_SIGNING_KEY_FILE=next_key)
        shutil.copy(tmp_path / "keys/RPM-GPG-KEY-drain-init", repository)
        machine.serve(repository)
        machine.dnf("clean", "all")
        said = machine.dnf("install", "drain-init", check=fails)
        assert "not signed" in said if name == "unsigned" else "GPG" in said and "FAILED" in said, said
        assert names(machine) == set()


@needs_root
def test_dnf_refuses_an_rpm_in_which_a_byte_was_changed(machine, both, tmp_path):
    shutil.copytree(both, tmp_path / "rpm")
    for victim in (tmp_path / "rpm/packages").iterdir():
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 1
        victim.write_bytes(data)
    machine.serve(tmp_path / "rpm")
    said = machine.dnf("install", "drain-init", check=fails)
    assert "checksum doesn't match" in said or "Checksum" in said, said
    assert names(machine) == set()


@needs_root
@pytest.mark.skipif(not FULL, reason="takes half a minute: FULL=1")
def test_dnf_follows_a_change_of_the_key(machine, work, key, next_key, both):
    """By both keys for a while, and then by the next one, with which the older packages are signed anew."""
    build_dnf(VERSION, DIST, work / "rpm-two-keys", RPM_SIGNING_KEY=key.read_text() + next_key.read_text(), RPM_PREVIOUS=both)
    machine.serve(both)
    machine.dnf("install", f"drain-init-{OLDER}")
    machine.serve(work / "rpm-two-keys")
    machine.dnf("upgrade")
    assert names(machine) == {f"drain-init-{VERSION}"}
    build_dnf(VERSION, DIST, work / "rpm-next", RPM_SIGNING_KEY_FILE=next_key, RPM_PREVIOUS=work / "rpm-two-keys")
    machine.serve(work / "rpm-next")
    machine.dnf("downgrade", f"drain-init-{OLDER}")
    assert names(machine) == {f"drain-init-{OLDER}"}


def test_no_rpm_key_is_left_behind(work, key, both):
    (work / "rpm-t").mkdir()
    assert_no_key_is_left(build_dnf, "RPM_SIGNING_KEY_FILE", key, slice(2, 4), work / "rpm-watched", work / "rpm-t", both)
    assert not list(Path(both).rglob("*.new"))
