"""The packages for Alpine's apk: their contents, and apk itself in a container of Alpine.

Debian does not have apk. The container needs Docker Hub; without it that test is skipped
by name, except on GitHub.
"""

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import zlib

import pytest
from conftest import DIST, NATIVE, TOP, VERSION, documented, needs_root, run
from test_rpm import NAMES as RPM_NAMES
from test_rpm import built

NAMES = dict(line.split() for line in run(TOP / "packaging/architectures", "name", "apk").splitlines())
CPU = NAMES[NATIVE]


def members(path):
    """The gzip members of the file at PATH: (as it is, unpacked)."""
    data, result = path.read_bytes(), []
    while data:
        unpack = zlib.decompressobj(wbits=31)
        content = unpack.decompress(data)
        result.append((data[:len(data) - len(unpack.unused_data)], content))
        data = unpack.unused_data
    return result


def files(content):
    """The tar CONTENT as {name: (member, bytes)}, with or without the end of a tar."""
    with tarfile.open(fileobj=io.BytesIO(content + 1024 * b"\0")) as tar:
        return {member.name: (member, tar.extractfile(member).read() if member.isfile() else b"") for member in tar}


def about(control):
    fields = {}
    for line in files(control)[".PKGINFO"][1].decode().splitlines():
        name, _, value = line.partition(" = ")
        fields.setdefault(name, []).append(value)
    return fields


def test_each_binary_has_an_apk_with_the_same_files_as_the_rpm():
    assert {path.name for path in DIST.glob("*.apk")} == {
        f"drain-init-dumb-init_{VERSION}-r0_noarch.apk", *(f"drain-init_{VERSION}-r0_{NAMES[name]}.apk" for name in built())}
    for name in built():
        rpm = DIST / f"drain-init-{VERSION}-1.{RPM_NAMES[name]}.rpm"
        listed = run("rpm", "-qlp", "--nosignature", rpm, stderr=subprocess.PIPE).split()
        control, data = members(DIST / f"drain-init_{VERSION}-r0_{NAMES[name]}.apk")
        info = about(control[1])
        assert (info["pkgname"], info["pkgver"], info["arch"]) == (["drain-init"], [f"{VERSION}-r0"], [NAMES[name]])
        # apk accepts only the data that the control part names.
        assert info["datahash"] == [hashlib.sha256(data[0]).hexdigest()]
        assert not {"depend", "provides", "replaces"} & set(info)
        assert set(files(control[1])) == {".PKGINFO"}
        content = files(data[1])
        directories = {path for path, (member, _) in content.items() if member.isdir()}
        assert {f"/{path}" for path in set(content) - directories} == {path for path in listed if path[1:] not in directories}
        assert content["usr/bin/drain-init"][1] == (DIST / f"drain-init-{name}").read_bytes()
        assert gzip.decompress(content["usr/share/man/man1/drain-init.1.gz"][1]) == (TOP / "docs/drain-init.1").read_bytes()
        for path, (member, bytes_) in content.items():
            assert (member.uid, member.gid) == (0, 0)
            assert member.mode == (0o755 if member.isdir() or path == "usr/bin/drain-init" else 0o644), path
            assert member.mtime == int(os.environ["SOURCE_DATE_EPOCH"])
            if member.isfile():
                assert member.pax_headers["APK-TOOLS.checksum.SHA1"] == hashlib.sha1(bytes_).hexdigest()


def test_the_apk_says_what_the_rpm_says():
    info = about(members(DIST / f"drain-init_{VERSION}-r0_{CPU}.apk")[0][1])
    rpm = DIST / f"drain-init-{VERSION}-1.{RPM_NAMES[NATIVE]}.rpm"
    form = "%{SUMMARY}\n%{URL}\n%{PACKAGER}\n%{LICENSE}"
    said = run("rpm", "-qp", "--nosignature", "--qf", form, rpm, stderr=subprocess.PIPE).splitlines()
    assert [info[name] for name in ("pkgdesc", "url", "maintainer", "license")] == [[line] for line in said]


def test_the_apk_stand_in_takes_dumb_inits_name_and_has_bytes():
    control, data = members(DIST / f"drain-init-dumb-init_{VERSION}-r0_noarch.apk")
    info = about(control[1])
    assert info["provides"] == ["dumb-init=1.2.5"]
    assert info["replaces"] == ["dumb-init"]
    assert info["depend"] == [f"drain-init={VERSION}-r0"]
    assert files(data[1])["usr/bin/dumb-init"][0].linkname == "drain-init"
    # apk unpacks nothing from a package with a size of 0: its links would be missing.
    assert int(info["size"][0]) > 0


def test_unpacked_as_apk_unpacks_it_the_program_runs(tmp_path):
    archive = DIST / f"drain-init_{VERSION}-r0_{CPU}.apk"
    run("tar", "--warning=no-unknown-keyword", "-xzf", archive, "-C", tmp_path, "--no-same-owner", "usr")
    assert run(tmp_path / "usr/bin/drain-init", "--version") == f"drain-init {VERSION}\n"


IN_ALPINE = """set -eux
cd /dist
{check}
if {add_signed}; then exit 1; fi
{add}
test "$(drain-init --version)" = "drain-init {version}"
status=0; drain-init -- sh -c 'exit 7' || status=$?; test $status -eq 7
apk del drain-init
test ! -e /usr/bin/drain-init
# Changes a byte in the middle.
size=$(wc -c <{package}); head -c $((size / 2)) {package} >/tmp/changed.apk
printf '\\377\\000' >>/tmp/changed.apk; tail -c +$((size / 2 + 3)) {package} >>/tmp/changed.apk
if apk add --allow-untrusted /tmp/changed.apk && drain-init --version; then exit 1; fi
apk del drain-init || :
apk add --no-cache dumb-init
test ! -L /usr/bin/dumb-init
{swap}
test "$(readlink /usr/bin/dumb-init)" = drain-init
dumb-init -- sh -c 'exit 0'
"""


@needs_root
def test_apk_installs_with_the_documented_lines_and_refuses_a_changed_byte(podman):
    image = (TOP / "packaging/test/alpine/Dockerfile").read_text().split()[-1]
    # Not the test's registry, which plays docker.io elsewhere.
    environment = {name: value for name, value in podman.environment.items()
                   if name not in ("CONTAINERS_REGISTRIES_CONF", "https_proxy", "SSL_CERT_FILE")}
    pull = subprocess.run(["podman", "pull", "--quiet", image], env=environment, capture_output=True, text=True, check=False)
    if pull.returncode and not os.environ.get("GITHUB_ACTIONS"):
        pytest.skip("Docker Hub, for Alpine's image, cannot be reached")
    assert pull.returncode == 0, pull.stderr
    lines = {"check": documented("grep .* sha256sum -c"), "add": documented("apk add --allow-untrusted ./[^ ]*"),
             "swap": documented("apk add --allow-untrusted ./[^ ]* ./.*")}
    lines = {name: line.replace("x86_64", CPU) for name, line in lines.items()}
    script = IN_ALPINE.format(**lines, add_signed=lines["add"].replace("--allow-untrusted ", ""), version=VERSION,
                              package=f"drain-init_{VERSION}-r0_{CPU}.apk")
    run("podman", "run", "--rm", "--network=host", "-v", f"{DIST}:/dist:ro", image, "sh", "-c", script, env=environment)
