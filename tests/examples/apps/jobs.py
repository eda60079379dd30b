"""For RQ and dramatiq: a job that shows when it has begun and ends when the file "release" exists."""
import pathlib
import time


def slow():
    pathlib.Path("begun").touch()
    while not pathlib.Path("release").exists():
        time.sleep(0.02)
    pathlib.Path("done").touch()
