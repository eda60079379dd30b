"""Every file in examples/ is run, or validated against its platform's schema.

Each file must also be consistent: drain-init accepts the options, the delay is 5 to
15 s, and delay and stop together are shorter than the grace period.
"""
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

import botocore.session
import botocore.validate
import celpy
import kubernetes_validate
import yaml

from harness import HERE, INIT, ROOT, Run, Stopping, get, wait_for

EXAMPLES = ROOT / "examples"
# Files that this suite covers; test_every_file_has_a_test adds packaging's.
COVERED = {
    "README.md", "Procfile", "Dockerfile.distroless", "Dockerfile.stop-command", "deployment.yaml", "deployment-image-volume.yaml",
    "kubernetes-policy.yaml", "pod-init-container.yaml", "compose.yaml", "compose-init-container.yaml", "ecs-task-definition.json", "web.service",
}
KUBERNETES = "1.37"


def seconds(duration):
    """A duration as drain-init and Compose write it, in seconds."""
    units = {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600}
    parts = re.findall(r"([\d.]+)(ms|s|m|h|)", str(duration))
    assert "".join(map("".join, parts)) == str(duration), duration
    return sum(float(number) * units[unit] for number, unit in parts)


class Example(unittest.TestCase):
    def check_drain(self, grace, words=(), environment=None):
        """drain-init accepts these words and variables, and the times fit the grace period."""
        environment = {name: value for name, value in (environment or {}).items() if name.startswith("DRAIN_INIT_")}
        words = list(words)
        options = words[1:words.index("--")] if words else []
        if words:
            self.assertEqual(pathlib.Path(words[0]).name, "drain-init")
        # With a command that exists on this machine.
        run = subprocess.run([INIT, *options, "--", "/bin/true"], env={"PATH": os.environ["PATH"], **environment},
                             stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.assertEqual((run.returncode, run.stderr), (0, ""))

        def setting(name):
            if f"--{name}" in options:
                return options[options.index(f"--{name}") + 1]
            return environment.get("DRAIN_INIT_" + name.upper().replace("-", "_"))

        delay = seconds(setting("delay-term"))
        self.assertTrue(5 <= delay <= 15, f"a delay of {delay} s")
        self.assertLess(delay + seconds(setting("kill-after") or 0), grace)
        # The stop itself needs time.
        self.assertGreaterEqual(grace - delay, 10)


class Kubernetes(Example):
    def manifest(self, name):
        documents = list(yaml.safe_load_all((EXAMPLES / name).read_text()))
        for document in documents:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
        spec = documents[0]["spec"]
        pod = spec["template"]["spec"] if "template" in spec else spec
        container, = pod["containers"]
        environment = {entry["name"]: entry["value"] for entry in container.get("env", ())}
        self.check_drain(pod["terminationGracePeriodSeconds"], container.get("command", ()), environment)
        return documents, pod, container

    def test_the_deployment_fits_the_schema_and_its_grace_period(self):
        documents, _, _ = self.manifest("deployment.yaml")
        self.assertEqual([document["kind"] for document in documents], ["Deployment", "Service"])

    def test_the_image_volume_fits_the_schema_and_the_command_is_in_it(self):
        _, pod, container = self.manifest("deployment-image-volume.yaml")
        volume, = pod["volumes"]
        mount, = container["volumeMounts"]
        self.assertEqual(mount["name"], volume["name"])
        # The image holds one file, /drain-init.
        self.assertEqual(container["command"][0], mount["mountPath"] + "/drain-init")

    def test_the_init_container_copies_the_program_to_where_the_command_is(self):
        _, pod, container = self.manifest("pod-init-container.yaml")
        init, = pod["initContainers"]
        volume, = pod["volumes"]
        self.assertEqual([mount["name"] for mount in init["volumeMounts"] + container["volumeMounts"]], [volume["name"]] * 2)
        with tempfile.TemporaryDirectory() as directory:
            option, target = init["args"]
            self.assertEqual(target, init["volumeMounts"][0]["mountPath"])
            subprocess.run([INIT, option, directory], check=True)
            copy, = pathlib.Path(directory).iterdir()
            self.assertEqual(container["command"][0], f"{container['volumeMounts'][0]['mountPath']}/{copy.name}")

    def test_the_schema_refuses_a_slip(self):
        document = next(yaml.safe_load_all((EXAMPLES / "deployment.yaml").read_text()))
        document["spec"]["template"]["spec"]["terminationGracePeriod"] = 30
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


class Policy(unittest.TestCase):
    """The expressions are evaluated here. Only a cluster merges their results into a pod."""

    FILE = EXAMPLES / "kubernetes-policy.yaml"
    VARIABLE = "DRAIN_INIT_DELAY_TERM"
    # The types that a cluster makes from a pod's schema.
    TYPE = re.compile(r"Object(\.\w+)+\{")
    CEL = celpy.Environment(annotations={name: celpy.celtypes.MessageType for name in ("Object", "JSONPatch")})

    def setUp(self):
        self.checks, _, self.changes, _ = (document["spec"] for document in yaml.safe_load_all(self.FILE.read_text()))

    def evaluate(self, expression, pod, variables=celpy.celtypes.MapType()):
        return self.CEL.program(self.CEL.compile(self.TYPE.sub("Object{", expression))).evaluate(
            {"object": celpy.json_to_cel(pod), "variables": variables})

    def pod(self, delay=None, grace=None, labels=None, **more):
        env = [] if delay is None else [{"name": self.VARIABLE, "value": delay}]
        container = {"name": "web", "command": ["puma", "-p", "8080"], "env": env, **more}
        spec = {"containers": [container], **({} if grace is None else {"terminationGracePeriodSeconds": grace})}
        return {"metadata": {"name": "web", **({"labels": labels} if labels else {})}, "spec": spec}

    def refusals(self, pod):
        """The messages of the validations that fail."""
        variables = celpy.celtypes.MapType()
        for variable in self.checks["variables"]:
            variables[celpy.celtypes.StringType(variable["name"])] = self.evaluate(variable["expression"], pod, variables)
        return [check.get("message") or str(self.evaluate(check["messageExpression"], pod, variables))
                for check in self.checks["validations"]
                if not self.evaluate(check["expression"], pod, variables)]

    def test_it_fits_the_schemas_and_the_schema_refuses_a_slip(self):
        documents = list(yaml.safe_load_all(self.FILE.read_text()))
        for version in ("1.36", KUBERNETES):
            for document in documents:
                kubernetes_validate.validate(document, version, strict=True)
        for version in ("1.34", "1.35"):
            for document in documents:
                if document["kind"].startswith("Mutating"):
                    document["apiVersion"] = "admissionregistration.k8s.io/v1beta1"
                kubernetes_validate.validate(document, version, strict=True)
        documents[0]["spec"]["validation"] = []
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(documents[0], KUBERNETES, strict=True)

    def test_the_delay_must_be_less_than_the_grace_period(self):
        for delay, grace, fits in [
            ("10", None, True), ("29.9", None, True), ("30", None, False), ("29999ms", None, True), ("30000ms", None, False),
            ("1.5s", 2, True), ("1.5s", 1, False), ("500ms", 1, True), ("1000ms", 1, False), ("1m30s", 91, True),
            ("1m30s", 90, False), ("1h", 3601, True), ("1h", 3600, False), ("1h", None, False), ("0.5m", 31, True),
            ("1h1m1s1ms", 3662, True), ("1s1h", 3601, False), ("0", 1, True), ("0", 0, False), ("010", 11, True),
            ("", 0, True), (None, 0, True),
        ]:
            with self.subTest(delay=delay, grace=grace):
                refusals = [] if fits else [f"{self.VARIABLE} must be less than terminationGracePeriodSeconds, which is {grace or (30 if grace is None else 0)}"]
                self.assertEqual(self.refusals(self.pod(delay, grace)), refusals)

    def test_it_takes_the_durations_that_drain_init_takes(self):
        for delay in ("10", "1.5", "1.5s", "500ms", "1m30s", "1h", "1m1m", "1s1h", "1h1.5ms", "010", "00.0", ".5", "1.", "10x",
                      "1m30", "1.5.5s", "-1", "+1", "1e3", "1H", "1us", "10 s", "s", "1,5"):
            with self.subTest(delay):
                run = subprocess.run([INIT, "--", "/bin/true"], env={self.VARIABLE: delay}, stderr=subprocess.DEVNULL)
                message = f"{self.VARIABLE} is not a duration (try 10, 1.5s, 500ms or 1m30s)"
                self.assertEqual(self.refusals(self.pod(delay, 7200)), [message] if run.returncode else [])

    def test_it_checks_every_container_and_no_other_variable(self):
        pod = self.pod("10")
        pod["spec"]["containers"].append({"name": "no-env"})
        pod["spec"]["containers"].append({"name": "secret", "env": [{"name": self.VARIABLE, "valueFrom": {}}]})
        pod["spec"]["containers"].append({"name": "other", "env": [{"name": "DRAIN_INIT_KILL_AFTER", "value": "40"}]})
        self.assertEqual(self.refusals(pod), [])
        for key in ("containers", "initContainers"):
            late = json.loads(json.dumps(pod))
            late["spec"].setdefault(key, []).append({"name": "late", "env": [{"name": self.VARIABLE, "value": "40"}]})
            self.assertEqual(len(self.refusals(late)), 1, key)

    def test_a_pod_with_the_label_is_given_drain_init(self):
        pod = self.pod(labels={"drain-init-delay": "1.5s"})
        self.assertEqual(self.changes["matchConstraints"]["objectSelector"]["matchExpressions"],
                         [{"key": "drain-init-delay", "operator": "Exists"}])
        condition, = self.changes["matchConditions"]
        self.assertTrue(self.evaluate(condition["expression"], pod))
        merge, patch = self.changes["mutations"]
        merged = json.loads(json.dumps(self.evaluate(merge["applyConfiguration"]["expression"], pod), cls=celpy.CELJSONEncoder))
        operation, = json.loads(json.dumps(self.evaluate(patch["jsonPatch"]["expression"], pod), cls=celpy.CELJSONEncoder))
        self.assertEqual((operation["op"], operation["path"]), ("replace", "/spec/containers/0/command"))
        # Merged by hand, because the pod has none of these lists.
        container, = merged["spec"].pop("containers")
        self.assertEqual(container["name"], "web")
        pod["spec"]["containers"][0] |= {**container, "image": "web", "command": operation["value"]}
        pod["spec"] |= merged["spec"]
        kubernetes_validate.validate({"apiVersion": "v1", "kind": "Pod", **pod}, KUBERNETES, strict=True)
        example = yaml.safe_load((EXAMPLES / "pod-image-volume.yaml").read_text())["spec"]
        self.assertEqual(pod["spec"]["volumes"], example["volumes"])
        self.assertEqual(container["volumeMounts"], example["containers"][0]["volumeMounts"])
        self.assertEqual(operation["value"], [*example["containers"][0]["command"], "puma", "-p", "8080"])
        self.assertEqual(container["env"], [{"name": self.VARIABLE, "value": "1.5s"}])
        # It does not apply twice.
        self.assertFalse(self.evaluate(condition["expression"], pod))

    def test_a_pod_with_the_label_needs_a_command(self):
        pod = self.pod(labels={"drain-init-delay": "10"})
        self.assertEqual(self.refusals(pod), [])
        del pod["spec"]["containers"][0]["command"]
        self.assertIn("needs a command in the first container", self.refusals(pod)[0])
        condition, = self.changes["matchConditions"]
        self.assertFalse(self.evaluate(condition["expression"], pod))
        del pod["metadata"]["labels"]
        self.assertEqual(self.refusals(pod), [])


class Compose(Example):
    FILE = EXAMPLES / "compose.yaml"

    def validate(self, file):
        return subprocess.run(["check-jsonschema", "--builtin-schema", "vendor.compose-spec", file],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def test_it_fits_the_schema_and_the_schema_refuses_a_slip(self):
        run = self.validate(self.FILE)
        self.assertEqual(run.returncode, 0, run.stdout)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as slip:
            slip.write(self.FILE.read_text().replace("stop_grace_period", "stop_graceperiod"))
            slip.flush()
            self.assertNotEqual(self.validate(slip.name).returncode, 0)

    def test_the_delay_covers_the_health_check_and_fits_the_grace_period(self):
        web = yaml.safe_load(self.FILE.read_text())["services"]["web"]
        self.check_drain(seconds(web["stop_grace_period"]), environment=web["environment"])
        check = web["healthcheck"]
        until_unhealthy = check["retries"] * (seconds(check["interval"]) + seconds(check["timeout"]))
        self.assertGreater(seconds(web["environment"]["DRAIN_INIT_DELAY_TERM"]), until_unhealthy)

    def test_the_init_container_fits_the_schema_and_its_grace_period(self):
        file = EXAMPLES / "compose-init-container.yaml"
        run = self.validate(file)
        self.assertEqual(run.returncode, 0, run.stdout)
        services = yaml.safe_load(file.read_text())["services"]
        web = services["web"]
        self.check_drain(seconds(web["stop_grace_period"]), web["entrypoint"], web["environment"])
        volume, target = services["drain-init"]["volumes"][0].split(":")
        self.assertEqual(services["drain-init"]["command"], ["--copy-to", target])
        self.assertEqual(web["volumes"], [f"{volume}:{target}:ro"])
        self.assertEqual(web["entrypoint"][0], f"{target}/drain-init")

    def test_the_drain_file_fails_the_health_check_while_the_server_still_serves(self):
        web = yaml.safe_load(self.FILE.read_text())["services"]["web"]
        # The container's /tmp is this run's directory. The check is otherwise unchanged.
        command = "drain-init -- node server.js"
        run = Run(self, command, files=["server.js"], env={**web["environment"], "DRAIN_INIT_DELAY_TERM": "2"})
        run.env["DRAIN_INIT_DRAIN_FILE"] = web["environment"]["DRAIN_INIT_DRAIN_FILE"].replace("/tmp/", f"{run.dir}/")
        check = web["healthcheck"]["test"].replace("/tmp/", f"{run.dir}/")

        def healthy():
            return subprocess.run(["/bin/sh", "-c", check], stdin=subprocess.DEVNULL).returncode == 0

        run.start()
        self.assertTrue(healthy())
        run.signal(15)
        run.said(r"\[drain-init\] received TERM: draining")
        wait_for("a failing health check", lambda: not healthy(), limit=1.5)
        self.assertEqual(get(), (200, b"fast\n"))
        self.assertEqual(run.exit_status(), 0, run.output())


class ECS(Example):
    def validate(self, definition):
        shape = botocore.session.get_session().get_service_model("ecs").operation_model("RegisterTaskDefinition")
        return botocore.validate.ParamValidator().validate(definition, shape.input_shape)

    def test_the_task_definition_fits_the_api_and_its_stop_timeout(self):
        definition = json.loads((EXAMPLES / "ecs-task-definition.json").read_text())
        report = self.validate(definition)
        self.assertFalse(report.has_errors(), report.generate_report())
        container, = definition["containerDefinitions"]
        # Fargate grants 120 s at most.
        self.assertLessEqual(container["stopTimeout"], 120)
        environment = {entry["name"]: entry["value"] for entry in container["environment"]}
        self.check_drain(container["stopTimeout"], container["entryPoint"], environment)

    def test_the_api_refuses_a_slip(self):
        definition = json.loads((EXAMPLES / "ecs-task-definition.json").read_text())
        definition["containerDefinitions"][0]["stopTimeOut"] = 60
        self.assertTrue(self.validate(definition).has_errors())


class Systemd(Example):
    UNIT = EXAMPLES / "web.service"

    def verify(self, text):
        """systemd's verdict on a unit, with this drain-init and a stand-in for puma."""
        with tempfile.TemporaryDirectory() as directory:
            unit = pathlib.Path(directory, "web.service")
            unit.write_text(text.replace("/usr/bin/drain-init", str(INIT)).replace("/usr/bin/puma", "/bin/true"))
            run = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            return run.returncode, run.stdout

    def setting(self, name):
        return re.search(rf"(?m)^{name}=(.*)", self.UNIT.read_text())[1]

    def test_systemd_accepts_it_and_refuses_a_slip(self):
        self.assertEqual(self.verify(self.UNIT.read_text()), (0, ""))
        status, said = self.verify(self.UNIT.read_text().replace("KillMode=mixed", "KilMode=mixed"))
        self.assertIn("KilMode", said)

    def test_term_goes_to_drain_init_alone_and_the_times_fit(self):
        self.assertEqual(self.setting("KillMode"), "mixed")
        # systemd creates /run/web, the RuntimeDirectory.
        command = self.setting("ExecStart").replace("/run/web/", "/tmp/")
        self.check_drain(seconds(self.setting("TimeoutStopSec")), shlex.split(command))


class Procfile(Example, Stopping):
    FILE = EXAMPLES / "Procfile"
    # Kubernetes' default, and the shortest known grace period of a platform with a Procfile.
    GRACE = 30

    def commands(self):
        lines = [line for line in self.FILE.read_text().splitlines() if not line.startswith("#")]
        return dict(line.split(": ", 1) for line in lines)

    def test_honcho_reads_it(self):
        run = subprocess.run(["honcho", "-f", self.FILE, "check"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(run.returncode, 0, run.stdout)
        for name in self.commands():
            self.assertIn(name, run.stdout)

    def test_the_times_fit(self):
        for command in self.commands().values():
            self.check_drain(self.GRACE, shlex.split(command))

    def test_the_web_line_answers_what_is_in_flight_and_stops_passenger(self):
        run = Run(self, self.commands()["web"], files=["config.ru", "Passengerfile.json"], env={"PORT": "8080"},
                  wrappers={"bundle": 'shift; exec "$@"'})
        self.drain_and_stop_by_the_delay(run.start())


class Built(Example):
    """Examples that are built and run, by podman."""

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="distroless-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        (self.dir / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\nlog_driver = "k8s-file"\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            f'tmp_dir = "{self.dir}/tmp"\n')
        (self.dir / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{self.dir}/store"\nrunroot = "{self.dir}/run"\n')

    def podman(self, *words):
        # The log has both outputs of the container; otherwise stderr is podman's own.
        stderr = subprocess.STDOUT if words[0] == "logs" else subprocess.PIPE
        environment = {**os.environ, "CONTAINERS_CONF": f"{self.dir}/containers.conf",
                       "CONTAINERS_STORAGE_CONF": f"{self.dir}/storage.conf"}
        run = subprocess.run(["podman", *words], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=stderr, text=True, timeout=120)
        self.assertEqual(run.returncode, 0, f"podman {words}: {run.stdout}{run.stderr or ''}")
        return run.stdout

    def build(self, tag, dockerfile, **files):
        """An image from these files. Nothing is pulled."""
        context = pathlib.Path(tempfile.mkdtemp(dir=self.dir))
        (context / "Dockerfile").write_text(dockerfile)
        for name, source in files.items():
            shutil.copy(source, context / name.replace("_", "-"))
        self.podman("build", "-q", "--pull-never", "--isolation=chroot", "-t", tag, str(context))

    def build_web(self, dockerfile, base_dockerfile, **base_files):
        """The example's image, built from stand-ins with the names of the real images, which no test may pull."""
        base, = re.findall(r"(?m)^FROM (\S+)", dockerfile)
        image, = re.findall(r"--from=(\S+)", dockerfile)
        subprocess.run(["cc", "-static", "-o", self.dir / "app", HERE / "apps/app.c"], check=True)
        self.build(base, base_dockerfile, **base_files)
        self.build(image, "FROM scratch\nCOPY drain-init /drain-init\n", drain_init=INIT)
        self.build("web", dockerfile, app=self.dir / "app")

    def environment(self):
        """The built image's variables, after the build has expanded the file's."""
        return dict(entry.split("=", 1) for entry in json.loads(self.podman("inspect", "web"))[0]["Config"]["Env"])

    def check(self, grace):
        config = json.loads(self.podman("inspect", "web"))[0]["Config"]
        self.check_drain(grace, config["Entrypoint"], self.environment())

    def run_and_stop(self):
        """The container's output from its start to the end of a stop, and its status."""
        self.addCleanup(self.podman, "rm", "--force", "--all", "--time", "0")
        self.podman("run", "--detach", "--name", "web", "--network", "none", "--read-only",
                    "--env", "DRAIN_INIT_DELAY_TERM=200ms", "web")
        wait_for("the app", lambda: "app runs" in self.podman("logs", "web"))
        self.podman("stop", "--time", "20", "web")
        status = self.podman("inspect", "--format", "{{.State.ExitCode}}", "web")
        return self.podman("logs", "web"), int(status)


class Distroless(Built):
    FILE = EXAMPLES / "Dockerfile.distroless"

    def test_it_builds_and_drains_without_a_shell_as_another_user(self):
        self.build_web(self.FILE.read_text(), "FROM scratch\nCOPY passwd /etc/passwd\nUSER 65532\n",
                       passwd="/etc/passwd")
        self.check(30)
        said, status = self.run_and_stop()
        self.assertRegex(said, r"app runs, user 65532, process [2-9]\d*\n")
        self.assertIn("[drain-init] received TERM: draining for 0.2s", said)
        self.assertIn("app got 15", said)
        self.assertEqual(status, 3, said)


class StopCommand(Built):
    FILE = EXAMPLES / "Dockerfile.stop-command"

    def build_web(self, dockerfile):
        # A base with a shell: dash and the libraries that it needs, in their places.
        libraries = re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", "/bin/dash"], stdin=subprocess.DEVNULL,
                                                              stdout=subprocess.PIPE, text=True, check=True).stdout)
        files = {"/bin/sh": "/bin/dash", **{path: path for path in libraries}}
        names = {f"file{number}": path for number, path in enumerate(files)}
        lines = ["FROM scratch", *(f"COPY {name} {path}" for name, path in names.items())]
        super().build_web(dockerfile, "\n".join(lines) + "\n",
                          **{name: files[path] for name, path in names.items()})

    def test_the_stop_command_gets_the_process_id(self):
        self.build_web(self.FILE.read_text())
        self.check(30)
        self.assertEqual(self.environment()["DRAIN_INIT_STOP_CMD"], "kill -USR1 $MAINPID && kill -TERM $MAINPID")
        said, status = self.run_and_stop()
        self.assertIn("app got 10\napp got 15\n", said)
        self.assertNotIn("failed", said)
        self.assertEqual(status, 3, said)

    def test_without_the_backslash_the_stop_command_fails_and_term_follows(self):
        self.build_web(self.FILE.read_text().replace("\\$MAINPID", "$MAINPID"))
        self.assertEqual(self.environment()["DRAIN_INIT_STOP_CMD"], "kill -USR1  && kill -TERM ")
        said, status = self.run_and_stop()
        self.assertRegex(said, r"\[drain-init\] the stop command failed with status \d+")
        self.assertNotIn("app got 10", said)
        self.assertIn("app got 15", said)
        self.assertEqual(status, 3, said)


class Whole(unittest.TestCase):
    """Every file in examples/ has a test and is listed, and all files agree."""

    FILES = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*") if path.is_file())

    def test_every_file_has_a_test(self):
        missing = COVERED - set(self.FILES)
        self.assertEqual(missing, set(), "covered but missing")
        packaging = "\n".join(path.read_text() for path in (ROOT / "packaging" / "test").rglob("*.py"))
        untested = [name for name in self.FILES if name not in COVERED and name not in packaging]
        self.assertEqual(untested, [], "in examples/ without a test")

    def test_readme_lists_every_file(self):
        links = re.findall(r"\]\(([^)]+)\)", (EXAMPLES / "README.md").read_text())
        listed = {link for link in links if not link.startswith("../")}
        self.assertEqual(listed, set(self.FILES) - {"README.md"})

    def test_all_name_the_same_image_of_this_version(self):
        version = re.search(r'(?m)^version = "(.*)"', (ROOT / "Cargo.toml").read_text())[1]
        for name in self.FILES:
            # Names with a digest have no version.
            for image in re.findall(r"ghcr\.io/[^\s\"'@]+(?![^\s\"']*@)", (EXAMPLES / name).read_text()):
                self.assertEqual(image, f"ghcr.io/drain-init/drain-init:{version}", name)
