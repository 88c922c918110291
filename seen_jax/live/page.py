"""Moments -> a page in a browser, by a server in a process of its own.

    python -m seen_jax.live.page MOMENTS COMMANDS SOCKET

The three are descriptors: a pipe of what `Session` tells, a pipe back of what viewers
ask for, and a socket that listens. A message to a viewer is binary: the length of a
JSON text, 4 bytes, the text, and the images that it names. A viewer answers each with
its number when it has shown it, and is given no third one before: a slow browser gets
fewer images, never old ones.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import hmac
import io
import json
import logging
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections import deque
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from aiohttp import WSCloseCode, WSMsgType, web
from PIL import Image

from seen_jax.errors import printable, run_command, shortened
from seen_jax.files import parse_json
from seen_jax.live.engine import Moment
from seen_jax.live.view import HISTORY_US, About, Steady, brightening
from seen_jax.runtime.seen_runtime import resize

MAX_VIEWERS = 256
MAX_MESSAGE = 4096  # bytes, from a viewer
_IN_FLIGHT = 2
SILENT_S = 30.0  # a viewer that takes and shows nothing for so long is closed
_CLOSE_S = 1.0
_NICE = 5  # recognition comes first
_STATIC = Path(__file__).with_name("static")
FILES = {  # path: file and its type
    "/": ("index.html", "text/html"),
    "/live.js": ("live.js", "text/javascript"),
    "/live.css": ("live.css", "text/css"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src "
    "'self'; connect-src 'self'; img-src 'self' blob: data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclasses.dataclass(eq=False)
class Viewer:
    """A browser.

    Attributes:
      request: of it.
      socket: to it.
      sent: number of the latest message to it.
      waiting: messages that it has not shown.
      news: set when there is something to send.
      shown: set when it has shown something.
      past: time of the newest point of the history that it has, us.
    """

    request: web.Request
    socket: web.WebSocketResponse
    sent: int = -1
    waiting: int = 0
    news: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    shown: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    past: int = -1

    async def dismiss(self, code: int, text: str) -> None:
        """Closes its connection, politely where it listens."""
        try:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_CLOSE_S):
                    await self.socket.close(code=code, message=text.encode())
        finally:
            if self.request.transport is not None:
                self.request.transport.abort()


class Page:
    """The server.

    Args:
      about: of the program.
      send: takes what a viewer asks for.
      token: that a browser must show; "" for none.
      hosts: that a request may name; none: any.
    """

    def __init__(
        self, about: About, send, token: str = "", hosts: frozenset = frozenset()
    ):
        self._about, self._send, self._token, self._hosts = about, send, token, hosts
        self._viewers: set[Viewer] = set()
        self._driver: Viewer | None = None
        self._history: deque = deque()
        self._steady, self._answer = Steady(), None
        self._head, self._images, self._number = {}, b"", -1
        self._drawn = -1  # number with which the images came
        self._session = os.urandom(8).hex()
        self._files = {
            path: ((_STATIC / name).read_bytes(), kind)
            for path, (name, kind) in FILES.items()
        }

    def application(self) -> web.Application:
        application = web.Application(middlewares=[self._guard])
        application.router.add_get("/socket", self._converse)
        for path in FILES:
            application.router.add_get(path, self._file)
        application.on_shutdown.append(self._end)
        return application

    # ------------------------------------------------------------- what is told

    def told(self, moment: Moment | None, status: dict) -> tuple[dict, bytes]:
        """Makes the message for all viewers; called in a thread. None: status alone."""
        if moment is None:
            return {"status": status}, b""
        if moment.probabilities is not None:
            best = self._about.classes[int(moment.probabilities.argmax())]
            self._answer = self._steady.see(best, moment.time_us)
        head = as_dict(moment) | {"status": status, "answer": self._answer}
        images = images_of(moment) if self._viewers else {}
        head["images"] = [[name, len(x)] for name, x in images.items()]
        return head, b"".join(images.values())

    def publish(self, head: dict, images: bytes) -> None:
        """Takes what `told` made."""
        if "number" in head:
            time_us = head["time_us"]
            past = self._history
            if past and time_us <= past[-1][0]:  # the camera's clock restarted
                past.clear()
                for viewer in self._viewers:
                    viewer.past = -1
            past.append([time_us, head["probabilities"], head["label"]])
            while past[0][0] < time_us - HISTORY_US:
                past.popleft()
            self._head, self._images = head, images
            self._drawn = self._number + 1
        else:
            self._head = self._head | {"status": head["status"]}
        self._number += 1
        for viewer in self._viewers:
            viewer.news.set()

    def _message(self, viewer: Viewer) -> bytes:
        points = [x for x in self._history if x[0] > viewer.past]
        if points:
            viewer.past = points[-1][0]
        role = (
            "you" if viewer is self._driver else "other" if self._driver else "nobody"
        )
        head = {"sent": self._number, "steering": role, "history": points}
        head["viewers"] = len(self._viewers)
        head = {"images": []} | self._head | head
        images = self._images
        if viewer.sent >= self._drawn:  # it has them
            head["images"], images = [], b""
        viewer.sent = self._number
        return packed(head, images)

    # ------------------------------------------------------------------ viewers

    async def _converse(self, request: web.Request) -> web.StreamResponse:
        if len(self._viewers) >= MAX_VIEWERS:
            text = (
                f"expected at most {MAX_VIEWERS} viewers, got one more; close another"
            )
            raise web.HTTPServiceUnavailable(text=text)
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, compress=False)
        viewer = Viewer(request, socket)
        await viewer.socket.prepare(request)
        about = dataclasses.asdict(self._about) | {"session": self._session}
        await viewer.socket.send_bytes(packed({"about": about, "images": []}))
        self._viewers.add(viewer)
        viewer.news.set()
        feeding = asyncio.create_task(self._feed(viewer))
        try:
            async for message in viewer.socket:
                if message.type is WSMsgType.TEXT:
                    await self._hear(viewer, message.data)
        finally:
            feeding.cancel()
            self._viewers.discard(viewer)
            if viewer is self._driver:
                self._driver = None
                self._send({"release": True, "s": time.monotonic()})
        return viewer.socket

    async def _feed(self, viewer: Viewer) -> None:
        try:
            while True:
                await viewer.news.wait()
                viewer.news.clear()
                async with asyncio.timeout(SILENT_S):
                    await self._send_newest(viewer)
        except TimeoutError:
            text = f"nothing shown for {SILENT_S:g} s"
            await viewer.dismiss(WSCloseCode.POLICY_VIOLATION, text)
        except ConnectionError:
            return

    async def _send_newest(self, viewer: Viewer) -> None:
        while viewer.waiting >= _IN_FLIGHT:
            await viewer.shown.wait()
            viewer.shown.clear()
        if viewer.sent < self._number:
            viewer.waiting += 1
            await viewer.socket.send_bytes(self._message(viewer))

    async def _hear(self, viewer: Viewer, text: str) -> None:
        try:
            asked = parse_json(text)
        except ValueError:
            asked = None
        if not isinstance(asked, dict) or len(asked) != 1:
            return await self._refuse(viewer, "expected a JSON object with one name")
        ((name, value),) = asked.items()
        if name == "shown":
            viewer.waiting = max(0, viewer.waiting - 1)
            viewer.shown.set()
        elif name == "take":
            self._driver = viewer
            self._send({"release": True, "s": time.monotonic()})
            self.publish({"status": self._head.get("status", {})}, b"")
        elif name not in COMMANDS or not COMMANDS[name](value):
            got = shortened(repr(value))
            await self._refuse(viewer, f"{name}: expected another value, got {got}")
        elif self._driver not in (None, viewer):
            await self._refuse(viewer, "another page steers; press 'steer here' first")
        else:
            self._driver = viewer
            self._send({name: value, "s": time.monotonic()})

    async def _refuse(self, viewer: Viewer, text: str) -> None:
        await viewer.socket.send_bytes(packed({"refused": text, "images": []}))

    async def _end(self, application: web.Application) -> None:
        goodbye = WSCloseCode.GOING_AWAY, "the program ended"
        await asyncio.gather(*(viewer.dismiss(*goodbye) for viewer in self._viewers))

    # -------------------------------------------------------------------- files

    async def _file(self, request: web.Request) -> web.Response:
        body, kind = self._files[request.path]
        return web.Response(body=body, content_type=kind, charset="utf-8")

    @web.middleware
    async def _guard(self, request: web.Request, handler):
        try:
            response = self._refusal(request)
            if response is None:  # of aiohttp 3.11 a response is false
                response = await handler(request)
        except web.HTTPException as error:
            response = web.Response(status=error.status, text=f"{error.text}\n")
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self._hosts and request.host not in self._hosts:
            hosts = ", ".join(sorted(self._hosts))
            text = f"Host: expected one of {hosts}, got {printable(request.host)}\n"
            return web.Response(status=403, text=text)
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"http://{request.host}":
            text = f"Origin: expected http://{request.host}, got {origin}"
            return web.Response(status=403, text=f"{printable(text)}\n")
        if not self._token:
            return None
        cookie = f"seen_{request.url.port}"  # cookies do not tell ports apart
        if self._is_token(request.query.get("token", "")):
            response = web.Response(status=303, headers={"Location": request.path})
            response.set_cookie(cookie, self._token, httponly=True, samesite="Lax")
            return response
        if not self._is_token(request.cookies.get(cookie, "")):
            text = (
                "expected the token that seen live printed: open the address with it\n"
            )
            return web.Response(status=401, text=text)
        return None

    def _is_token(self, text: str) -> bool:
        given = text.encode(errors="surrogatepass")
        return hmac.compare_digest(given, self._token.encode())


def _is_crop(value) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(type(x) is int and 0 <= x < 1 << 16 for x in value)
    )


def _is_text(value) -> bool:
    return isinstance(value, str) and len(value) <= 64 and value.isprintable()


COMMANDS = {  # what who steers may ask for, and whether a value is one
    "crop": _is_crop,
    "record": lambda value: isinstance(value, bool),
    "press": _is_text,
    "release": lambda value: value is True,
    "volunteer": _is_text,
}


def packed(head: dict, images: bytes = b"") -> bytes:
    """Returns a message."""
    text = json.dumps(head, separators=(",", ":")).encode()
    return struct.pack("<I", len(text)) + text + images


def as_dict(moment: Moment) -> dict:
    """Returns a moment without its images."""
    fields = vars(moment).items()
    kept = {name: x for name, x in fields if not isinstance(x, np.ndarray)}
    probabilities = moment.probabilities
    if probabilities is not None:
        probabilities = [round(x, 4) for x in probabilities.tolist()]
    return kept | {
        "probabilities": probabilities,
        "sensor_size": moment.sensor.shape[::-1],
        "brightening": brightening(moment.intensity_frame),
    }


def images_of(moment: Moment) -> dict[str, bytes]:
    """Returns the images of a moment as files; as the network gets them, to the bit."""
    return {
        "sensor": _file_of(moment.sensor, "JPEG", quality=85),
        "events": _file_of(moment.event_frame, "PNG", compress_level=1),
        "event": _file_of(resize(moment.event_frame), "PNG", compress_level=1),
        "intensity": _file_of(resize(moment.intensity_frame), "PNG", compress_level=1),
    }


def _file_of(image: np.ndarray, kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


async def _serve(things: Connection, answers: Connection, listening) -> None:
    about, token, hosts = things.recv()
    page = Page(about, answers.send, token, hosts)
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def read() -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                loop.call_soon_threadsafe(page.publish, *page.told(*things.recv()))
        loop.call_soon_threadsafe(ended.set)

    runner = web.AppRunner(page.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    threading.Thread(target=read, daemon=True).start()
    await ended.wait()
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("things", "answers", "listening"):
        parser.add_argument(name, type=int)
    args = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when its feeder does
    os.nice(_NICE)
    logging.disable(logging.CRITICAL)  # of what strangers send
    things = Connection(args.things, writable=False)
    answers = Connection(args.answers, readable=False)
    with things, answers, socket.socket(fileno=args.listening) as listening:
        asyncio.run(_serve(things, answers, listening))


if __name__ == "__main__":
    sys.exit(run_command(main))
