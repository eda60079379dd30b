"""For Celery: a task that shows when it has begun and ends when the file "release" exists.

It is acknowledged when it ends, so Redis keeps it while it runs.
"""
import os
import pathlib
import time

from celery import Celery

app = Celery("tasks", broker="redis://127.0.0.1:6379/0")
app.conf.task_acks_late = True
if os.environ.get("SOFT"):
    app.conf.worker_soft_shutdown_timeout = 1


@app.task
def slow():
    pathlib.Path("begun").touch()
    while not pathlib.Path("release").exists():
        time.sleep(0.02)
    pathlib.Path("done").touch()
