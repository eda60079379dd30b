"""The app that gunicorn runs. A request takes 5 ms, and one second under /slow."""

import threading
import time

# Requests in flight, for gunicorn.conf.py.
waiting = 0
_counting = threading.Lock()


def _count(more):
    global waiting
    with _counting:
        waiting += more


def app(environ, start_response):
    _count(1)
    try:
        time.sleep(1 if environ["PATH_INFO"] == "/slow" else 0.005)
    finally:
        _count(-1)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\n"]
