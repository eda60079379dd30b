"""What the rehearsals share: a clean tree under git, a copy of dist/, a signing key."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
VERSION = os.environ["VERSION"]
OLDER = "0.0.1"
# The names of dist/drain-init-NAME.
ARCHITECTURES = subprocess.run([TOP / "packaging/architectures", "name"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def run(*command, env=None, cwd=None):
    """COMMAND as it ends, with all that it says in `stdout`."""
    return subprocess.run(
        [str(word) for word in command], env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", timeout=300, check=False)


def done(*command, **options):
    """What COMMAND says; an error when it fails."""
    ended = run(*command, **options)
    if ended.returncode != 0:
        raise AssertionError(f"{command} exits with {ended.returncode}:\n{ended.stdout}")
    return ended.stdout


def make_key(directory, name, algorithm="ed25519"):
    """An ASCII-armoured private key, older than any signature here."""
    with tempfile.TemporaryDirectory(prefix="rk.", dir="/tmp") as home:
        gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
        try:
            done(*gpg, "--faked-system-time", "1577836800!", "--quick-generate-key", name, algorithm, "sign", "never")
            path = Path(directory, f"{name}.asc")
            done(*gpg, "--armor", "--output", path, "--export-secret-keys")
        finally:
            run("gpgconf", "--homedir", home, "--kill", "all")
    return path


def older_debs(dist, directory):
    """The packages of DIST as version 0.0.1, into DIRECTORY."""
    directory.mkdir()
    for deb in dist.glob("*.deb"):
        tree = directory / "tree"
        done("dpkg-deb", "--raw-extract", deb, tree)
        control = tree / "DEBIAN/control"
        control.write_text(control.read_text().replace(VERSION, OLDER))
        done("dpkg-deb", "--build", "--root-owner-group", "-Znone", tree, directory / deb.name.replace(VERSION, OLDER))
        shutil.rmtree(tree)
    return directory


def older_packages(tree, dist, directory, environment):
    """The packages of every kind, as version 0.0.1, into DIRECTORY."""
    older_debs(dist, directory)
    for binary in dist.glob("drain-init-*"):
        if "." not in binary.name:
            shutil.copy2(binary, directory)
    for form in ("rpm", "apk"):
        done(tree / "packaging/nfpm/build", form, env=environment | {"VERSION": OLDER, "DIST": str(directory)})
    return directory


def fit_sizes(tree):
    """Lets TREE's pages quote the sizes of this dist/, as `make bench` does before a release."""
    spec = spec_from_loader("release_check", SourceFileLoader("release_check", str(TOP / "packaging/release-check")))
    check = module_from_spec(spec)
    spec.loader.exec_module(check)
    for name, size in check.sizes().items():
        for page, words in check.QUOTED[name]:
            text = (tree / page).read_text()
            found = re.search(words, text)
            (tree / page).write_text(text[:found.start(1)] + f"{size:,}" + text[found.end(1):])


class Rehearsal(unittest.TestCase):
    """Each test has a tree of its own, committed and tagged, and may break it and its dist/."""

    @classmethod
    def setUpClass(cls):
        cls.shared = Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="rt.", dir="/var/tmp")))
        cls.key = make_key(cls.shared, "ours")
        cls.other_key = make_key(cls.shared, "other")
        cls.rpm_key = make_key(cls.shared, "rpm", "rsa3072")
        cls.other_rpm_key = make_key(cls.shared, "other-rpm", "rsa3072")
        cls.apk_key, cls.other_apk_key = cls.shared / "apk.pem", cls.shared / "other-apk.pem"
        for key in (cls.apk_key, cls.other_apk_key):
            done("openssl", "genrsa", "-out", key, "3072")
        # What the tools are installed into is made once, for all trees.
        done(TOP / "packaging/venv", "nfpm")
        cls.pristine = cls.shared / "pristine"
        files = subprocess.run(["git", "-C", TOP, "ls-files", "-z"], stdout=subprocess.PIPE, check=True).stdout
        for name in files.decode().rstrip("\0").split("\0"):
            if (TOP / name).is_file():
                (cls.pristine / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(TOP / name, cls.pristine / name)
        fit_sizes(cls.pristine)
        git = ["git", "-C", cls.pristine, "-c", "user.name=rehearsal", "-c", "user.email=rehearsal@localhost"]
        done("git", "init", "--quiet", "--initial-branch", "main", cls.pristine)
        done(*git, "add", "--all")
        done(*git, "-c", "commit.gpgsign=false", "commit", "--quiet", "--message", "A release")
        done(*git, "-c", "tag.gpgsign=false", "tag", f"v{VERSION}")

    def setUp(self):
        self.work = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="rt.", dir="/var/tmp")))
        self.tree = self.work / "tree"
        self.dist = self.work / "dist"
        shutil.copytree(self.pristine, self.tree, symlinks=True)
        (self.tree / "target").mkdir()
        (self.tree / "target/venv-nfpm").symlink_to(TOP / "target/venv-nfpm")
        # As `make dist` leaves it: a signature would be of an earlier rehearsal.
        shutil.copytree(os.environ["DIST"], self.dist, ignore=shutil.ignore_patterns("SHA256SUMS.asc"))
        self.environment = {
            key: value for key, value in os.environ.items()
            if not key.startswith(("APK_", "APT_", "RPM_", "GH_", "GITHUB_", "IMAGE", "REGISTRY_", "MAKE", "TAG"))}
        # What skopeo remembers of a registry would be a leftover below the user's.
        self.environment |= {"DIST": str(self.dist), "GIT_CONFIG_GLOBAL": "/dev/null", "XDG_DATA_HOME": str(self.work / "data")}

    def script(self, name, *arguments, **variables):
        """How the tree's packaging/NAME ends."""
        return run(self.tree / "packaging" / name, *arguments, env=self.environment | variables, cwd=self.tree)

    def succeeds(self, name, *arguments, **variables):
        ended = self.script(name, *arguments, **variables)
        self.assertEqual(ended.returncode, 0, ended.stdout)
        return ended.stdout

    def fails(self, words, name, *arguments, **variables):
        """The script fails, and says WORDS, a regular expression, in one line."""
        ended = self.script(name, *arguments, **variables)
        self.assertNotEqual(ended.returncode, 0, ended.stdout)
        self.assertRegex(ended.stdout, words)
        return ended.stdout

    def git(self, *arguments):
        return done("git", "-C", self.tree, "-c", "user.name=rehearsal", "-c", "user.email=rehearsal@localhost",
                    "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false", *arguments)
