"""Viewers of a page that runs in the test: browsers of aiohttp, and strangers."""

import asyncio
import contextlib
import io
import json

import aiohttp
import numpy as np
from aiohttp import web
from PIL import Image

from seen_jax.live import address
from seen_jax.live.page import Page
from tests.live.streams import about_of, moment_of

LIMIT_S = 30  # after which a test that waits has failed


class Browser:
    """A WebSocket that shows what it is sent.

    Attributes:
      about: what it was told first.
      refused: sentences.
      history: points that it was given.
    """

    def __init__(self, socket):
        self.socket, self.about, self.refused, self.history = socket, None, [], []

    async def read(self):
        """Returns the next head and its images, without showing them."""
        while True:
            head, images = unpacked(await self.socket.receive_bytes(timeout=LIMIT_S))
            if "about" in head:
                self.about = head["about"]
            elif "refused" in head:
                self.refused.append(head["refused"])
            else:
                if head["history"][:1] <= self.history[-1:]:
                    self.history = []
                self.history += head["history"]
                return head, images

    async def see(self):
        """Shows the next message; returns it."""
        head, images = await self.read()
        await self.say(shown=head["sent"])
        return head, images

    async def see_until(self, number):
        """Shows messages up to that of a moment; returns the numbers of the moments."""
        numbers = [-1]
        while numbers[-1] < number:
            head, _ = await self.see()
            numbers.append(head.get("number", -1))
        return numbers[1:]

    async def say(self, **asked):
        await self.socket.send_json(asked)

    async def closing(self):
        """Returns the code and the sentence with which the server closes."""
        while True:
            message = await self.socket.receive(timeout=LIMIT_S)
            if message.type is aiohttp.WSMsgType.CLOSE:
                return message.data, message.extra

    async def refusal(self):
        """Returns the next sentence that refuses something; nothing else may come."""
        while not self.refused:
            head, _ = unpacked(await self.socket.receive_bytes(timeout=LIMIT_S))
            self.refused.append(head["refused"])
        return self.refused.pop(0)


class Server:
    """A page, and what it was asked for.

    Attributes:
      page: the server.
      asked: what viewers asked for, without the times.
      place: HOST:PORT.
      client: a session of aiohttp's client.
      strangers: connections that are closed at the end.
    """

    def __init__(self, page, asked, place, client):
        self.page, self._asked, self.place, self.client = page, asked, place, client
        self.strangers = []

    @property
    def asked(self):
        return [{k: x for k, x in each.items() if k != "s"} for each in self._asked]

    def get(self, path, **options):
        options = {"allow_redirects": False, "headers": {}} | options
        return self.client.get(f"http://{self.place}{path}", **options)

    @contextlib.asynccontextmanager
    async def browser(self, **headers):
        url = f"http://{self.place}/socket"
        async with self.client.ws_connect(
            url, headers=headers, max_msg_size=0
        ) as socket:
            browser = Browser(socket)
            first, _ = unpacked(await socket.receive_bytes(timeout=LIMIT_S))
            browser.about = first["about"]
            yield browser

    async def stranger(self, content):
        """Sends bytes to the server; returns the connection's two ends."""
        reader, writer = await asyncio.open_connection(*self.place.split(":"))
        self.strangers.append(writer)
        writer.write(content)
        await writer.drain()
        return reader, writer

    async def answer_to(self, content):
        """Sends bytes to the server; returns all that it answers."""
        reader, _ = await self.stranger(content)
        async with asyncio.timeout(LIMIT_S):
            return await reader.read()

    async def tell(self, moment, **status):
        self.page.publish(*self.page.told(moment, status))
        await asyncio.sleep(0)

    async def goes_on(self, number):
        """Asserts that a new viewer is shown a new moment."""
        async with self.browser() as browser:
            await self.tell(moment_of(number))
            assert number in await browser.see_until(number)

    async def until(self, condition):
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def serving(token="", hosts=frozenset(), **options):
    """Serves a page on a free port of this computer."""
    asked = []
    page = Page(about_of(**options), asked.append, token, hosts)
    runner = web.AppRunner(page.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    with address.listen("127.0.0.1", 0) as listening:
        await web.SockSite(runner, listening).start()
        place = f"127.0.0.1:{listening.getsockname()[1]}"
        try:
            jar = aiohttp.CookieJar(unsafe=True)  # it takes them from addresses, too
            wires = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(cookie_jar=jar, connector=wires) as client:
                server = Server(page, asked, place, client)
                yield server
        finally:
            for writer in server.strangers:
                writer.transport.abort()
            await runner.cleanup()


def unpacked(message):
    """Returns the head and the images, files, by name."""
    length = int.from_bytes(message[:4], "little")
    head, at, images = json.loads(message[4 : 4 + length]), 4 + length, {}
    for name, size in head["images"]:
        images[name], at = message[at : at + size], at + size
    assert at == len(message)
    return head, images


def pixels(image):
    return np.asarray(Image.open(io.BytesIO(image)))
