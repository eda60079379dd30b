"""What release.yml publishes with, rehearsed: nothing here reaches beyond loopback."""

import hashlib
import json
import re
import shutil
import signal
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from rehearsal import ARCHITECTURES, OLDER, VERSION, Rehearsal, done, older_packages, run


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
        self.variables = {"APT_REMOTE": str(self.remote), "APT_SIGNING_KEY_FILE": str(self.key),
                          "RPM_SIGNING_KEY_FILE": str(self.rpm_key), "APK_SIGNING_KEY_FILE": str(self.apk_key)}

    def published(self, *arguments):
        return run("git", "-C", self.remote, *arguments).stdout

    def publish_older(self):
        older = older_packages(self.tree, self.dist, self.work / "older", self.environment)
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
            for cpu in ("x86_64", "aarch64"):
                self.assertIn(f"rpm/packages/drain-init-{version}-1.{cpu}.rpm\n", files)
                self.assertIn(f"alpine/{cpu}/drain-init-dumb-init-{version}-r0.apk\n", files)
        self.assertIn(".nojekyll\n", files)
        self.assertEqual(self.published("log", "--format=%s", "gh-pages").splitlines(),
                         [f"Publish drain-init {VERSION}", f"Publish drain-init {OLDER}"])

    def test_a_second_try_changes_nothing(self):
        self.publish_older()
        self.succeeds("publish-apt", **self.variables)
        before = self.published("rev-parse", "gh-pages")
        self.assertIn("is published already", self.succeeds("publish-apt", **self.variables))
        self.assertEqual(self.published("rev-parse", "gh-pages"), before)

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
        for name, other in (("APT", self.other_key), ("RPM", self.other_rpm_key), ("APK", self.other_apk_key)):
            with self.subTest(name):
                self.fails("not signed by the key given now", "publish-apt", **self.variables | {f"{name}_SIGNING_KEY_FILE": str(other)})
                self.assertEqual(self.published("rev-parse", "gh-pages"), before)

    def test_without_each_of_the_keys_nothing_is_published(self):
        for name in ("APT", "RPM", "APK"):
            with self.subTest(name):
                self.fails(f"no {name}_SIGNING_KEY", "publish-apt", **self.variables | {f"{name}_SIGNING_KEY_FILE": ""})
                self.assertEqual(self.published("branch", "--list"), "")

    def test_the_keys_themselves_in_the_environment_do_and_are_written_nowhere(self):
        keys = {"APT": self.key.read_text(), "RPM": self.rpm_key.read_text(), "APK": self.apk_key.read_text()}
        said = self.succeeds("publish-apt", APT_REMOTE=str(self.remote), **{f"{name}_SIGNING_KEY": key for name, key in keys.items()})
        self.assertNotEqual(run("git", "-C", self.remote, "grep", "-q", "PRIVATE KEY", "gh-pages").returncode, 0)
        for key in keys.values():
            line = key.splitlines()[3]
            self.assertNotIn(line, said)
            self.assertNotEqual(run("grep", "-rqF", line, self.tree, self.dist, self.remote).returncode, 0)

    def test_an_apt_repository_published_before_the_others_gains_them(self):
        self.publish_older()
        clone = self.work / "clone"
        done("git", "clone", "--quiet", "--branch", "gh-pages", self.remote, clone)
        git = ("git", "-C", clone, "-c", "user.name=rehearsal", "-c", "user.email=rehearsal@localhost")
        done(*git, "rm", "-qr", "rpm", "alpine")
        done(*git, "-c", "commit.gpgsign=false", "commit", "-qm", "As it was")
        done(*git, "push", "-q", "origin", "gh-pages")
        self.succeeds("publish-apt", **self.variables)
        files = self.published("ls-tree", "-r", "--name-only", "gh-pages")
        self.assertIn(f"drain-init_{OLDER}_amd64.deb\n", files)
        self.assertIn(f"rpm/packages/drain-init-{VERSION}-1.x86_64.rpm\n", files)
        self.assertIn(f"alpine/x86_64/drain-init-{VERSION}-r0.apk\n", files)

    def test_a_remote_that_does_not_answer_is_no_first_version(self):
        self.fails("git could not ask", "publish-apt", **self.variables | {"APT_REMOTE": str(self.work / "nowhere")})

    def test_a_dry_run_pushes_nothing(self):
        said = self.succeeds("publish-apt", DRY_RUN="1", **self.variables)
        self.assertIn("would push", said)
        self.assertEqual(self.published("branch", "--list"), "")


class Pages(Rehearsal):
    """`gh workflow run` is a stub that lets the site have what TO_SERVE has."""

    STUB = """#!/bin/sh
printf '%s\\n' "$*" >>"$CALLS"
[ -z "$TO_SERVE" ] || cp -R "$TO_SERVE/." "$SITE"
"""

    def setUp(self):
        super().setUp()
        self.site = self.work / "site"
        self.site.mkdir()
        self.calls = self.work / "calls"
        stub = self.work / "gh"
        stub.write_text(self.STUB)
        stub.chmod(0o755)
        self.variables = {"GH": str(stub), "CALLS": str(self.calls), "SITE": str(self.site), "APT_URL": f"file://{self.site}",
                          "TO_SERVE": str(self.dist / "apt"), "PAGES_WAIT": "60"}

    def test_the_deployment_runs_on_the_default_branch_and_is_waited_for(self):
        self.succeeds("publish-pages", **self.variables)
        # Without --ref it is the default branch, which the environment github-pages admits.
        self.assertEqual(self.calls.read_text(), "workflow run pages.yml\n")

    def test_what_is_served_already_is_not_deployed_again(self):
        shutil.copytree(self.dist / "apt", self.site, dirs_exist_ok=True)
        self.assertIn("already", self.succeeds("publish-pages", **self.variables))
        self.assertFalse(self.calls.exists())

    def test_another_build_of_the_version_is_not_taken_for_it(self):
        shutil.copytree(self.dist / "apt", self.site, dirs_exist_ok=True)
        with (self.dist / f"drain-init_{VERSION}_arm64.deb").open("ab") as deb:
            deb.write(b"x")
        self.fails("the index for arm64 does not name this", "publish-pages", **self.variables | {"PAGES_WAIT": "0"})

    def test_a_deployment_that_does_not_come_is_an_error(self):
        self.fails("does not have version", "publish-pages", **self.variables | {"TO_SERVE": "", "PAGES_WAIT": "0"})

    def test_a_dry_run_starts_nothing(self):
        self.assertIn("would have gh-pages deployed", self.succeeds("publish-pages", DRY_RUN="1", **self.variables))
        self.assertFalse(self.calls.exists())


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
        self.assertEqual(set(said), {*ARCHITECTURES, "index"})
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

    def skopeo(self, *words):
        return done("skopeo", *words, env=self.environment)

    def test_the_image_is_in_the_registry_under_its_digest_and_all_tags(self):
        image = f"{self.registry()}/drain-init/drain-init"
        variables = {"IMAGE": image, "SKOPEO_ARGUMENTS": "--dest-tls-verify=false"}
        said = self.succeeds("publish-image", **variables)
        digest = (self.dist / f"drain-init-{VERSION}.oci.digest").read_text().strip()
        listed = json.loads(self.skopeo("list-tags", "--tls-verify=false", f"docker://{image}"))["Tags"]
        self.assertEqual(sorted(listed), sorted([VERSION, self.minor, self.major, "latest"]))
        self.assertEqual(said.count(digest), 4)
        for reference in (f"@{digest}", f":{VERSION}", ":latest"):
            index = json.loads(self.skopeo("inspect", "--tls-verify=false", "--raw", f"docker://{image}{reference}"))
            self.assertEqual(len(index["manifests"]), len(ARCHITECTURES))
        self.succeeds("publish-image", **variables)
        # Another image under the same version.
        self.skopeo("copy", "--quiet", "--dest-tls-verify=false",
                    f"oci-archive:{self.dist}/drain-init-{VERSION}.oci.tar", f"docker://{image}:{VERSION}")
        self.fails("a new build needs a new version", "publish-image", **variables)

    def test_a_registry_that_does_not_answer(self):
        self.fails("could not be asked", "publish-image", IMAGE="127.0.0.1:9/drain-init", SKOPEO_ARGUMENTS="--dest-tls-verify=false")


class ImageSignature(Rehearsal):
    """cosign is a stub: `verify` holds when the file SIGNED is there, which `sign` makes."""

    STUB = """#!/bin/sh
printf '%s\\n' "$*" >>"$CALLS"
case $1 in
    sign) [ -z "$WORKS" ] || touch "$SIGNED" ;;
    verify) [ -e "$SIGNED" ] ;;
esac
"""

    def setUp(self):
        super().setUp()
        stub = self.work / "cosign"
        stub.write_text(self.STUB)
        stub.chmod(0o755)
        self.calls = self.work / "calls"
        self.variables = {"COSIGN": str(stub), "CALLS": str(self.calls), "SIGNED": str(self.work / "signed"), "WORKS": "1"}
        self.digest = (self.dist / f"drain-init-{VERSION}.oci.digest").read_text().strip()

    def test_the_index_and_its_images_are_signed_by_digest_and_verified(self):
        self.succeeds("sign-image", **self.variables)
        before, sign, after = self.calls.read_text().splitlines()
        self.assertEqual(sign, f"sign --yes --recursive ghcr.io/drain-init/drain-init@{self.digest}")
        self.assertEqual(before, after)
        self.assertIn(f"release.yml@refs/tags/v{VERSION} ", after)
        self.assertIn("is signed already", self.succeeds("sign-image", **self.variables))
        self.assertEqual(self.calls.read_text().count("sign --yes"), 1)

    def test_a_signature_that_does_not_verify_is_an_error(self):
        self.fails("does not verify", "sign-image", **self.variables | {"WORKS": ""})

    def test_the_login_lies_where_docker_has_it_and_the_token_on_no_command_line(self):
        (self.work / "bin").mkdir()
        stub = self.work / "bin/skopeo"
        stub.write_text("""#!/bin/sh
[ "$(cat)" = a-token ] && printf '%s\\n' "$*" >>"$CALLS"
""")
        stub.chmod(0o755)
        self.succeeds("sign-image", "--login", **self.variables, PATH=f"{stub.parent}:{self.environment['PATH']}",
                      HOME=str(self.work), IMAGE="ghcr.io/x/y", REGISTRY_USER="somebody", REGISTRY_TOKEN="a-token")
        self.assertEqual(self.calls.read_text(),
                         f"login --authfile {self.work}/.docker/config.json --username somebody --password-stdin ghcr.io\n")
        self.assertTrue((self.work / ".docker").is_dir())

    def test_a_dry_run_signs_nothing(self):
        self.assertIn(f"would sign ghcr.io/drain-init/drain-init@{self.digest}",
                      self.succeeds("sign-image", DRY_RUN="1", **self.variables))
        self.assertFalse(self.calls.exists())


class Release(Rehearsal):
    STUB = """#!/bin/sh
printf '%s\\n' "$*" >>"$CALLS"
case "$1 $2 $STATE" in
    'release view draft') echo true ;;
    'release view published')
        case $5 in
            isDraft) echo false ;;
            assets) (cd "$RELEASED" && ls) ;;
        esac ;;
    'release download published') cp "$RELEASED/SHA256SUMS" "$7" ;;
    'release view none') echo 'release not found' >&2; exit 1 ;;
    'release view '*) echo 'HTTP 502' >&2; exit 1 ;;
esac
"""

    def setUp(self):
        super().setUp()
        self.succeeds("sign-sums", APT_SIGNING_KEY_FILE=str(self.key))

    def publish(self, state):
        stub = self.work / "gh"
        stub.write_text(self.STUB)
        stub.chmod(0o755)
        self.calls = self.work / "calls"
        return {"GH": str(stub), "CALLS": str(self.calls), "STATE": state, "RELEASED": str(self.work / "released")}

    def released(self):
        """A release with the files of dist/, as an earlier try made it."""
        shutil.copytree(self.dist, self.work / "released", ignore=shutil.ignore_patterns("apt", "rpm", "alpine"))
        return self.work / "released"

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

    def test_a_published_release_with_the_same_files_is_left_as_it_is(self):
        self.released()
        self.assertIn("is released already", self.succeeds("publish-release", **self.publish("published")))
        self.assertNotRegex(self.calls.read_text(), "create|edit|delete|upload")

    def test_a_published_release_with_other_files_is_an_error(self):
        released = self.released()
        hidden = (released / "drain-init-arm64").rename(self.work / "hidden")
        self.fails("released already, with other files", "publish-release", **self.publish("published"))
        hidden.rename(released / "drain-init-arm64")
        self.succeeds("publish-release", **self.publish("published"))
        (released / "SHA256SUMS").write_text((released / "SHA256SUMS").read_text().replace("a", "b"))
        self.fails("released already, with other files", "publish-release", **self.publish("published"))
        self.assertNotRegex(self.calls.read_text(), "create|edit|delete|upload")

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

    def test_without_a_signature_nothing_is_released(self):
        (self.dist / "SHA256SUMS.asc").unlink()
        self.fails("no SHA256SUMS.asc", "publish-release", **self.publish("none"))
        self.assertFalse(self.calls.exists())


class Sums(Rehearsal):
    def test_the_checksums_are_signed_by_every_key_and_by_no_other(self):
        both = self.work / "both.asc"
        both.write_text(self.key.read_text() + self.other_key.read_text())
        for key, signatures in ((self.key, 1), (both, 2)):
            self.succeeds("sign-sums", APT_SIGNING_KEY_FILE=str(key))
            home = self.work / f"home-{signatures}"
            home.mkdir(mode=0o700)
            self.addCleanup(run, "gpgconf", "--homedir", home, "--kill", "all")
            done("gpg", "--homedir", home, "--batch", "--quiet", "--import", key)
            said = done("gpg", "--homedir", home, "--batch", "--status-fd", "1", "--verify", self.dist / "SHA256SUMS.asc",
                        self.dist / "SHA256SUMS")
            self.assertEqual(said.count("[GNUPG:] VALIDSIG "), signatures)

    def test_without_a_key_and_for_a_damaged_file_nothing_is_signed(self):
        self.fails("no APT_SIGNING_KEY", "sign-sums")
        with (self.dist / "drain-init-amd64").open("ab") as file:
            file.write(b"x")
        self.fails("does not fit its SHA256SUMS", "sign-sums", APT_SIGNING_KEY_FILE=str(self.key))
        self.assertFalse((self.dist / "SHA256SUMS.asc").exists())


class Indexed(Rehearsal):
    """For what goes to an index of packages: self.index is one, of files, on loopback."""

    def setUp(self):
        super().setUp()
        self.files = self.work / "index"
        self.files.mkdir()
        quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(self.files)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.index = f"http://127.0.0.1:{server.server_port}"
        self.calls = self.work / "calls"
        self.environment |= {"CALLS": str(self.calls), "no_proxy": "127.0.0.1"}

    def stub(self, text):
        path = self.work / "stub"
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def called(self):
        return self.calls.read_text() if self.calls.exists() else ""


class Wheels(Indexed):
    def setUp(self):
        super().setUp()
        stub = self.stub('#!/bin/sh\nprintf "%s\\n" "$*" >>"$CALLS"\n')
        self.variables = {"PYPI_INDEX": self.index, "TWINE": stub}
        self.wheels = sorted(self.dist.glob("*.whl"))

    def publish(self, *wheels, digest=None):
        """The index has the WHEELS, with their digests or with this one."""
        (self.files / "drain-init").mkdir(exist_ok=True)
        # index.html is what the server has for a directory, whatever it holds.
        (self.files / "drain-init/index.html").write_text(json.dumps({"files": [
            {"filename": wheel.name, "hashes": {"sha256": digest or hashlib.sha256(wheel.read_bytes()).hexdigest()}}
            for wheel in wheels]}))

    def uploads(self):
        return [line for line in self.called().splitlines() if line.startswith("upload ")]

    def test_the_first_version_uploads_both_wheels(self):
        self.succeeds("wheel/publish", **self.variables)
        [upload] = self.uploads()
        for wheel in self.wheels:
            self.assertIn(str(wheel), upload)
            self.assertIn(str(wheel), self.called().splitlines()[0])

    def test_what_is_there_is_not_uploaded_again(self):
        self.publish(self.wheels[0])
        self.succeeds("wheel/publish", **self.variables)
        [upload] = self.uploads()
        self.assertNotIn(self.wheels[0].name, upload)
        self.assertIn(self.wheels[1].name, upload)
        self.publish(*self.wheels)
        self.succeeds("wheel/publish", **self.variables)
        self.assertEqual(len(self.uploads()), 1)

    def test_another_build_of_a_published_wheel_is_refused(self):
        self.publish(*self.wheels, digest=64 * "0")
        self.fails("published with other contents", "wheel/publish", **self.variables)
        self.assertEqual(self.uploads(), [])

    def test_an_index_that_does_not_answer_is_not_taken_for_an_empty_one(self):
        self.fails("could not be asked", "wheel/publish", **self.variables | {"PYPI_INDEX": "http://127.0.0.1:9"})
        self.assertEqual(self.uploads(), [])

    def test_a_dry_run_uploads_nothing(self):
        self.assertIn("would upload", self.succeeds("wheel/publish", DRY_RUN="1", **self.variables))
        self.assertEqual(self.uploads(), [])


class Crate(Indexed):
    def setUp(self):
        super().setUp()
        # Packs as cargo does, and uploads nothing.
        stub = self.stub('#!/bin/sh\ncase $1 in package) exec cargo "$@" ;; esac\nprintf "%s\\n" "$*" >>"$CALLS"\n')
        self.variables = {"CRATES_INDEX": self.index, "CARGO": stub}

    def publish(self, version, digest):
        (self.files / "dr/ai").mkdir(parents=True, exist_ok=True)
        with (self.files / "dr/ai/drain-init").open("a") as file:
            file.write(json.dumps({"name": "drain-init", "vers": version, "cksum": digest}) + "\n")

    def digest(self):
        said = self.succeeds("publish-crate", DRY_RUN="1", **self.variables)
        self.assertEqual(self.called(), "")
        return re.search(rf"would upload drain-init-{re.escape(VERSION)}.crate, ([0-9a-f]{{64}})", said)[1]

    def test_a_version_that_is_not_there_is_uploaded_and_one_that_is_is_not(self):
        digest = self.digest()
        self.publish(OLDER, 64 * "0")
        self.succeeds("publish-crate", **self.variables)
        self.assertTrue(self.called().startswith("publish --locked "), self.called())
        self.publish(VERSION, digest)
        self.assertIn("is published already", self.succeeds("publish-crate", **self.variables))
        self.assertEqual(len(self.called().splitlines()), 1)

    def test_another_crate_of_the_version_is_refused(self):
        self.publish(VERSION, 64 * "0")
        self.fails("a new build needs a new version", "publish-crate", **self.variables)
        self.assertEqual(self.called(), "")

    def test_an_index_that_does_not_answer_is_not_taken_for_an_empty_one(self):
        self.fails("could not be asked", "publish-crate", **self.variables | {"CRATES_INDEX": "http://127.0.0.1:9"})
        self.assertEqual(self.called(), "")


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
        self.assertEqual([path.name for path in (self.tree / "target").iterdir()], ["venv-nfpm"])

    def test_another_byte(self):
        self.fails("is not what it was when it was released", "rebuild-check", **self.make("printf hallo >dist/drain-init-amd64"))

    def test_a_build_that_fails(self):
        self.fails("can no longer be built", "rebuild-check", **self.make("false"))

    def test_no_release_yet(self):
        self.git("tag", "--delete", f"v{VERSION}")
        self.assertIn("nothing is released yet", self.succeeds("rebuild-check"))
