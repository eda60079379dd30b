"""The apt repository: its form, its growth, and real clients that install from it."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import (
    DEBIANS, DIST, FULL, NATIVE, RELEASED, SECOND_TIER, TOP, VERSION, documented, fails, needs_root, register_qemu, run)

OLDER = "0.0.1"
# When OLDER was released. Clients compare the dates.
EARLIER = str(int(os.environ["SOURCE_DATE_EPOCH"]) - 3600)
RELEASES = Path("dists/stable")
ARCHITECTURES = [arch["deb"] for arch in RELEASED]


def make_key(work, name):
    """A signing key in a file, like the release job's."""
    path = work / f"{name}.asc"
    home = work / f"gnupg-{name}"
    home.mkdir(mode=0o700)
    before = int(os.environ["SOURCE_DATE_EPOCH"]) - 86400
    gpg = ("gpg", "--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase", "")
    run(*gpg, "--faked-system-time", f"{before}!", "--quick-generate-key", name, "ed25519", "sign", "never")
    run(*gpg, "--armor", "--output", path, "--export-secret-keys")
    run("gpgconf", "--homedir", home, "--kill", "all")
    return path


@pytest.fixture(scope="session")
def key(work):
    return make_key(work, "signing-key")


@pytest.fixture(scope="session")
def next_key(work):
    return make_key(work, "next-key")


def build_debs(version, out, date=os.environ["SOURCE_DATE_EPOCH"]):
    """The packages of the first tier, as another version."""
    out.mkdir()
    run(TOP / "packaging/deb/build",
        env=os.environ | {"VERSION": version, "SOURCE_DATE_EPOCH": date, "DIST": str(DIST), "OUT": str(out), "TIER": "1"})
    return out


def build_apt(version, packages, out, check=run, **variables):
    """Calls apt/build as `make apt` does, with VARIABLES in its environment and without the caller's keys."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("APT_")}
    environment |= {"VERSION": version, "DIST": str(packages), "OUT": str(out)}
    return check(TOP / "packaging/apt/build", env=environment | {name: str(value) for name, value in variables.items()})


@pytest.fixture(scope="session")
def older(work, key):
    """A repository that has only an older version."""
    debs = build_debs(OLDER, work / "older-debs", EARLIER)
    build_apt(OLDER, debs, work / "older", SOURCE_DATE_EPOCH=EARLIER, APT_SIGNING_KEY_FILE=key)
    return work / "older"


@pytest.fixture(scope="session")
def change_of_key(work, key, next_key):
    """Three repositories: signed by the first key, by both, and only by the next one."""
    keys = {"first": key.read_text(), "both": key.read_text() + next_key.read_text(), "next": next_key.read_text()}
    previous = {}
    for name, value in keys.items():
        build_apt(VERSION, DIST, work / f"key-{name}", APT_SIGNING_KEY=value, **previous)
        previous = {"APT_PREVIOUS": work / f"key-{name}"}
    return {name: work / f"key-{name}" for name in keys}


@pytest.fixture(scope="session")
def both(work, key, older):
    """The same repository after this version was released. Here the key is in the environment."""
    build_apt(VERSION, DIST, work / "both", APT_SIGNING_KEY=key.read_text(), APT_PREVIOUS=older)
    return work / "both"


def listed(repository, algorithm="SHA256"):
    """Release's files: path below dists/stable → hash."""
    section = re.search(rf"^{algorithm}:\n((?: .*\n)+)", (repository / RELEASES / "Release").read_text(), re.M)[1]
    return {line.split()[2]: line.split()[0] for line in section.splitlines()}


def by_hash(repository):
    return {path.relative_to(repository): path.read_bytes() for path in repository.rglob("by-hash/*/*")}


def pool(repository):
    return {path.name for path in (repository / "pool").rglob("*.deb")}


def test_the_release_file_says_what_clients_and_pins_need():
    release = (DIST / "apt" / RELEASES / "Release").read_text()
    for line in ("Origin: drain-init", "Label: drain-init", "Suite: stable", f"Architectures: {' '.join(ARCHITECTURES)}",
                 "Components: main", "Acquire-By-Hash: yes"):
        assert f"\n{line}\n" in f"\n{release}"
    assert "Valid-Until" not in release
    assert "MD5Sum" not in release and "SHA1:" not in release


def test_every_index_lies_under_its_hash():
    repository = DIST / "apt"
    for algorithm in ("SHA256", "SHA512"):
        files = listed(repository, algorithm)
        assert {f"main/binary-{arch}/Packages{suffix}" for arch in ARCHITECTURES for suffix in ("", ".gz", ".xz")} <= set(files)
        for name, digest in files.items():
            plain = repository / RELEASES / name
            assert hashlib.new(algorithm, plain.read_bytes()).hexdigest() == digest
            assert (plain.parent / "by-hash" / algorithm / digest).read_bytes() == plain.read_bytes()


def test_both_signatures_hold_and_the_sources_file_carries_the_key(tmp_path):
    repository = DIST / "apt"
    armoured = (repository / "drain-init-archive-keyring.asc").read_text()
    keyring = tmp_path / "key.gpg"
    run("gpg", "--homedir", tmp_path, "--batch", "--output", keyring, "--dearmor", repository / "drain-init-archive-keyring.asc")
    releases = repository / RELEASES
    run("gpgv", "--keyring", keyring, releases / "Release.gpg", releases / "Release")
    run("gpgv", "--keyring", keyring, "--output", tmp_path / "Release", releases / "InRelease")
    assert (tmp_path / "Release").read_text() == (releases / "Release").read_text()
    changed = tmp_path / "changed"
    changed.write_text((releases / "Release").read_text().replace("stable", "stable ", 1))
    fails("gpgv", "--keyring", keyring, releases / "Release.gpg", changed)

    sources = (repository / "drain-init.sources").read_text()
    for line in ("Types: deb", "URIs: https://drain-init.github.io/drain-init", "Suites: stable", "Components: main"):
        assert f"\n{line}\n" in sources
    inside = sources.split("Signed-By:\n")[1]
    assert "".join("\n" if line == " ." else line.removeprefix(" ") + "\n" for line in inside.splitlines()) == armoured


def test_a_new_version_keeps_the_older_and_the_last_generations_hashes(older, both):
    assert pool(both) == pool(older) | {path.name for path in DIST.glob("*.deb")}
    packages = (both / RELEASES / "main/binary-amd64/Packages").read_text()
    assert f"Version: {OLDER}\n" in packages and f"Version: {VERSION}\n" in packages
    # Three forms of each index, each under two hashes.
    assert len(by_hash(older)) == 6 * len(ARCHITECTURES)
    assert by_hash(older).items() <= by_hash(both).items()
    assert len(by_hash(both)) == 12 * len(ARCHITECTURES)
    assert (both / "drain-init.sources").read_text() == (older / "drain-init.sources").read_text()


def test_hashes_of_the_generation_before_the_last_are_dropped(work, key, older, both):
    debs = build_debs("999.0", work / "newer-debs")
    build_apt("999.0", debs, work / "newer", APT_SIGNING_KEY_FILE=key, APT_PREVIOUS=both)
    assert len(by_hash(work / "newer")) == 12 * len(ARCHITECTURES)
    assert not by_hash(older).keys() & by_hash(work / "newer").keys()
    assert pool(both) < pool(work / "newer")


def test_the_page_names_the_newest_version_also_when_an_older_one_is_fixed(work, key, older, both):
    build_apt(OLDER, work / "older-debs", work / "fixed", APT_SIGNING_KEY_FILE=key, APT_PREVIOUS=both)
    for repository, version in ((older, OLDER), (both, VERSION), (work / "fixed", VERSION)):
        assert f"The newest version here is {version}." in (repository / "index.html").read_text()


def test_a_published_version_never_changes(work, key, both):
    debs = work / "changed-debs"
    shutil.copytree(DIST, debs, ignore=shutil.ignore_patterns("apt"))
    (debs / f"drain-init_{VERSION}_amd64.deb").write_bytes(b"other contents")
    said = build_apt(VERSION, debs, work / "changed", fails, APT_SIGNING_KEY_FILE=key, APT_PREVIOUS=both)
    assert "was published with other contents" in said
    assert not (work / "changed").exists()


def test_a_repository_does_not_change_its_key_unnoticed(work, both):
    """Here the new key is a throw-away key, which the build must announce."""
    said = build_apt(VERSION, DIST, work / "rekeyed", fails, APT_PREVIOUS=both)
    assert "THROW-AWAY KEY" in said
    assert "was not signed by the given key" in said
    assert not (work / "rekeyed").exists()


def fingerprints(tmp_path, armoured):
    """The fingerprints in a file of public keys, found in a different way than in the build."""
    said = run("gpg", "--homedir", tmp_path, "--batch", "--show-keys", armoured)
    return re.findall(r"(?m)^ +([0-9A-F]{40})$", said)


def test_the_page_at_the_root_shows_the_commands_and_every_keys_fingerprint(change_of_key, tmp_path):
    for name, repository in change_of_key.items():
        page = (repository / "index.html").read_text()
        found = fingerprints(tmp_path, repository / "drain-init-archive-keyring.asc")
        assert len(found) == (2 if name == "both" else 1)
        block = re.search(r"fingerprint:</p>\n<pre>\n(.*?)</pre>", page, re.S)[1]
        assert [line.replace(" ", "") for line in block.splitlines()] == found
        for line in ("curl -fsSLo /etc/apt/sources.list.d/drain-init.sources https://drain-init.github.io/drain-init/drain-init.sources",
                     "apt-get install drain-init", f"The newest version here is {VERSION}."):
            assert line in page
        # The documents say the same.
        for line in page.splitlines():
            if re.match("curl|echo|apt-get", line):
                assert f"\n{line}\n" in (TOP / "docs/install.md").read_text(), line


def test_a_text_that_is_not_a_key_is_refused(work):
    said = build_apt(VERSION, DIST, work / "keyless", fails, APT_SIGNING_KEY="no key at all")
    assert "APT_SIGNING_KEY holds no usable key" in said
    assert not (work / "keyless").exists()


def test_the_same_key_and_date_make_the_same_repository(work, key):
    for name in ("once", "twice"):
        build_apt(VERSION, DIST, work / name, APT_SIGNING_KEY_FILE=key)
    run("diff", "--recursive", "--no-dereference", work / "once", work / "twice")


def test_no_secret_remains_after_the_build(work, key, both):
    temporary = work / "t"
    temporary.mkdir()
    for file, check in ((key, run), ("/dev/null", fails)):
        build_apt(VERSION, DIST, work / "watched", check, APT_SIGNING_KEY_FILE=file, TMPDIR=temporary)
        assert not list(temporary.iterdir())
    secret = "".join(key.read_text().splitlines()[2:4]).encode()
    assert not any(secret in path.read_bytes().replace(b"\n", b"") for path in both.rglob("*") if path.is_file())


class Machine:
    """A Debian that an administrator uses: commands in a chroot, the web through the test's proxy."""

    def __init__(self, root, site):
        self.root = root
        self.site = site
        shutil.copy(site.certificate, root / "tmp/certificate.pem")

    def __call__(self, *command, check=run):
        # Without the host's environment, as after a login.
        environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
        return check("chroot", self.root, *environment, *command)

    def apt(self, *arguments, check=run, debian=False):
        """apt-get, with Debian's own repository or (much faster under qemu) without."""
        sources = () if debian else ("-o", "Dir::Etc::sourcelist=/dev/null")
        return self("apt-get", "-q", "-y", "-o", f"Acquire::https::Proxy={self.site.proxy}",
                    "-o", "Acquire::https::CAInfo=/tmp/certificate.pem", "-o", "Acquire::Retries=0",
                    "-o", "APT::Update::Error-Mode=any", *sources, *arguments, check=check)

    def serve(self, repository):
        """Serves REPOSITORY at its public address."""
        pages = self.site.roots["drain-init.github.io"] = self.root.parent / f"{self.root.name}.pages"
        pages.mkdir(exist_ok=True)
        (pages / "drain-init").unlink(missing_ok=True)
        (pages / "drain-init").symlink_to(repository)

    def add_sources(self, repository):
        shutil.copy(repository / "drain-init.sources", self.root / "etc/apt/sources.list.d/drain-init.sources")

    def remove_sources(self):
        (self.root / "etc/apt/sources.list.d/drain-init.sources").unlink(missing_ok=True)
        # The next test uses another repository, perhaps with an older date.
        for path in (self.root / "var/lib/apt/lists").glob("drain-init*"):
            path.unlink()
        self("apt-get", "clean")

    def version(self):
        return self("dpkg-query", "-W", "-f", "${Version}", "drain-init")

    def files(self):
        """Every path that counts as a trace of a package."""
        unseen = re.compile(r"/(tmp|proc|sys|dev|run|var/lib/apt|var/cache|var/log|var/lib/dpkg/(status|available|lock|triggers).*)(/|$)")
        found = set()
        for directory, directories, files in os.walk(self.root):
            for name in directories + files:
                path = f"{directory.removeprefix(str(self.root))}/{name}"
                if not unseen.match(path):
                    found.add(path)
        return found


@pytest.fixture(scope="module", params=DEBIANS, ids=lambda debian: "debian{}-{}".format(*debian))
def installed(request, debian, site):
    release, arch = request.param
    before = dict(site.roots)
    root = debian(release, arch)
    yield Machine(root, site)
    site.roots.update(before)
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def machine(installed):
    """The machine, which every test finds freshly installed."""
    yield installed
    installed("dpkg", "--purge", "drain-init-dumb-init", "dumb-init", "drain-init")
    installed.remove_sources()


@needs_root
def test_apt_installs_runs_and_removes_without_a_trace(machine):
    """From the shipped repository, with the shipped sources file."""
    before = machine.files()
    machine.serve(DIST / "apt")
    machine.add_sources(DIST / "apt")
    machine.apt("update")
    machine.apt("install", "drain-init")
    assert machine.version() == VERSION
    assert VERSION in machine("drain-init", "--version")
    assert machine("drain-init", "--", "/bin/sh", "-c", "echo it runs") == "it runs\n"
    done = subprocess.run(["chroot", machine.root, "drain-init", "--", "sh", "-c", "exit 7"], check=False)
    assert done.returncode == 7
    origin = machine("apt-cache", "policy", "drain-init")
    assert "https://drain-init.github.io/drain-init stable/main" in origin
    machine.apt("purge", "drain-init")
    machine.remove_sources()
    assert machine.files() == before


@needs_root
def test_apt_upgrades_from_an_older_version(machine, older, both):
    machine.serve(older)
    machine.add_sources(older)
    machine.apt("update")
    machine.apt("install", "drain-init", "drain-init-dumb-init")
    assert machine.version() == OLDER
    machine.serve(both)
    updated = machine.apt("update")
    upgraded = machine.apt("upgrade")
    assert machine.version() == VERSION, updated + upgraded
    # The older one can still be installed.
    machine.apt("install", "--allow-downgrades", f"drain-init={OLDER}", f"drain-init-dumb-init={OLDER}")
    assert machine.version() == OLDER


@needs_root
def test_apt_follows_a_change_of_the_key(machine, change_of_key):
    """Clients with either key, or both, work as long as both sign."""
    for sources in change_of_key.values():
        machine.serve(change_of_key["both"])
        machine.add_sources(sources)
        machine.apt("update")
        machine.remove_sources()
    # Then a client that fetched the file again has the new key, and another gets an error.
    machine.serve(change_of_key["next"])
    machine.add_sources(change_of_key["both"])
    machine.apt("update")
    machine.remove_sources()
    machine.add_sources(change_of_key["first"])
    said = machine.apt("update", check=fails)
    assert "NO_PUBKEY" in said or "Missing key" in said, said
    machine.remove_sources()


def add_list(machine, repository):
    """The one-line form as on the repository's page: the key in a file, the line from `echo`."""
    page = (repository / "index.html").read_text()
    [line] = re.findall(r"(?m)^echo 'deb .*$", page)
    [key] = re.findall(r"(?m)^curl -fsSLo (\S+) https://drain-init.github.io/drain-init/drain-init-archive-keyring.asc$", page)
    assert documented(re.escape(line))
    shutil.copy(repository / "drain-init-archive-keyring.asc", f"{machine.root}{key}")
    machine("sh", "-c", line)


@needs_root
def test_apt_takes_the_one_line_form(machine, both):
    machine.serve(both)
    add_list(machine, both)
    try:
        machine.apt("update")
        machine.apt("install", "drain-init")
        assert machine.version() == VERSION
    finally:
        (machine.root / "etc/apt/sources.list.d/drain-init.list").unlink()
        machine.remove_sources()


@needs_root
@pytest.mark.skipif(not FULL, reason="FULL=1 has Debian 11")
def test_an_apt_before_2_4_takes_the_one_line_form_alone(debian, site, both):
    before = dict(site.roots)
    root = debian("11", NATIVE)
    machine = Machine(root, site)
    try:
        machine.serve(both)
        machine.add_sources(both)
        said = machine("apt-get", "update", check=fails)
        assert "Signed-By" in said and "could not be read" in said, said
        machine.remove_sources()
        add_list(machine, both)
        machine.apt("update")
        machine.apt("install", "drain-init")
        assert machine.version() == VERSION
    finally:
        site.roots.update(before)
        shutil.rmtree(root, ignore_errors=True)


@needs_root
def test_with_the_pin_of_the_documents_dumb_init_stays_the_stand_in(machine):
    pin = documented("printf .* >/etc/apt/preferences.d/drain-init")
    machine.serve(DIST / "apt")
    machine.add_sources(DIST / "apt")
    machine.apt("update", debian=True)
    machine.apt("install", "drain-init-dumb-init", debian=True)
    machine("sh", "-c", pin)
    try:
        machine.apt("install", "dumb-init", debian=True)
        assert os.readlink(machine.root / "usr/bin/dumb-init") == "drain-init"
    finally:
        (machine.root / "etc/apt/preferences.d/drain-init").unlink()
    # Without the pin, Debian's dumb-init comes back.
    machine.apt("install", "dumb-init", debian=True)
    assert not (machine.root / "usr/bin/dumb-init").is_symlink()


@needs_root
def test_a_deb_alone_needs_nothing_but_dpkg(machine):
    deb = DIST / f"drain-init_{VERSION}_{machine('dpkg', '--print-architecture').strip()}.deb"
    shutil.copy(deb, machine.root / "tmp/drain-init.deb")
    machine("dpkg", "-i", "/tmp/drain-init.deb")
    assert machine.version() == VERSION
    # As an apt buildpack does it: unpacked somewhere, and in PATH.
    machine("dpkg", "-x", "/tmp/drain-init.deb", "/tmp/app")
    assert VERSION in machine("/tmp/app/usr/bin/drain-init", "--version")
    shutil.rmtree(machine.root / "tmp/app")
    (machine.root / "tmp/drain-init.deb").unlink()


@needs_root
def test_the_stand_in_takes_dumb_inits_place(machine):
    """If the entry point is dumb-init, one apt-get install is enough to drain."""
    machine.apt("update", debian=True)
    machine.apt("install", "dumb-init", debian=True)
    machine.serve(DIST / "apt")
    machine.add_sources(DIST / "apt")
    machine.apt("update", debian=True)
    machine.apt("install", "drain-init-dumb-init", debian=True)
    assert os.readlink(machine.root / "usr/bin/dumb-init") == "drain-init"
    assert machine("/usr/bin/dumb-init", "--", "/bin/echo", "as before") == "as before\n"
    assert VERSION in machine("/usr/bin/dumb-init", "--version")
    assert machine("dpkg-query", "-W", "-f", "${db:Status-Status}", "dumb-init") != "installed"
    # And back.
    machine.apt("install", "dumb-init", debian=True)
    assert not (machine.root / "usr/bin/dumb-init").is_symlink()


@needs_root
@pytest.mark.parametrize("name", ["InRelease", "Packages"])
def test_apt_refuses_an_index_in_which_a_byte_was_changed(machine, tmp_path, name):
    tampered = tmp_path / "apt"
    shutil.copytree(DIST / "apt", tampered)
    if name == "InRelease":
        victims = [tampered / RELEASES / "InRelease"]
    else:
        victims = [path for path in (tampered / RELEASES / "main").rglob("*") if path.is_file()]
    for victim in victims:
        data = bytearray(victim.read_bytes())
        # In the middle of the signed text, or of the index itself.
        at = data.index(b"Codename: s") + 10 if name == "InRelease" else len(data) // 2
        data[at] ^= 1
        victim.write_bytes(data)
    machine.serve(tampered)
    machine.add_sources(DIST / "apt")
    said = machine.apt("update", check=fails)
    assert ("BADSIG" in said or "ignature" in said) if name == "InRelease" else "Hash Sum mismatch" in said, said
    machine.apt("install", "drain-init", check=fails)


@needs_root
@pytest.mark.parametrize("arch", SECOND_TIER, ids=lambda arch: arch["name"])
def test_apt_installs_it_for_a_foreign_architecture(machine, arch):
    """From the index of that architecture, as dpkg does. With FULL=1 it also runs."""
    machine.serve(DIST / "apt")
    machine.add_sources(DIST / "apt")
    machine("dpkg", "--add-architecture", arch["deb"])
    try:
        machine.apt("update")
        machine.apt("install", f"drain-init:{arch['deb']}")
        assert machine("dpkg-query", "-W", "-f", "${Version} ${Architecture}", "drain-init") == f"{VERSION} {arch['deb']}"
        assert (machine.root / "usr/bin/drain-init").read_bytes() == (DIST / f"drain-init-{arch['name']}").read_bytes()
        if FULL:
            register_qemu(arch["name"])
            assert VERSION in machine("drain-init", "--version")
            done = subprocess.run(["chroot", machine.root, "drain-init", "--", "sh", "-c", "exit 7"], check=False)
            assert done.returncode == 7
    finally:
        machine("dpkg", "--purge", "drain-init")
        machine("dpkg", "--remove-architecture", arch["deb"])


@needs_root
def test_apt_refuses_a_repository_signed_by_another_key(machine, both):
    machine.serve(both)
    machine.add_sources(DIST / "apt")
    said = machine.apt("update", check=fails)
    assert "NO_PUBKEY" in said or "Missing key" in said, said
    machine.apt("install", "drain-init", check=fails)


@needs_root
def test_apt_refuses_a_package_in_which_a_byte_was_changed(machine, tmp_path):
    tampered = tmp_path / "apt"
    shutil.copytree(DIST / "apt", tampered)
    for victim in (tampered / "pool").rglob("*.deb"):
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 1
        victim.write_bytes(data)
    machine.serve(tampered)
    machine.add_sources(DIST / "apt")
    machine.apt("update")
    said = machine.apt("install", "drain-init", check=fails)
    assert "Hash Sum mismatch" in said, said
