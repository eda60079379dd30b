"""Starts each server of the pages on stopping, with the command line and code from the page and the files from apps/."""
import glob
import pathlib
import subprocess

from harness import HERE, PAGES, ROOT, Run, Stopping, Upstream, listening, page_blocks, page_commands, wait_for

COMMANDS = page_commands(*PAGES)
BLOCKS = page_blocks(*PAGES)


def snippet_of(section):
    """The section's code, besides its command lines."""
    return [text for language, text in BLOCKS[section] if language != "sh"]


class StopCommand(Stopping):
    """One section of a page. start() runs its command line, edited, with the page's snippet for the drain."""

    section = None

    def without(self, option):
        return lambda command: command.replace(f" {option} ", " ")

    def run_page(self, edit=lambda command: command, snippet=(), **options):
        run = Run(self, edit(COMMANDS[self.section]), **options)
        for language, text in snippet:
            run.write(f"draining.{language}", text)
        return run

    def run_node(self, edit, files=(), handler=True, **options):
        run = self.run_page(edit, files=["server.js", *files], **options)
        if not handler:
            (run.dir / "stop.js").unlink()
        return run.start()


class Puma(StopCommand):
    section = "puma"

    def start(self, edit=lambda command: command, **options):
        return self.run_page(edit, files=["config.ru"], **options).start()

    def workers(self, command):
        return command.replace("puma ", "puma --workers 2 ")


class Unicorn(StopCommand):
    section = "unicorn"

    def start(self, edit=lambda command: command, **options):
        # Its one default worker cannot answer two requests at once.
        run = self.run_page(edit, files=["config.ru"], **options)
        run.command += " -c unicorn.rb"
        run.write("unicorn.rb", "worker_processes 4\n")
        return run.start()


class Passenger(StopCommand):
    section = "Passenger"

    def start(self, edit=lambda command: command, **options):
        return self.run_page(edit, files=["config.ru", "Passengerfile.json"], **options).start()


NGINX = 'mkdir -p "$APP/tmp"; exec /usr/sbin/nginx -p "$APP/" -c nginx.conf "$@"'


class Nginx(StopCommand):
    section = "nginx"

    def start(self, edit=lambda command: command, **options):
        run = self.run_page(edit, files=["nginx.conf"], wrappers={"nginx": NGINX}, **options)
        Upstream(self, run.dir)
        return run.start()


class HAProxy(StopCommand):
    section = "HAProxy"

    def start(self, edit=lambda command: command, snippet=(), grace="10s", **options):
        run = self.run_page(edit, files=["haproxy.cfg"], wrappers={"haproxy": 'exec /usr/sbin/haproxy "$@"'}, **options)
        run.command = run.command.replace("/etc/haproxy/", "")
        parts = dict(snippet or BLOCKS[self.section][1:])
        parts["haproxy"] = parts["haproxy"].replace("grace 10s", f"grace {grace}")
        run.write("draining.lua", parts.get("lua", ""))
        rest = (run.dir / "haproxy.cfg").read_text()
        run.write("haproxy.cfg", parts["haproxy"].replace("/etc/haproxy/", "") + rest)
        Upstream(self, run.dir)
        return run.start()


APACHE = 'mkdir -p "$APP/public"; echo fast > "$APP/public/index.html"; exec /usr/sbin/{} -f "$APP/httpd.conf" "$@"'


class Apache(StopCommand):
    section = "Apache"

    def start(self, edit=lambda command: command, **options):
        wrappers = {name: APACHE.format(name) for name in ("apache2", "apache2ctl")}
        run = self.run_page(edit, files=["httpd.conf"], wrappers=wrappers, **options)
        Upstream(self, run.dir)
        return run.start()

    def apachectl(self, command):
        return command.replace("apache2 -DFOREGROUND", "apache2ctl -D FOREGROUND")


class Caddy(StopCommand):
    section = "Caddy"

    def start(self, edit=lambda command: command, **options):
        run = self.run_page(edit, files=["Caddyfile"], **options)
        run.command = run.command.replace("/etc/caddy/", "")
        Upstream(self, run.dir)
        return run.start()


class Envoy(StopCommand):
    section = "Envoy"

    def start(self, edit=lambda command: command, **options):
        run = self.run_page(edit, files=["envoy.yaml"], **options)
        run.command = run.command.replace("/etc/envoy/", "") + " --log-level error"
        Upstream(self, run.dir)
        return run.start()


PHP_FPM = 'exec /usr/sbin/php-fpm8* --fpm-config "$APP/php-fpm.conf" "$@"'


class PhpFpm(StopCommand):
    section = "php-fpm"

    def start(self, edit=lambda command: command, timeout=True, **options):
        run = self.run_page(edit, files=["php-fpm.conf", "php.conf", "index.php"], wrappers={"php-fpm": PHP_FPM}, **options)
        text, = snippet_of(self.section) if timeout else [""]
        run.write("php-fpm.conf", f"[global]\n{text}" + (run.dir / "php-fpm.conf").read_text())
        run.start(port=9000)
        (run.dir / "tmp").mkdir()
        self.nginx = subprocess.Popen(["nginx", "-p", f"{run.dir}/", "-c", "php.conf"], stdin=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
        self.addCleanup(self.nginx.wait)
        self.addCleanup(self.nginx.kill)
        wait_for("nginx", lambda: listening(8080))
        return run


class PythonServer(StopCommand):
    def start(self, edit=lambda command: command, **options):
        return self.run_page(edit, files=["app.py"], **options).start()


class Gunicorn(PythonServer):
    section = "gunicorn"

    def threads(self, command):
        return command.replace("gunicorn ", "gunicorn --worker-class gthread --threads 16 ")


class Uvicorn(PythonServer):
    section = "uvicorn"

    def workers(self, command):
        return command.replace("uvicorn ", "uvicorn --workers 2 ")


class Hypercorn(PythonServer):
    section = "hypercorn"


class Granian(PythonServer):
    section = "granian"


class Waitress(PythonServer):
    section = "waitress"


class Npm(StopCommand):
    section = "npm, yarn and shell-form CMDs"

    def start(self, edit=lambda command: command, **options):
        return self.run_node(edit, files=["package.json"], **options)


class Java(StopCommand):
    section = "Java"
    IMPORTS = """import com.sun.net.httpserver.*;
import java.io.IOException;
import java.nio.file.*;
import java.util.concurrent.atomic.*;
"""

    def start(self, edit=lambda command: command, snippet=(), hook=True, **options):
        run = self.run_page(edit, files=["Server.java"], **options)
        code = [text for _, text in snippet] + (snippet_of(self.section) if hook else [])
        run.write("Pages.java", self.IMPORTS + "class Pages { static void install(HttpServer server, HttpContext context) {\n"
                  + "".join(code) + "} }\n")
        # Java would leave /tmp/hsperfdata_USER, whatever TMPDIR is.
        run.env["JAVA_TOOL_OPTIONS"] = "-XX:-UsePerfData"
        subprocess.run(["javac", "Server.java", "Pages.java"], cwd=run.dir, env=run.env, check=True)
        classes = [pathlib.Path(name).name for name in glob.glob(f"{run.dir}/*.class")]
        subprocess.run(["jar", "cfe", "app.jar", "Server", *classes], cwd=run.dir, env=run.env, check=True)
        return run.start()


class Tomcat(StopCommand):
    section = "Tomcat"
    IMPORTS = """import jakarta.servlet.*;
import jakarta.servlet.annotation.*;
import jakarta.servlet.http.*;
import java.io.*;
import java.nio.file.*;
"""

    def start(self, edit=lambda command: command, snippet=(), settings=True, **options):
        home = "/usr/share/tomcat10"
        run = self.run_page(edit, files=["Slow.java"], env={"CATALINA_HOME": home, "JAVA_OPTS": "-XX:-UsePerfData"},
                            wrappers={"catalina.sh": f'exec {home}/bin/catalina.sh "$@"'}, **options)
        run.env["CATALINA_BASE"] = str(run.dir)
        for name in ("conf", "temp", "logs", "webapps/ROOT/WEB-INF/classes"):
            (run.dir / name).mkdir(parents=True)
        text, = snippet_of(self.section) if settings else ['<Service name="Catalina">\n<Connector port="8080" />\n']
        run.write("conf/server.xml", '<Server port="-1">\n' + text + (HERE / "apps/server.xml").read_text())
        sources = ["Slow.java"]
        for _, text in snippet:
            run.write("CloseWhileDraining.java", self.IMPORTS + text)
            sources.append("CloseWhileDraining.java")
        subprocess.run(["javac", "-J-XX:-UsePerfData", "-cp", f"{home}/lib/servlet-api.jar", "-d", "webapps/ROOT/WEB-INF/classes",
                        *sources], cwd=run.dir, check=True)
        return run.start()


class Go(StopCommand):
    section = "Go"
    IMPORTS = 'package main\nimport ("context"; "errors"; "net/http"; "os"; "os/signal"; "syscall"; "time")\n'
    UNUSED = "var _ = []any{context.Background, errors.Is, os.Stat, signal.NotifyContext, syscall.SIGTERM, time.Second}\n"
    PASS_ON = "func closeWhileDraining(next http.Handler) http.Handler { return next }\n"
    NO_HANDLER = "func serve(server *http.Server) error { return server.ListenAndServe() }\n"

    def start(self, edit=lambda command: command, snippet=(), handler=True, **options):
        run = self.run_page(edit, files=["main.go"], **options)
        code = [text for _, text in snippet] or [self.PASS_ON]
        code += snippet_of(self.section) if handler else [self.NO_HANDLER]
        run.write("pages.go", self.IMPORTS + self.UNUSED + "".join(code))
        # The build cache is kept for the next test.
        subprocess.run(["go", "build", "-o", "server", "main.go", "pages.go"], cwd=run.dir, check=True,
                       env={**run.env, "GOCACHE": f"{ROOT}/target/go-cache", "GO111MODULE": "off"})
        return run.start()


class Node(StopCommand):
    section = "Node"

    def start(self, edit=lambda command: command, **options):
        return self.run_node(edit, **options)


class Pm2(StopCommand):
    section = "pm2-runtime"

    def start(self, edit=lambda command: command, settings=lambda text: text, **options):
        run = self.run_page(edit, files=["server.js"], **options)
        run.env["PATH"] += f":{ROOT}/target/examples-npm/node_modules/.bin"
        run.write("ecosystem.config.js", settings(*snippet_of(self.section)))
        run.write("stop.js", "".join(snippet_of("Node")).replace("SIGTERM", "SIGINT"))
        return run.start()

    def cluster(self, text):
        return text.replace("script:", "instances: 2, script:")
