"""The files in dist/, without running them."""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile

import kubernetes_validate
import pytest
import yaml
from conftest import DIST, EXAMPLES, RELEASED, TOP, VERSION, fails, run

REPOSITORY = "https://github.com/drain-init/drain-init"
# By the names of dist/drain-init-NAME.
TARGETS = {arch["name"]: arch["triple"] for arch in RELEASED}
DEBIAN_NAMES = {arch["name"]: arch["deb"] for arch in RELEASED}
DEBS = {name: DIST / f"drain-init_{VERSION}_{deb}.deb" for name, deb in DEBIAN_NAMES.items()}
DEBS["all"] = DIST / f"drain-init-dumb-init_{VERSION}_all.deb"


def field(deb, name):
    return run("dpkg-deb", "--field", deb, name).strip()


def contents(deb):
    """The package's files: path → tarfile member, and the archive to read them from."""
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE, check=True).stdout
    archive = tarfile.open(fileobj=io.BytesIO(data))
    return {member.name.removeprefix("."): member for member in archive if not member.isdir()}, archive


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_lintian_has_no_error_and_no_warning(tmp_path):
    """In one run, because it takes long to start. Debian 12's leaves files in TMPDIR."""
    run("lintian", "--allow-root", "--fail-on", "error,warning", *DEBS.values(), env=os.environ | {"TMPDIR": str(tmp_path)})


@pytest.mark.parametrize("arch", TARGETS)
def test_the_package_needs_nothing_and_serves_every_architecture(arch):
    deb = DEBS[arch]
    assert field(deb, "Package") == "drain-init"
    assert field(deb, "Version") == VERSION
    assert field(deb, "Architecture") == DEBIAN_NAMES[arch]
    assert field(deb, "Multi-Arch") == "foreign"
    assert field(deb, "Depends") == field(deb, "Pre-Depends") == field(deb, "Recommends") == ""


@pytest.mark.parametrize("arch", TARGETS)
def test_the_package_has_program_manual_completion_and_documents(arch):
    members, archive = contents(DEBS[arch])
    doc = "/usr/share/doc/drain-init"
    found = {path for path in members if not path.startswith(f"{doc}/examples/")}
    assert found == {
        "/usr/bin/drain-init", "/usr/share/man/man1/drain-init.1.gz", f"{doc}/copyright", f"{doc}/changelog.gz", f"{doc}/README.md",
        "/usr/share/bash-completion/completions/drain-init", "/usr/share/zsh/vendor-completions/_drain-init",
        "/usr/share/fish/vendor_completions.d/drain-init.fish", "/usr/share/lintian/overrides/drain-init"}
    assert archive.extractfile(members["/usr/bin/drain-init"]).read() == (DIST / f"drain-init-{arch}").read_bytes()
    manual = gzip.decompress(archive.extractfile(members["/usr/share/man/man1/drain-init.1.gz"]).read())
    assert manual == (TOP / "docs/drain-init.1").read_bytes()
    changelog = gzip.decompress(archive.extractfile(members[f"{doc}/changelog.gz"]).read()).decode()
    assert changelog.startswith(f"drain-init ({VERSION}) ")
    # Those that install drain-init from a package.
    for example in ("Dockerfile.apt", "Procfile", "compose.yaml", "deployment.yaml", "web.service"):
        assert archive.extractfile(members[f"{doc}/examples/{example}"]).read() == (EXAMPLES / example).read_bytes()
    text = archive.extractfile(members[f"{doc}/README.md"]).read().decode()
    assert "## Choosing the delay" in text and "## Install" not in text
    assert f"/blob/v{VERSION}/docs/choosing-the-delay.md)" in text and "](docs/" not in text
    for member in members.values():
        assert (member.uid, member.gid) == (0, 0)
        assert member.mode == (0o755 if member.name == "./usr/bin/drain-init" else member.mode & 0o755 | 0o644)


def test_dumb_inits_stand_in_takes_its_name_and_place():
    deb = DEBS["all"]
    assert field(deb, "Provides") == "dumb-init (= 1.2.5)"
    assert field(deb, "Conflicts") == field(deb, "Replaces") == "dumb-init"
    assert field(deb, "Depends") == f"drain-init (= {VERSION})"
    members, _ = contents(deb)
    links = {path: member.linkname for path, member in members.items() if member.issym()}
    assert links["/usr/bin/dumb-init"] == "drain-init"
    assert links["/usr/share/man/man1/dumb-init.1.gz"] == "drain-init.1.gz"


@pytest.mark.parametrize("arch", TARGETS)
def test_the_copyright_names_everything_that_is_linked_in(arch):
    members, archive = contents(DEBS[arch])
    text = archive.extractfile(members["/usr/share/doc/drain-init/copyright"]).read().decode()
    tree = run("cargo", "tree", "--quiet", "--locked", "--edges=normal", "--prefix=none", "--target", TARGETS[arch], cwd=TOP)
    crates = {line.split()[0] for line in tree.splitlines() if line.strip()} - {"drain-init"}
    assert {"nix", "lexopt", "libc"} <= crates
    for part in crates | {"musl", "rust-std"}:
        assert f"Files: vendor/{part}/*" in text, f"deb/copyright does not name {part}"


@pytest.mark.parametrize("arch", TARGETS)
def test_the_sbom_names_the_binary_and_its_parts(arch):
    sbom = json.loads((DIST / f"drain-init-{arch}.cdx.json").read_text())
    assert sbom["bomFormat"] == "CycloneDX"
    subject = sbom["metadata"]["component"]
    assert (subject["name"], subject["version"]) == ("drain-init", VERSION)
    assert subject["hashes"] == [{"alg": "SHA-256", "content": sha256(DIST / f"drain-init-{arch}")}]
    parts = {component["name"]: component["version"] for component in sbom["components"]}
    assert {"nix", "lexopt", "libc", "musl", "rust-std"} <= set(parts)
    locked = (TOP / "Cargo.lock").read_text()
    for name in ("nix", "lexopt", "libc"):
        assert f'name = "{name}"\nversion = "{parts[name]}"' in locked


def test_the_checksums_hold_and_leave_nothing_out():
    listed = dict(reversed(line.split("  ")) for line in (DIST / "SHA256SUMS").read_text().splitlines())
    for name, digest in listed.items():
        assert sha256(DIST / name) == digest, name
    assert set(listed) == {path.name for path in DIST.iterdir() if path.is_file() and path.name != "SHA256SUMS"}
    assert {f"drain-init-{arch}" for arch in TARGETS} <= set(listed)


@pytest.mark.parametrize("arch", TARGETS)
def test_the_archive_has_the_program_and_what_belongs_to_it(arch):
    archive = tarfile.open(DIST / f"drain-init-linux-{arch}.tar.gz")
    top = f"drain-init-{VERSION}"
    assert set(archive.getnames()) == {top, f"{top}/completions"} | {f"{top}/{name}" for name in (
        "drain-init", "drain-init.1", "LICENSE-MIT", "LICENSE-APACHE", "NOTICES",
        "completions/_drain-init", "completions/drain-init.bash", "completions/drain-init.fish")}
    assert archive.extractfile(f"{top}/drain-init").read() == (DIST / f"drain-init-{arch}").read_bytes()
    for member in archive:
        assert (member.uid, member.gid) == (0, 0)
        assert member.mode == (0o755 if member.isdir() or member.name == f"{top}/drain-init" else 0o644), member.name


@pytest.mark.parametrize("arch", TARGETS)
def test_the_program_is_static_and_of_its_architecture(arch):
    """No interpreter, no dynamic section, and no writable code."""
    machines = {"amd64": "X86-64", "arm64": "AArch64", "386": "80386", "armv7": "ARM", "ppc64le": "PowerPC64", "riscv64": "RISC-V", "s390x": "S/390"}
    said = run("readelf", "--wide", "--file-header", "--program-headers", DIST / f"drain-init-{arch}")
    assert machines[arch] in re.search(r"Machine: +(.*)", said)[1]
    endian = "big" if arch == "s390x" else "little"
    assert f"{endian} endian" in said
    assert "INTERP" not in said and "DYNAMIC" not in said and "RWE" not in said, said


def layout():
    """The image: its index, and a function that reads what a descriptor names and checks the digest."""
    archive = tarfile.open(DIST / f"drain-init-{VERSION}.oci.tar")

    def read(descriptor):
        algorithm, digest = descriptor["digest"].split(":")
        data = archive.extractfile(f"blobs/{algorithm}/{digest}").read()
        assert hashlib.new(algorithm, data).hexdigest() == digest
        assert len(data) == descriptor["size"]
        return data

    top = json.load(archive.extractfile("index.json"))
    assert len(top["manifests"]) == 1
    assert top["manifests"][0]["digest"] == (DIST / f"drain-init-{VERSION}.oci.digest").read_text().strip()
    return json.loads(read(top["manifests"][0])), read


def test_the_image_is_one_file_for_each_architecture():
    index, read = layout()
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    platforms = [dict(zip(("os", "architecture", "variant"), arch["platform"].split("/"))) for arch in RELEASED]
    assert [manifest["platform"] for manifest in index["manifests"]] == platforms
    for descriptor, name in zip(index["manifests"], TARGETS, strict=True):
        platform = descriptor["platform"]
        manifest = json.loads(read(descriptor))
        config = json.loads(read(manifest["config"]))
        assert {key: config[key] for key in platform} == platform
        assert config["config"]["Entrypoint"] == ["/drain-init"]
        assert len(manifest["layers"]) == 1
        layer = tarfile.open(fileobj=io.BytesIO(read(manifest["layers"][0])))
        members = layer.getmembers()
        assert [(member.name, member.mode & 0o7777, member.uid, member.gid, member.isfile()) for member in members] == [
            ("drain-init", 0o755, 0, 0, True)]
        assert layer.extractfile(members[0]).read() == (DIST / f"drain-init-{name}").read_bytes()


def test_the_image_says_where_it_is_from_on_every_level():
    index, read = layout()
    wanted = {"source": REPOSITORY, "version": VERSION, "licenses": "MIT OR Apache-2.0"}
    revisions = set()
    levels = [index["annotations"]]
    for descriptor in index["manifests"]:
        manifest = json.loads(read(descriptor))
        levels += [manifest["annotations"], json.loads(read(manifest["config"]))["config"]["Labels"]]
    assert len(levels) == 1 + 2 * len(RELEASED)
    for level in levels:
        for name, value in wanted.items():
            assert level[f"org.opencontainers.image.{name}"] == value
        revisions.add(level["org.opencontainers.image.revision"])
    assert len(revisions) == 1
    assert re.fullmatch("[0-9a-f]{40}", revisions.pop())


@pytest.mark.parametrize("name", ["pod.yaml", "pod-image-volume.yaml"])
def test_kubernetes_would_accept_the_pods(name):
    pod = yaml.safe_load((EXAMPLES / name).read_text())
    kubernetes_validate.validate(pod, "1.35", strict=True)
    delay = int(next(item["value"] for item in pod["spec"]["containers"][0]["env"] if item["name"] == "DRAIN_INIT_DELAY_TERM"))
    assert delay < pod["spec"]["terminationGracePeriodSeconds"]
    # The check itself can fail.
    pod["spec"]["containers"][0]["images"] = "x"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, "1.35", strict=True)


def test_the_examples_name_this_version():
    named = {}
    for path in (path for path in EXAMPLES.rglob("*") if path.is_file()):
        found = re.findall(r"drain-init/drain-init:([0-9][0-9A-Za-z.-]*)|/download/v([^/]+)/", path.read_text())
        if found:
            named[path.name] = {first or second for first, second in found}
    assert {"Dockerfile.copy-from", "Dockerfile.download", "pod-image-volume.yaml"} <= set(named)
    assert all(versions == {VERSION} for versions in named.values()), named


def test_no_private_key_is_left_in_dist():
    for path in (path for path in DIST.rglob("*") if path.is_file()):
        assert b"PRIVATE KEY" not in path.read_bytes(), path


def test_a_script_called_without_make_is_an_error():
    for script in ("deb/build", "apt/build", "nfpm/build", "image/build", "wheel/build", "dist"):
        assert "run this as make" in fails("env", "-u", "VERSION", TOP / "packaging" / script)
    assert shutil.which("apt-ftparchive")
