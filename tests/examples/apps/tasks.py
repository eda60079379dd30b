"""For Celery: a task that says when it has begun and ends when the file "release" is there.

It is acknowledged at its end, so that Redis keeps it as long as it runs.
"""
import pathlib
import time

from celery import Celery

app = Celery("tasks", broker="redis://127.0.0.1:6379/0")
app.conf.task_acks_late = True


@app.task
def slow():
    pathlib.Path("begun").touch()
    while not pathlib.Path("release").exists():
        time.sleep(0.02)
    pathlib.Path("done").touch()
