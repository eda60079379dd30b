"""The same for gunicorn (app) and uvicorn (asgi); see config.ru."""
import asyncio
import os
import time


def app(environ, start_response):
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
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] != "/slow":
        await send({"type": "http.response.body", "body": b"fast\n"})
        return
    await send({"type": "http.response.body", "body": b"begun\n", "more_body": True})
    while not os.path.exists("release"):
        await asyncio.sleep(0.02)
    await send({"type": "http.response.body", "body": b"done\n"})
