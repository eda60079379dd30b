"""The packages for Alpine's apk and their repository.

No Debian and no package registry has apk: the packages are looked at by their
format, with tar and openssl, and `make alpine-test` installs them in Alpine. Where
there is an apk (or APK names one), it installs here, too.
"""

import base64
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import zlib
from functools import partial

import pytest
from conftest import DIST, FULL, NATIVE, TOP, VERSION, assert_no_key_is_left, build_repository, fails, run
from test_apt import EARLIER, OLDER
from test_rpm import build_packages

NAMES = dict(line.split() for line in run(TOP / "packaging/architectures", "name", "apk").splitlines())
CPU = NAMES[NATIVE]
REPOSITORY = DIST / "alpine"
APK = os.environ.get("APK") or shutil.which("apk")
needs_apk = pytest.mark.skipif(not APK, reason="there is no apk here; make alpine-test installs in Alpine")


def built():
    return {name: cpu for name, cpu in NAMES.items() if (DIST / f"drain-init-{name}").exists()}


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
    """The tar CONTENT as {name: (member, bytes)}, with or without the end that a tar has."""
    with tarfile.open(fileobj=io.BytesIO(content + 1024 * b"\0")) as tar:
        return {member.name: (member, tar.extractfile(member).read() if member.isfile() else b"") for member in tar}


def about(control):
    fields = {}
    for line in files(control)[".PKGINFO"][1].decode().splitlines():
        name, _, value = line.partition(" = ")
        fields.setdefault(name, []).append(value)
    return fields


def assert_signed(signature, signed, digest, tmp_path, key=REPOSITORY / "drain-init.rsa.pub"):
    """SIGNATURE, a tar of one file, is KEY's of the bytes SIGNED."""
    [(name, (_, content))] = files(signature).items()
    assert name == f".SIGN.{'RSA' if digest == 'sha1' else 'RSA256'}.drain-init.rsa.pub"
    (tmp_path / "signature").write_bytes(content)
    (tmp_path / "signed").write_bytes(signed)
    verify = ("openssl", "dgst", f"-{digest}", "-verify", key, "-signature", tmp_path / "signature", tmp_path / "signed")
    assert run(*verify) == "Verified OK\n"
    (tmp_path / "signed").write_bytes(signed + b"\n")
    fails(*verify)


def test_each_binary_has_an_apk_with_the_same_files_as_the_rpm():
    assert {path.name for path in DIST.glob("*.apk")} == {
        f"drain-init-dumb-init_{VERSION}-r0_noarch.apk", *(f"drain-init_{VERSION}-r0_{cpu}.apk" for cpu in built().values())}
    listed = run("rpm", "-qlp", "--nosignature", *DIST.glob(f"drain-init-{VERSION}-1.*.rpm"), stderr=subprocess.PIPE).split()
    for name, cpu in built().items():
        control, data = members(DIST / f"drain-init_{VERSION}-r0_{cpu}.apk")
        info = about(control[1])
        assert (info["pkgname"], info["pkgver"], info["arch"]) == (["drain-init"], [f"{VERSION}-r0"], [cpu])
        # The data is what the control part names; apk goes by nothing else.
        assert info["datahash"] == [hashlib.sha256(data[0]).hexdigest()]
        assert not {"depend", "provides", "replaces"} & set(info)
        assert set(files(control[1])) == {".PKGINFO"}
        content = files(data[1])
        directories = {path for path, (member, _) in content.items() if member.isdir()}
        assert {f"/{path}" for path in set(content) - directories} == {path for path in listed if f"{path[1:]}" not in directories}
        assert content["usr/bin/drain-init"][1] == (DIST / f"drain-init-{name}").read_bytes()
        assert gzip.decompress(content["usr/share/man/man1/drain-init.1.gz"][1]) == (TOP / "docs/drain-init.1").read_bytes()
        for path, (member, _) in content.items():
            assert (member.uid, member.gid) == (0, 0)
            assert member.mode == (0o755 if member.isdir() or path == "usr/bin/drain-init" else 0o644), path
            assert member.mtime == int(os.environ["SOURCE_DATE_EPOCH"])
        for member, bytes_ in content.values():
            if member.isfile():
                assert member.pax_headers["APK-TOOLS.checksum.SHA1"] == hashlib.sha1(bytes_).hexdigest()


def test_the_apk_says_what_the_rpm_says():
    info = about(members(DIST / f"drain-init_{VERSION}-r0_{CPU}.apk")[0][1])
    rpm = next(DIST.glob(f"drain-init-{VERSION}-1.*.rpm"))
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
    # apk unpacks nothing of a package whose size is 0: its links would be missing.
    assert int(info["size"][0]) > 0


def test_the_apk_repository_has_every_package_signed_and_else_as_in_dist(tmp_path):
    for cpu in built().values():
        for name, plain in (("drain-init", f"drain-init_{VERSION}-r0_{cpu}.apk"),
                            ("drain-init-dumb-init", f"drain-init-dumb-init_{VERSION}-r0_noarch.apk")):
            package = REPOSITORY / cpu / f"{name}-{VERSION}-r0.apk"
            signature, control, data = members(package)
            assert control[0] + data[0] == (DIST / plain).read_bytes()
            assert_signed(signature[1], control[0], "sha1", tmp_path)


def index(repository, cpu):
    """The index's packages: (name, version) → fields."""
    content = files(members(repository / cpu / "APKINDEX.tar.gz")[1][1])
    stanzas = [dict(line.split(":", 1) for line in stanza.splitlines()) for stanza in content["APKINDEX"][1].decode().strip().split("\n\n")]
    return {(stanza["P"], stanza["V"]): stanza for stanza in stanzas}


def test_the_apk_index_is_signed_and_names_each_package_by_its_checksum(tmp_path):
    assert {path.name for path in REPOSITORY.iterdir()} == {"drain-init.rsa.pub", *built().values()}
    for cpu in built().values():
        signature, body = members(REPOSITORY / cpu / "APKINDEX.tar.gz")
        assert_signed(signature[1], body[0], "sha256", tmp_path)
        # The signature's tar has no end, so that the next one is read on.
        assert not signature[1].endswith(1024 * b"\0") and body[1].endswith(1024 * b"\0")
        listed = index(REPOSITORY, cpu)
        assert set(listed) == {("drain-init", f"{VERSION}-r0"), ("drain-init-dumb-init", f"{VERSION}-r0")}
        for (name, version), fields in listed.items():
            package = REPOSITORY / cpu / f"{name}-{version}.apk"
            control = members(package)[1]
            assert fields["C"] == "Q1" + base64.b64encode(hashlib.sha1(control[0]).digest()).decode()
            assert int(fields["S"]) == package.stat().st_size
            # As `apk index --rewrite-arch` has it: apk looks below this name.
            assert fields["A"] == cpu
            info = about(control[1])
            for letter, field in (("I", "size"), ("T", "pkgdesc"), ("U", "url"), ("L", "license"), ("m", "maintainer"),
                                  ("D", "depend"), ("p", "provides"), ("r", "replaces")):
                assert fields.get(letter) == (info[field][0] if field in info else None), letter


def test_unpacked_as_apk_unpacks_it_the_program_runs(tmp_path):
    """The data is the last part, and its tar is read on from the parts before it."""
    archive = REPOSITORY / CPU / f"drain-init-{VERSION}-r0.apk"
    run("tar", "--warning=no-unknown-keyword", "-xzf", archive, "-C", tmp_path, "--no-same-owner", "usr")
    assert run(tmp_path / "usr/bin/drain-init", "--version") == f"drain-init {VERSION}\n"


@pytest.fixture(scope="session")
def key(work):
    run("openssl", "genrsa", "-out", work / "apk-key", "3072")
    return work / "apk-key"


build_alpine = partial(build_repository, "alpine")


@pytest.fixture(scope="session")
def older(work, key):
    apks = work / "older-apks"
    apks.mkdir()
    for binary in (f"drain-init-{name}" for name in built()):
        shutil.copy(DIST / binary, apks)
    build_packages("apk", OLDER, apks, EARLIER)
    build_alpine(OLDER, apks, work / "older-alpine", SOURCE_DATE_EPOCH=EARLIER, APK_SIGNING_KEY_FILE=key)
    return work / "older-alpine"


@pytest.fixture(scope="session")
def both(work, key, older):
    """The same repository after this version; the key comes in the environment, and with a passphrase."""
    locked = run("openssl", "rsa", "-aes256", "-passout", "pass:open sesame", "-in", key, stderr=subprocess.PIPE)
    build_alpine(VERSION, DIST, work / "both-alpine", APK_SIGNING_KEY=locked, APK_SIGNING_PASSPHRASE="open sesame", APK_PREVIOUS=older)
    return work / "both-alpine"


def test_a_new_version_keeps_the_older_apks(older, both):
    for path in older.rglob("drain-init-*.apk"):
        assert path.read_bytes() == (both / path.relative_to(older)).read_bytes()
    for cpu in built().values():
        assert {version for _, version in index(both, cpu)} == {f"{OLDER}-r0", f"{VERSION}-r0"}


@pytest.mark.skipif(not FULL, reason="make reproducible does it, too; here with FULL=1")
def test_the_same_key_and_date_make_the_same_apk_repository(work, key):
    for name in ("alpine-once", "alpine-twice"):
        build_alpine(VERSION, DIST, work / name, APK_SIGNING_KEY_FILE=key)
    run("diff", "--recursive", work / "alpine-once", work / "alpine-twice")


def test_a_published_apk_never_changes_nor_is_one_published_that_its_binary_does_not_make(work, key, both, tmp_path):
    said = build_alpine(VERSION, DIST, tmp_path / "alpine", fails, SOURCE_DATE_EPOCH=EARLIER, APK_SIGNING_KEY_FILE=key, APK_PREVIOUS=both)
    assert "is not what its binary in dist/ makes: run make apk" in said
    changed = tmp_path / "changed"
    shutil.copytree(DIST, changed, ignore=shutil.ignore_patterns("apt", "rpm", "alpine"))
    build_packages("apk", VERSION, changed, EARLIER)
    said = build_alpine(VERSION, changed, tmp_path / "alpine", fails, SOURCE_DATE_EPOCH=EARLIER, APK_SIGNING_KEY_FILE=key, APK_PREVIOUS=both)
    assert "was published with other contents" in said
    assert not (tmp_path / "alpine").exists()


def test_an_apk_repository_does_not_change_its_key_unnoticed_and_a_key_that_is_none_is_refused(work, both, tmp_path):
    said = build_alpine(VERSION, DIST, tmp_path / "alpine", fails, APK_PREVIOUS=both)
    assert "no APK_SIGNING_KEY" in said and "was not signed by the key given now" in said
    said = build_alpine(VERSION, DIST, tmp_path / "alpine", fails, APK_SIGNING_KEY="no key at all")
    assert "holds no usable RSA key" in said
    assert not (tmp_path / "alpine").exists()


def test_no_apk_key_is_left_behind(work, key, both, tmp_path):
    assert_no_key_is_left(build_alpine, "APK_SIGNING_KEY_FILE", key, slice(3, 4), work / "watched-alpine", tmp_path, both)


@needs_apk
def test_apk_installs_and_refuses_what_was_tampered_with(tmp_path):
    said = run(TOP / "packaging/test/alpine/check", REPOSITORY, VERSION, env=os.environ | {"ROOT": str(tmp_path), "APK": APK})
    assert said.count("check: apk refuses ") == 3


@needs_apk
def test_apk_upgrades_and_swaps_alpines_dumb_init_only_when_told(work, key, older, both, tmp_path):
    """Alpine's dumb-init is played by a package of that name, in the same repository."""
    mixed, root = tmp_path / "mixed", tmp_path / "root"
    shutil.copytree(both, mixed)
    (tmp_path / "dumb-init").write_text("#!/bin/sh\n")
    (tmp_path / "nfpm.yaml").write_text(
        f"name: dumb-init\narch: {CPU}\nversion: 1.2.5\nrelease: r3\nlicense: MIT\ndescription: not drain-init\n"
        "contents: [{src: dumb-init, dst: /usr/bin/dumb-init, file_info: {mode: 0755}}]\n")
    nfpm = run(TOP / "packaging/venv", "nfpm").strip()
    run(f"{nfpm}/bin/nfpm", "package", "--packager", "apk", "--target", mixed / CPU / "dumb-init-1.2.5-r3.apk", cwd=tmp_path)
    run(TOP / "packaging/alpine/index", mixed / CPU, key, "drain-init.rsa.pub")
    (root / "etc/apk/keys").mkdir(parents=True)
    shutil.copy(both / "drain-init.rsa.pub", root / "etc/apk/keys")

    def apk(repository, *arguments):
        (root / "etc/apk/repositories").write_text(f"{repository}\n")
        return run(APK, "--root", root, *arguments)

    apk(older, "--initdb", "add", "drain-init")
    assert f"drain-init-{OLDER}-r0" in apk(older, "info", "-v")
    apk(mixed, "add", "dumb-init")
    apk(mixed, "upgrade", "-U")
    assert f"drain-init-{VERSION}-r0" in apk(mixed, "info", "-v")
    assert not (root / "usr/bin/dumb-init").is_symlink()
    [line] = re.findall(r"(?m)^apk (add drain-init-dumb-init)$", (TOP / "packaging/README.md").read_text())
    apk(mixed, *line.split())
    assert os.readlink(root / "usr/bin/dumb-init") == "drain-init"
