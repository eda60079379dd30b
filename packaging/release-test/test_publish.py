"""What release.yml publishes with, rehearsed: nothing here reaches beyond loopback."""

import json
import re
import shutil
import signal
import subprocess
import threading

from rehearsal import OLDER, VERSION, Rehearsal, done, older_debs, run


class Notes(Rehearsal):
    def changelog(self, text):
        (self.tree / "CHANGELOG.md").write_text(text)

    def test_the_section_of_the_version_and_the_links_it_uses(self):
        self.changelog("# Changelog\n\n## [Unreleased]\n\n- Later.\n\n## [2.0.0] - 2026-02-03\n\n### Added\n\n- New, see [this].\n\n"
                       "## [1.0.0] - 2026-01-02\n\n- Old.\n\n[this]: https://example.org/this\n[2.0.0]: https://example.org/2\n")
        said = self.succeeds("release-notes", "2.0.0")
        self.assertEqual(said, "### Added\n\n- New, see [this].\n\n[this]: https://example.org/this\n")

    def test_a_longer_version_is_another_one(self):
        self.changelog("## [1.0.01] - 2026-01-02\n\n- x\n\n## [1.0.0] - 2026-01-02\n\n- y\n")
        self.assertEqual(self.succeeds("release-notes", "1.0.0"), "- y\n")

    def test_no_section_no_date_no_entry_and_two_sections(self):
        for text, words in [
                ("## [1.0.0] - 2026-01-02\n\n- x\n", "no section"), ("## [2.0.0]\n\n- x\n", "no date"),
                ("## [2.0.0] - 2026-01-02\n\n### Added\n", "is empty"), (2 * "## [2.0.0] - 2026-01-02\n\n- x\n", "2 sections")]:
            with self.subTest(words):
                self.changelog(text)
                self.fails(words, "release-notes", "2.0.0")


class Apt(Rehearsal):
    def setUp(self):
        super().setUp()
        self.remote = self.work / "remote.git"
        done("git", "init", "--quiet", "--bare", self.remote)
        self.variables = {"APT_REMOTE": str(self.remote), "APT_SIGNING_KEY_FILE": str(self.key)}

    def published(self, *arguments):
        return run("git", "-C", self.remote, *arguments).stdout

    def publish_older(self):
        older = older_debs(self.dist, self.work / "older")
        return self.succeeds("publish-apt", VERSION=OLDER, DIST=str(older), **self.variables)

    def test_the_first_version_makes_the_branch_and_the_next_one_keeps_it(self):
        # The first version is not this one: release-check asks for the packages in its DIST.
        said = self.publish_older()
        self.assertIn("this is its first version", said)
        self.succeeds("publish-apt", **self.variables)
        files = self.published("ls-tree", "-r", "--name-only", "gh-pages")
        for version in (OLDER, VERSION):
            for arch in ("amd64", "arm64"):
                self.assertIn(f"pool/main/d/drain-init/drain-init_{version}_{arch}.deb\n", files)
        self.assertIn(".nojekyll\n", files)
        self.assertEqual(self.published("log", "--format=%s", "gh-pages").splitlines(),
                         [f"Publish drain-init {VERSION}", f"Publish drain-init {OLDER}"])
        served = self.tree / "target/published-apt"
        self.assertEqual(sorted(str(path.relative_to(served)) for path in served.rglob("*") if path.is_file()), sorted(files.splitlines()))

    def test_a_second_try_changes_nothing(self):
        self.publish_older()
        self.succeeds("publish-apt", **self.variables)
        before = self.published("rev-parse", "gh-pages")
        shutil.rmtree(self.tree / "target")
        self.assertIn("is published already", self.succeeds("publish-apt", **self.variables))
        self.assertEqual(self.published("rev-parse", "gh-pages"), before)
        self.assertTrue((self.tree / "target/published-apt/dists/stable/InRelease").is_file())

    def test_another_build_of_a_published_version_is_refused(self):
        self.succeeds("publish-apt", **self.variables)
        before = self.published("rev-parse", "gh-pages")
        deb = self.dist / f"drain-init_{VERSION}_amd64.deb"
        done("dpkg-deb", "--raw-extract", deb, self.work / "tree-of-deb")
        (self.work / "tree-of-deb/usr/share/doc/drain-init/stray").touch()
        done("dpkg-deb", "--build", "--root-owner-group", self.work / "tree-of-deb", deb)
        self.fails("published with other contents", "publish-apt", **self.variables)
        self.assertEqual(self.published("rev-parse", "gh-pages"), before)

    def test_another_key_is_refused(self):
        self.publish_older()
        before = self.published("rev-parse", "gh-pages")
        self.fails("not signed by the key given now", "publish-apt",
                   **self.variables | {"APT_SIGNING_KEY_FILE": str(self.other_key)})
        self.assertEqual(self.published("rev-parse", "gh-pages"), before)

    def test_without_a_key_nothing_is_published(self):
        self.fails("no APT_SIGNING_KEY", "publish-apt", APT_REMOTE=str(self.remote))
        self.assertEqual(self.published("branch", "--list"), "")

    def test_the_key_itself_in_the_environment_does_and_is_written_nowhere(self):
        key = self.key.read_text()
        said = self.succeeds("publish-apt", APT_REMOTE=str(self.remote), APT_SIGNING_KEY=key)
        line = key.splitlines()[3]
        self.assertNotIn(line, said)
        self.assertNotEqual(run("git", "-C", self.remote, "grep", "-q", "PRIVATE KEY", "gh-pages").returncode, 0)
        self.assertNotEqual(run("grep", "-rqF", line, self.tree, self.dist, self.remote).returncode, 0)

    def test_a_remote_that_does_not_answer_is_no_first_version(self):
        self.fails("git could not ask", "publish-apt", **self.variables | {"APT_REMOTE": str(self.work / "nowhere")})

    def test_a_dry_run_pushes_nothing(self):
        said = self.succeeds("publish-apt", DRY_RUN="1", **self.variables)
        self.assertIn("would push", said)
        self.assertEqual(self.published("branch", "--list"), "")
        self.assertTrue((self.tree / "target/published-apt/dists/stable/InRelease").is_file())


class Image(Rehearsal):
    def tags(self, *others):
        """The tags that are due when the OTHERS are released as well."""
        self.git("tag", "--delete", f"v{VERSION}")
        for other in others:
            self.git("tag", other)
        said = self.succeeds("publish-image", DRY_RUN="1")
        return said.split("with the tags: ")[1].split()

    def setUp(self):
        super().setUp()
        major, minor, patch = (int(part) for part in VERSION.split("."))
        self.major, self.minor = f"{major}", f"{major}.{minor}"
        self.next = {"patch": f"v{major}.{minor}.{patch + 1}", "minor": f"v{major}.{minor + 1}.0", "major": f"v{major + 1}.0.0"}

    def test_the_first_version_gets_every_tag(self):
        self.assertEqual(self.tags(), [VERSION, self.minor, self.major, "latest"])

    def test_an_older_one_and_tags_of_other_forms_change_nothing(self):
        self.assertEqual(self.tags("v0.0.9", "v99.0.0-rc1", "nightly", "99.0.0", "v99.0"), [VERSION, self.minor, self.major, "latest"])

    def test_a_newer_patch_keeps_all_but_the_version(self):
        self.assertEqual(self.tags(self.next["patch"]), [VERSION])

    def test_a_newer_minor_keeps_major_and_latest(self):
        self.assertEqual(self.tags(self.next["minor"]), [VERSION, self.minor])

    def test_a_newer_major_keeps_latest(self):
        self.assertEqual(self.tags(self.next["major"]), [VERSION, self.minor, self.major])

    def test_versions_are_compared_as_numbers(self):
        self.assertEqual(self.tags(f"v{self.minor}.10", f"v{self.minor}.9"), [VERSION])

    def test_the_digests_are_those_of_the_archive(self):
        said = dict(line.split("=") for line in self.succeeds("publish-image", "--digests").splitlines())
        self.assertEqual(sorted(said), ["amd64", "arm64", "index"])
        self.assertEqual(said["index"], (self.dist / f"drain-init-{VERSION}.oci.digest").read_text().strip())

    def registry(self):
        """An empty registry on a free port of loopback; returns its address."""
        (self.work / "registry.yml").write_text(
            f"version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {self.work}/registry}}}}\n"
            "http: {addr: '127.0.0.1:0'}\n")
        process = subprocess.Popen(
            ["docker-registry", "serve", self.work / "registry.yml"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.wait, 30)
        self.addCleanup(process.send_signal, signal.SIGTERM)
        for line in process.stderr:
            found = re.search(r"listening on (127\.0\.0\.1:\d+)", line)
            if found:
                # It logs on, and must not wait for a reader.
                threading.Thread(target=lambda: (process.stderr.read(), process.stderr.close()), daemon=True).start()
                return found[1]
        raise AssertionError("the registry ended before it listened")

    def test_the_image_is_in_the_registry_under_its_digest_and_all_tags(self):
        image = f"{self.registry()}/drain-init/drain-init"
        variables = {"IMAGE": image, "SKOPEO_ARGUMENTS": "--dest-tls-verify=false"}
        said = self.succeeds("publish-image", **variables)
        digest = (self.dist / f"drain-init-{VERSION}.oci.digest").read_text().strip()
        listed = json.loads(done("skopeo", "list-tags", "--tls-verify=false", f"docker://{image}"))["Tags"]
        self.assertEqual(sorted(listed), sorted([VERSION, self.minor, self.major, "latest"]))
        self.assertEqual(said.count(digest), 4)
        for reference in (f"@{digest}", f":{VERSION}", ":latest"):
            index = json.loads(done("skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{image}{reference}"))
            self.assertEqual([entry["platform"]["architecture"] for entry in index["manifests"]], ["amd64", "arm64"])
        self.succeeds("publish-image", **variables)
        # Another image under the same version.
        done("skopeo", "copy", "--quiet", "--dest-tls-verify=false",
             f"oci-archive:{self.dist}/drain-init-{VERSION}.oci.tar", f"docker://{image}:{VERSION}")
        self.fails("a new build needs a new version", "publish-image", **variables)

    def test_a_registry_that_does_not_answer(self):
        self.fails("could not be asked", "publish-image", IMAGE="127.0.0.1:9/drain-init", SKOPEO_ARGUMENTS="--dest-tls-verify=false")


class Release(Rehearsal):
    STUB = """#!/bin/sh
printf '%s\\n' "$*" >>"$CALLS"
case "$1 $2 $STATE" in
    'release view draft') echo true ;;
    'release view published') echo false ;;
    'release view none') echo 'release not found' >&2; exit 1 ;;
    'release view '*) echo 'HTTP 502' >&2; exit 1 ;;
esac
"""

    def publish(self, state):
        stub = self.work / "gh"
        stub.write_text(self.STUB)
        stub.chmod(0o755)
        self.calls = self.work / "calls"
        return {"GH": str(stub), "CALLS": str(self.calls), "STATE": state}

    def test_a_draft_with_every_file_is_made_and_then_shown(self):
        self.succeeds("publish-release", **self.publish("none"))
        view, create, edit = self.calls.read_text().splitlines()
        self.assertTrue(create.startswith(f"release create v{VERSION} --verify-tag --draft "), create)
        for path in self.dist.iterdir():
            if path.is_file():
                self.assertIn(f" {path.name}", create)
        self.assertEqual(edit, f"release edit v{VERSION} --draft=false --latest=true")

    def test_a_draft_of_an_earlier_try_is_replaced(self):
        self.succeeds("publish-release", **self.publish("draft"))
        self.assertEqual(self.calls.read_text().splitlines()[1], f"release delete v{VERSION} --yes")

    def test_a_published_release_is_left_alone(self):
        self.fails("is released already", "publish-release", **self.publish("published"))
        self.assertEqual(len(self.calls.read_text().splitlines()), 1)

    def test_no_answer_is_not_taken_for_no_release(self):
        self.fails("gh could not ask", "publish-release", **self.publish("broken"))
        self.assertEqual(len(self.calls.read_text().splitlines()), 1)

    def test_a_fix_of_an_older_version_is_not_the_latest(self):
        self.git("tag", "v99.0.0")
        self.succeeds("publish-release", **self.publish("none"))
        self.assertTrue(self.calls.read_text().endswith("--latest=false\n"))

    def test_a_damaged_file_is_not_released(self):
        with (self.dist / "drain-init-amd64").open("ab") as file:
            file.write(b"x")
        self.fails("does not fit its SHA256SUMS", "publish-release", **self.publish("none"))
        self.assertFalse(self.calls.exists())


class Rebuild(Rehearsal):
    def make(self, recipe):
        """A release whose `make dist` is this recipe."""
        (self.tree / "Makefile").write_text(f"dist:\n\tmkdir -p dist\n\t{recipe}\n")
        self.git("commit", "--quiet", "--all", "--message", "A small release")
        self.git("tag", "--force", f"v{VERSION}")
        sums = self.work / "SUMS"
        sums.write_text("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824  drain-init-amd64\n")
        return {"SUMS": str(sums)}

    def test_the_same_again(self):
        variables = self.make("printf hello >dist/drain-init-amd64")
        self.assertIn("byte for byte as published", self.succeeds("rebuild-check", **variables))
        self.assertEqual(self.git("worktree", "list", "--porcelain").count("worktree "), 1)
        self.assertEqual(list((self.tree / "target").iterdir()), [])

    def test_another_byte(self):
        self.fails("is not what it was when it was released", "rebuild-check", **self.make("printf hallo >dist/drain-init-amd64"))

    def test_a_build_that_fails(self):
        self.fails("can no longer be built", "rebuild-check", **self.make("false"))

    def test_no_release_yet(self):
        self.git("tag", "--delete", f"v{VERSION}")
        self.assertIn("nothing is released yet", self.succeeds("rebuild-check"))
