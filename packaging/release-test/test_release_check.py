"""release-check says what does not fit: each check is broken once."""

import hashlib
import io
import json
import re
import shutil
import tarfile
from pathlib import Path

from rehearsal import ARCHITECTURES, OLDER, VERSION, Rehearsal, done, older_debs, older_packages


def replace(path, old, new):
    text = path.read_text()
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new, 1))


def flip(path, offset=-100):
    """Changes one byte of the file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def rewrite_image(archive, change):
    """Lets CHANGE(index, add) alter the image index; ADD(bytes) stores a blob and returns its digest."""
    with tarfile.open(archive) as tar:
        files = {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}

    def add(data):
        digest = hashlib.sha256(data).hexdigest()
        files[f"blobs/sha256/{digest}"] = data
        return f"sha256:{digest}"

    top = json.loads(files["index.json"])
    index = json.loads(files["blobs/sha256/" + top["manifests"][0]["digest"].removeprefix("sha256:")])
    change(index, files)
    data = json.dumps(index).encode()
    top["manifests"][0] |= {"digest": add(data), "size": len(data)}
    files["index.json"] = json.dumps(top).encode()
    with tarfile.open(archive, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    archive.with_suffix("").with_suffix(".oci.digest").write_text(top["manifests"][0]["digest"] + "\n")


class ReleaseCheck(Rehearsal):
    def check(self, *arguments, **variables):
        return self.succeeds("release-check", *arguments, **variables)

    def finds(self, check, words, *arguments, **variables):
        """That check, by name, fails with these words."""
        return self.fails(rf"(?m)^release-check: {check}: FAILED: .*{words}", "release-check", "--only", check, *arguments, **variables)

    def commit(self):
        self.git("commit", "--quiet", "--all", "--message", "A change")

    def test_a_release_that_fits_passes_with_its_tag(self):
        said = self.check(TAG=f"v{VERSION}")
        self.assertIn(f"tag: v{VERSION}", said)
        self.assertIn(f"apt keeps older versions: {OLDER}, {VERSION}", said)

    def test_all_that_does_not_fit_is_told_at_once(self):
        replace(self.tree / "CHANGELOG.md", f"## [{VERSION}]", "## [9.9.9]")
        (self.dist / "SHA256SUMS").unlink()
        said = self.fails(r"(?m)^release-check: 4 of 18 checks failed$", "release-check")
        for check in ("changelog", "tree is clean", "dist is complete", "checksums"):
            self.assertIn(f"release-check: {check}: FAILED: ", said)

    def test_a_check_that_does_not_exist(self):
        self.fails("no check is called 'nonsense'", "release-check", "--only", "nonsense")

    def test_cargo_toml_with_another_version(self):
        replace(self.tree / "Cargo.toml", f'version = "{VERSION}"', 'version = "9.9.9"')
        self.finds("versions agree", "Cargo.toml says 9.9.9")

    def test_cargo_lock_with_another_version(self):
        replace(self.tree / "Cargo.lock", f'name = "drain-init"\nversion = "{VERSION}"', 'name = "drain-init"\nversion = "9.9.9"')
        self.finds("versions agree", "Cargo.lock says 9.9.9")

    def test_manual_page_with_another_version(self):
        replace(self.tree / "docs/drain-init.1", f".Os drain-init {VERSION}", ".Os drain-init 9.9.9")
        self.finds("versions agree", "the manual page docs/drain-init.1 says 9.9.9")

    def test_changelog_without_the_version(self):
        replace(self.tree / "CHANGELOG.md", f"## [{VERSION}]", "## [9.9.9]")
        self.finds("changelog", "no section")

    def test_changelog_without_a_date(self):
        text = (self.tree / "CHANGELOG.md").read_text()
        heading = next(line for line in text.splitlines() if line.startswith(f"## [{VERSION}]"))
        replace(self.tree / "CHANGELOG.md", heading, f"## [{VERSION}]")
        self.finds("changelog", "has no date")

    def test_tag_of_another_version(self):
        self.finds("tag", "the tag is v9.9.9", TAG="v9.9.9")

    def test_tag_on_another_commit(self):
        replace(self.tree / "CHANGELOG.md", "# Changelog", "# The changelog")
        self.commit()
        self.finds("tag", "is checked out", TAG=f"v{VERSION}")

    def test_tag_that_is_not_there(self):
        self.git("tag", "--delete", f"v{VERSION}")
        self.finds("tag", "", TAG=f"v{VERSION}")

    def test_changed_file(self):
        replace(self.tree / "CHANGELOG.md", "# Changelog", "# The changelog")
        self.finds("tree is clean", "1 files are changed or not in git, such as CHANGELOG.md")

    def test_file_that_git_does_not_know(self):
        (self.tree / "src/stray.rs").write_text("")
        self.finds("tree is clean", "src/stray.rs")

    def test_each_missing_file(self):
        for path in sorted(self.dist.iterdir()):
            with self.subTest(path.name):
                hidden = path.rename(self.work / "hidden")
                self.finds("dist is complete", f"missing in dist/: {path.name}")
                hidden.rename(path)

    def test_file_of_another_version(self):
        (self.dist / f"drain-init_{OLDER}_amd64.deb").touch()
        self.finds("dist is complete", f"not of this release in dist/: drain-init_{OLDER}_amd64.deb")

    def test_changed_byte(self):
        [wheel] = self.dist.glob("*_x86_64.whl")
        flip(wheel)
        self.finds("checksums", f"{wheel.name} does not have the checksum")

    def test_checksums_that_leave_a_file_out(self):
        lines = (self.dist / "SHA256SUMS").read_text().splitlines(keepends=True)
        (self.dist / "SHA256SUMS").write_text("".join(lines[1:]))
        self.finds("checksums", "does not name the release's files")

    def test_program_of_another_version(self):
        for arch in ARCHITECTURES:
            (self.dist / f"drain-init-{arch}").write_text("#!/bin/sh\necho drain-init 9.9.9\n")
        self.finds("program", "--version says: drain-init 9.9.9")
        self.finds("Debian packages", "holds another program")
        self.finds("rpm packages", "holds another program")
        self.finds("apk packages", "holds another program")
        self.finds("archives", "holds another program")
        self.finds("image", "holds another program")

    def quote(self, words, size):
        """Have README.md say SIZE behind these words."""
        path = self.tree / "README.md"
        path.write_text(re.sub(rf"({words})[\d,]+", rf"\g<1>{size:,}", path.read_text()))

    def test_a_size_is_exact_and_a_compressed_one_within_a_hundredth(self):
        deb, program = "the deb ", r"\| drain-init \| "
        size = (self.dist / f"drain-init_{VERSION}_amd64.deb").stat().st_size
        for sound in (size - size // 100, size + size // 100):
            self.quote(deb, sound)
            self.check("--only", "sizes")
        for wrong in (size - size // 100 - 1, size + size // 100 + 1):
            self.quote(deb, wrong)
            self.finds("sizes", f"README.md says {wrong:,} for the deb for amd64")
        self.quote(deb, size)
        size = (self.dist / "drain-init-amd64").stat().st_size
        for wrong in (size - 1, size + 1):
            self.quote(program, wrong)
            self.finds("sizes", f"README.md says {wrong:,} for drain-init-amd64")

    def test_page_with_another_size_than_what_is_built(self):
        for page, words in (("README.md", r"(\| drain-init \| )[\d,]+"), ("README.md", r"(\| arm64 \| )[\d,]+"),
                            ("README.md", r"(layer has )[\d,]+"), ("README.md", r"(the deb )[\d,]+"),
                            ("packaging/README.md", r"(of )[\d,]+(?= and \d+ as released)")):
            with self.subTest(words):
                path = self.tree / page
                before = path.read_text()
                path.write_text(re.sub(words, r"\g<1>1,234", before))
                self.finds("sizes", f"{page} says 1,234 for ")
                path.write_text(before)
        self.check("--only", "sizes")
        replace(self.tree / "README.md", "| arm64 | ", "| arm63 | ")
        self.finds("sizes", "README.md does not say how many bytes drain-init-arm64 has")

    def test_binstall_sent_to_a_file_that_is_not_there(self):
        replace(self.tree / "Cargo.toml", "/drain-init-arm64", "/drain-init-aarch64")
        self.finds("binstall", "drain-init-aarch64, which the release does not have")

    def test_deb_of_another_architecture(self):
        shutil.copy(self.dist / f"drain-init_{VERSION}_amd64.deb", self.dist / f"drain-init_{VERSION}_arm64.deb")
        self.finds("Debian packages", "Architecture: amd64")

    def test_rpm_and_apk_of_another_architecture(self):
        shutil.copy(self.dist / f"drain-init-{VERSION}-1.x86_64.rpm", self.dist / f"drain-init-{VERSION}-1.aarch64.rpm")
        self.finds("rpm packages", "says: drain-init .* x86_64 ")
        shutil.copy(self.dist / f"drain-init_{VERSION}-r0_x86_64.apk", self.dist / f"drain-init_{VERSION}-r0_aarch64.apk")
        self.finds("apk packages", "says: drain-init .* x86_64")

    def test_image_without_a_platform(self):
        rewrite_image(self.dist / f"drain-init-{VERSION}.oci.tar", lambda index, _: index["manifests"].pop())
        self.finds("image", "the image index has linux/amd64, .*linux/riscv64, not linux/amd64, .*linux/s390x")

    def test_image_with_another_platform_first(self):
        rewrite_image(self.dist / f"drain-init-{VERSION}.oci.tar", lambda index, _: index["manifests"].reverse())
        self.finds("image", "the image index has linux/s390x, .*linux/amd64, not linux/amd64")

    def test_image_of_an_older_arm(self):
        def relabel(index, _):
            [entry] = [entry for entry in index["manifests"] if entry["platform"].get("variant") == "v7"]
            entry["platform"]["variant"] = "v6"
        rewrite_image(self.dist / f"drain-init-{VERSION}.oci.tar", relabel)
        self.finds("image", "linux/arm/v6")

    def test_image_with_a_damaged_blob(self):
        def damage(index, files):
            name = "blobs/sha256/" + index["manifests"][1]["digest"].removeprefix("sha256:")
            files[name] = files[name] + b" "
        rewrite_image(self.dist / f"drain-init-{VERSION}.oci.tar", damage)
        self.finds("image", "is missing or damaged")

    def test_image_of_another_version(self):
        def relabel(index, _):
            index["annotations"]["org.opencontainers.image.version"] = "9.9.9"
        rewrite_image(self.dist / f"drain-init-{VERSION}.oci.tar", relabel)
        self.finds("image", "says version 9.9.9")

    def test_image_with_another_digest_beside_it(self):
        (self.dist / f"drain-init-{VERSION}.oci.digest").write_text("sha256:" + 64 * "0" + "\n")
        self.finds("image", "oci.digest says sha256:0000")

    def test_inrelease_with_a_changed_byte(self):
        replace(self.dist / "apt/dists/stable/InRelease", "Suite: stable", "Suite: stabel")
        self.finds("apt repository", "gpgv exits with")

    def test_release_with_a_changed_byte(self):
        replace(self.dist / "apt/dists/stable/Release", "Suite: stable", "Suite: stabel")
        self.finds("apt repository", "gpgv exits with")

    def test_packages_with_a_changed_byte(self):
        replace(self.dist / "apt/dists/stable/main/binary-arm64/Packages", "Version: ", "Version: 1")
        self.finds("apt repository", "main/binary-arm64/Packages does not have the checksum")

    def test_index_that_is_not_under_by_hash(self):
        for path in (self.dist / "apt").glob("dists/stable/main/binary-amd64/by-hash/SHA256/*"):
            path.unlink()
        self.finds("apt repository", "is not under by-hash")

    def test_deb_in_the_pool_with_a_changed_byte(self):
        [deb] = (self.dist / "apt").glob(f"pool/**/drain-init_{VERSION}_arm64.deb")
        flip(deb)
        self.finds("apt repository", "does not have the checksum that Packages has")

    def apt(self, version, dist, out, key, **variables):
        """An apt repository made of the packages in DIST."""
        done(self.tree / "packaging/apt/build",
             env=self.environment | {"VERSION": version, "DIST": str(dist), "OUT": str(out), "APT_SIGNING_KEY_FILE": str(key)} | variables)
        return out

    def test_repository_signed_by_another_key_than_it_shows(self):
        other = self.apt(VERSION, self.dist, self.work / "other", self.other_key)
        shutil.copy(other / "drain-init-archive-keyring.asc", self.dist / "apt")
        self.finds("apt repository", "gpgv exits with")

    def test_repository_without_the_version(self):
        shutil.rmtree(self.dist / "apt")
        self.apt(OLDER, older_debs(self.dist, self.work / "older"), self.dist / "apt", self.key)
        self.finds("apt repository", f"has no drain-init-dumb-init_{VERSION}_all.deb")

    def test_repository_with_another_build_of_the_version(self):
        flip(self.dist / f"drain-init_{VERSION}_amd64.deb")
        self.finds("apt repository", f"has another drain-init_{VERSION}_amd64.deb than dist/")

    def test_repository_that_continues_the_published_one(self):
        published = self.apt(OLDER, older_debs(self.dist, self.work / "older"), self.work / "published", self.key)
        grown = self.apt(VERSION, self.dist, self.work / "grown", self.key, APT_PREVIOUS=str(published))
        said = self.check("--only", "apt repository", "--apt", grown, "--previous", published)
        self.assertIn(f"{OLDER}, {VERSION}", said)

    def test_repository_that_loses_a_published_version(self):
        published = self.apt(OLDER, older_debs(self.dist, self.work / "older"), self.work / "published", self.key)
        alone = self.apt(VERSION, self.dist, self.work / "alone", self.key)
        self.finds("apt repository", f"loses drain-init.*_{OLDER}_", "--apt", alone, "--previous", published)

    def test_repository_with_another_key_than_the_published_one(self):
        published = self.apt(VERSION, self.dist, self.work / "published", self.key)
        alone = self.apt(VERSION, self.dist, self.work / "alone", self.other_key)
        self.finds("apt repository", "gpgv exits with", "--apt", alone, "--previous", published)

    def test_repository_that_another_key_is_added_to_and_the_first_one_taken_from(self):
        both = self.work / "both.asc"
        both.write_text(self.key.read_text() + self.other_key.read_text())
        published = self.apt(OLDER, older_debs(self.dist, self.work / "older"), self.work / "published", self.key)
        grown = self.apt(VERSION, self.dist, self.work / "grown", both, APT_PREVIOUS=str(published))
        self.check("--only", "apt repository", "--apt", grown, "--previous", published)
        changed = self.apt(VERSION, self.dist, self.work / "changed", self.other_key, APT_PREVIOUS=str(grown))
        self.check("--only", "apt repository", "--apt", changed, "--previous", grown)
        # At one stroke it is a change that no client could follow.
        self.finds("apt repository", "gpgv exits with", "--apt", changed, "--previous", published)

    def test_repository_with_a_signature_by_a_key_that_it_does_not_show(self):
        both = self.work / "both.asc"
        both.write_text(self.key.read_text() + self.other_key.read_text())
        alone = self.apt(VERSION, self.dist, self.work / "alone", self.key)
        signed = self.apt(VERSION, self.dist, self.work / "signed", both)
        shutil.copy(alone / "drain-init-archive-keyring.asc", signed)
        self.finds("apt repository", "gpgv exits with", "--apt", signed)

    def test_repository_that_loses_the_published_indices(self):
        published = self.apt(OLDER, older_debs(self.dist, self.work / "older"), self.work / "published", self.key)
        grown = self.apt(VERSION, self.dist, self.work / "grown", self.key, APT_PREVIOUS=str(published))
        digest = hashlib.sha256((published / "dists/stable/main/binary-amd64/Packages.xz").read_bytes()).hexdigest()
        Path(grown, "dists/stable/main/binary-amd64/by-hash/SHA256", digest).unlink()
        self.finds("apt repository", "binary-amd64/Packages.xz under by-hash", "--apt", grown, "--previous", published)

    def rpm(self, out, key, **variables):
        done(self.tree / "packaging/dnf/build", env=self.environment | {"OUT": str(out), "RPM_SIGNING_KEY_FILE": str(key)} | variables)
        return out

    def alpine(self, out, key, **variables):
        done(self.tree / "packaging/alpine/build", env=self.environment | {"OUT": str(out), "APK_SIGNING_KEY_FILE": str(key)} | variables)
        return out

    def test_rpm_repository_with_a_changed_byte_anywhere(self):
        repository = self.dist / "rpm"
        for path, words in ((repository / "repodata/repomd.xml", "gpgv exits with"),
                            (next(repository.glob("repodata/*-primary.xml.gz")), "does not have the checksum that repomd.xml has"),
                            (next(repository.glob("packages/*.aarch64.rpm")), "does not have the checksum that the metadata has")):
            with self.subTest(path.name):
                before = path.read_bytes()
                flip(path)
                self.finds("rpm repository", words)
                path.write_bytes(before)
        self.check("--only", "rpm repository")

    def test_rpm_repository_whose_packages_are_signed_by_another_key(self):
        other = self.rpm(self.work / "other", self.other_rpm_key)
        ours = self.rpm(self.work / "ours", self.rpm_key)
        shutil.copytree(other / "packages", ours / "packages", dirs_exist_ok=True)
        self.finds("rpm repository", "does not have the checksum", "--rpm", ours)
        for path in other.glob("repodata/*"):
            shutil.copy(path, ours / "repodata")
        self.finds("rpm repository", "gpgv exits with", "--rpm", ours)

    def test_rpm_and_apk_repositories_without_the_version_or_with_another_build(self):
        older = older_packages(self.tree, self.dist, self.work / "older", self.environment)
        old = {"VERSION": OLDER, "DIST": str(older)}
        self.finds("rpm repository", "has no drain-init", "--rpm", self.rpm(self.work / "rpm", self.rpm_key, **old))
        self.finds("apk repository", "has no x86_64/drain-init", "--apk", self.alpine(self.work / "alpine", self.apk_key, **old))
        for form in ("rpm", "apk"):
            done(self.tree / "packaging/nfpm/build", form, env=self.environment | {"SOURCE_DATE_EPOCH": "1700000000"})
        self.finds("rpm repository", "has another drain-init.* than dist/")
        self.finds("apk repository", "has another x86_64/drain-init.* than dist/")

    def test_rpm_and_apk_repositories_that_continue_the_published_ones_or_lose_from_them(self):
        older = older_packages(self.tree, self.dist, self.work / "older", self.environment)
        old = {"VERSION": OLDER, "DIST": str(older)}
        rpm, alpine = self.rpm(self.work / "rpm", self.rpm_key, **old), self.alpine(self.work / "alpine", self.apk_key, **old)
        grown = self.rpm(self.work / "grown", self.rpm_key, RPM_PREVIOUS=str(rpm))
        self.check("--only", "rpm repository", "--rpm", grown, "--previous", rpm)
        self.finds("rpm repository", f"loses drain-init.*-{OLDER}-1", "--rpm", self.rpm(self.work / "alone", self.rpm_key), "--previous", rpm)
        next(path for path in grown.glob("repodata/*-primary.xml.gz") if (rpm / "repodata" / path.name).exists()).unlink()
        self.finds("rpm repository", "there is no .*primary", "--rpm", grown, "--previous", rpm)
        grown = self.alpine(self.work / "grown-alpine", self.apk_key, APK_PREVIOUS=str(alpine))
        self.check("--only", "apk repository", "--apk", grown, "--previous", alpine)
        alone = self.alpine(self.work / "alone-alpine", self.apk_key)
        self.finds("apk repository", f"loses .*-{OLDER}-r0", "--apk", alone, "--previous", alpine)
        other = self.alpine(self.work / "other-alpine", self.other_apk_key)
        self.finds("apk repository", "another key than the published one", "--apk", other, "--previous", alpine)

    def test_apk_repository_with_a_changed_byte_or_another_package_than_its_index_names(self):
        index, package = self.dist / "alpine/aarch64/APKINDEX.tar.gz", self.dist / f"alpine/aarch64/drain-init-{VERSION}-r0.apk"
        before = index.read_bytes()
        shutil.copy(self.dist / "alpine/x86_64/APKINDEX.tar.gz", index)
        self.finds("apk repository", "the index for aarch64 does not say what the packages beside it are")
        index.write_bytes(before)
        package.unlink()
        self.finds("apk repository", "the index for aarch64 does not say what the packages beside it are")
        shutil.copy(self.alpine(self.work / "other", self.other_apk_key) / "drain-init.rsa.pub", self.dist / "alpine")
        self.finds("apk repository", "openssl exits with")
