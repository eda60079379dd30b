"""The app of gunicorn: 5 ms of work; one second under /slow."""

import time


def app(environ, start_response):
    time.sleep(1 if environ["PATH_INFO"] == "/slow" else 0.005)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\n"]
