"""The same for WSGI (app) and ASGI (asgi) servers; see config.ru."""
import asyncio
import os
import pathlib
import time


def app(environ, start_response):
    if environ["PATH_INFO"] == "/late":
        pathlib.Path("begun-late").touch()
        while not os.path.exists("release"):
            time.sleep(0.02)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return slow() if environ["PATH_INFO"] == "/slow" else [b"fast\n"]


def slow():
    yield b"begun\n"
    while not os.path.exists("release"):
        time.sleep(0.02)
    yield b"done\n"


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/late":
        pathlib.Path("begun-late").touch()
        while not os.path.exists("release"):
            await asyncio.sleep(0.02)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] != "/slow":
        await send({"type": "http.response.body", "body": b"fast\n"})
        return
    await send({"type": "http.response.body", "body": b"begun\n", "more_body": True})
    while not os.path.exists("release"):
        await asyncio.sleep(0.02)
    await send({"type": "http.response.body", "body": b"done\n"})


# The page's middleware, if the test wrote it here.
if os.path.exists("draining.python"):
    exec(pathlib.Path("draining.python").read_text())
    asgi = CloseWhileDraining(asgi)
