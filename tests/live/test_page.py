"""The page's server: what browsers are sent, who steers, and what strangers try."""

import asyncio
import contextlib
import functools
import os
import struct

import aiohttp
import numpy as np
import pytest

from seen_jax.live import page
from seen_jax.live.page import COMMANDS, FILES, HEADERS, packed
from seen_jax.live.view import HISTORY_US
from seen_jax.runtime.seen_runtime import resize
from tests.live.streams import moment_of
from tests.live.viewers import pixels, serving

TOKEN = "a-token"
UPGRADE = (
    b"GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def in_a_loop(test):
    """Runs a test that waits; no task of it may end with an error that nobody saw."""

    @functools.wraps(test)
    def run(*arguments, **fixtures):
        errors = []

        async def main():
            asyncio.get_running_loop().set_exception_handler(
                lambda loop, context: errors.append(context)
            )
            await test(*arguments, **fixtures)

        asyncio.run(main())
        assert not errors

    return run


@in_a_loop
async def test_every_answer_has_the_headers_and_only_the_files_are_there():
    async with serving() as server:
        for path, (name, kind) in FILES.items():
            async with server.get(path) as answer:
                assert answer.status == 200
                assert answer.content_type == kind
                assert await answer.read() == (page._STATIC / name).read_bytes()
                assert answer.headers.items() >= HEADERS.items()
        for path in ("/none", "/live.js/", "/static/live.js", "/page.py"):
            async with server.get(path) as answer:
                assert answer.status == 404
                assert answer.headers.items() >= HEADERS.items()
        url = f"http://{server.place}/"
        async with server.client.post(url, data=b"x") as answer:
            assert answer.status == 405
            assert answer.headers.items() >= HEADERS.items()
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@in_a_loop
async def test_no_path_leaves_the_folder():
    async with serving() as server:
        for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd"):
            request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            answer = await server.answer_to(request.encode())
            assert answer.startswith(b"HTTP/1.1 404 ") and b"root:" not in answer


@in_a_loop
async def test_a_host_of_another_name_is_refused():
    async with serving(hosts=frozenset({"localhost:1", "127.0.0.1:1"})) as server:
        async with server.get("/") as answer:
            expected = "Host: expected one of 127.0.0.1:1, localhost:1, got "
            assert (answer.status, await answer.text()) == (
                403, f"{expected}{server.place}\n"
            )  # fmt: skip
        async with server.get("/", headers={"Host": "localhost:1"}) as answer:
            assert answer.status == 200
        headers = b"Host: \xff\r\nConnection: close\r\n"
        answer = await server.answer_to(b"GET / HTTP/1.1\r\n" + headers + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 403 ")


@in_a_loop
async def test_a_page_of_another_origin_is_refused():
    async with serving() as server:
        for origin in ("http://elsewhere.example", "null", f"https://{server.place}"):
            async with server.get("/", headers={"Origin": origin}) as answer:
                assert answer.status == 403
                text = await answer.text()
                assert text.startswith("Origin: expected http://127.0.0.1")
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                async with server.browser(Origin=origin):
                    pass
        async with server.browser(Origin=f"http://{server.place}"):
            assert len(server.page._viewers) == 1
        headers = b"Host: x\r\nOrigin: \xff\r\nConnection: close\r\n"
        answer = await server.answer_to(b"GET / HTTP/1.1\r\n" + headers + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 403 ")


@in_a_loop
async def test_who_has_no_token_sees_nothing():
    async with serving(token=TOKEN) as server:
        port = server.place.partition(":")[2].encode()
        for path in (
            "/",
            "/socket",
            "/live.js",
            "/none",
            "/?token=another",
            "/?token=",
        ):
            async with server.get(path) as answer:
                assert answer.status == 401
                assert "token that seen live printed" in await answer.text()
                assert answer.headers.items() >= HEADERS.items()
        first = b"GET / HTTP/1.1\r\nConnection: close\r\nHost: " + server.place.encode()
        for name, value in (
            (port, b"another"),
            (port, b"\xff"),
            (b"1", TOKEN.encode()),
        ):
            request = first + b"\r\nCookie: seen_%s=%s\r\n\r\n" % (name, value)
            assert (await server.answer_to(request)).startswith(b"HTTP/1.1 401 ")
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            async with server.browser():
                pass


@in_a_loop
async def test_the_token_becomes_a_cookie():
    async with serving(token=TOKEN) as server:
        async with server.get(f"/?token={TOKEN}") as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/")
            (cookie,) = answer.cookies.values()
            assert (cookie.value, cookie["httponly"]) == (TOKEN, True)
            assert cookie["samesite"] in ("Lax", "Strict")
        for path in FILES:
            async with server.get(path) as answer:
                assert answer.status == 200
        async with server.browser():
            assert len(server.page._viewers) == 1


@in_a_loop
async def test_images_are_the_frames_to_the_bit():
    """The crop's as the network gets them; the sensor's, for the eye, as JPEG."""
    async with serving() as server, server.browser() as browser:
        moment = moment_of(7, sensor=(100, 130))
        await server.tell(moment, recording=True)
        head, images = await browser.see()
    assert browser.about["classes"] == list(server.page._about.classes)
    for name, expected in {
        "events": moment.event_frame,
        "event": resize(moment.event_frame),
        "intensity": resize(moment.intensity_frame),
    }.items():
        np.testing.assert_array_equal(pixels(images[name]), expected)
    sensor = pixels(images["sensor"])
    assert sensor.shape == (100, 130)
    assert abs(sensor.astype(int) - moment.sensor).mean() < 15
    expected = {
        "number": 7, "time_us": 233_333, "latency_ms": 5.0, "spikes": moment.spikes,
        "operations": 7_000, "sensor_size": [130, 100], "crop": [0, 0, 100],
        "status": {"recording": True}, "answer": "happiness", "label": "fear",
        "viewers": 1, "steering": "nobody",
    }  # fmt: skip
    assert head.items() >= expected.items()
    np.testing.assert_allclose(head["probabilities"], moment.probabilities, atol=5e-5)


@in_a_loop
async def test_a_slow_viewer_gets_fewer_images_and_all_of_the_history():
    async with serving() as server, server.browser() as quick, server.browser() as slow:
        for i in range(10):
            await server.tell(moment_of(i))
            head, _ = await quick.see()
            assert head["number"] == i
        for _ in range(2):
            head, _ = await slow.read()  # both were sent before it showed one
        assert head["number"] == 1
        with pytest.raises(TimeoutError):
            await slow.socket.receive(timeout=0.1)
        await slow.say(shown=0)
        assert await slow.see_until(9) == [9]
    times_us = [round(1e6 * i / 30) for i in range(10)]
    for browser in (quick, slow):
        assert [point[0] for point in browser.history] == times_us
        assert {point[2] for point in browser.history} == {"fear"}


@in_a_loop
async def test_who_comes_later_gets_the_last_30_s():
    async with serving() as server:
        for i in range(1000):
            server.page.publish(*server.page.told(moment_of(i), {}))
        async with server.browser() as browser:
            await browser.see()
        times_us = [point[0] for point in browser.history]
        assert times_us == [
            round(1e6 * i / 30)
            for i in range(1000 - HISTORY_US * 30 // 10**6 - 1, 1000)
        ]
        assert len(server.page._history) == len(times_us)  # it keeps no more


@in_a_loop
async def test_a_clock_that_begins_again_clears_the_history():
    async with serving() as server, server.browser() as browser:
        await server.tell(moment_of(5, time_us=10**9))
        await browser.see()
        for i in (6, 7):
            await server.tell(moment_of(i, time_us=i))
            await browser.see()
    assert [point[0] for point in browser.history] == [6, 7]


@in_a_loop
async def test_a_status_without_a_moment_keeps_what_was_shown():
    async with serving() as server, server.browser() as browser:
        await server.tell(None, quiet_s=1)
        head, images = await browser.see()
        assert (head["status"], images, head["history"]) == ({"quiet_s": 1}, {}, [])
        await server.tell(moment_of(3))
        await browser.see()
        await server.tell(None, quiet_s=2)
        head, images = await browser.see()
        assert (head["status"], images) == ({"quiet_s": 2}, {})
        assert (head["number"], head["answer"]) == (3, "happiness")


@in_a_loop
async def test_one_steers_until_another_takes_over():
    async with serving() as server, server.browser() as one, server.browser() as two:
        await one.say(press="fear")
        await server.until(lambda: server.asked)
        await two.say(crop=[1, 2, 3])
        assert await two.refusal() == "another page steers; press 'steer here' first"
        assert server.asked == [{"press": "fear"}]
        await server.tell(moment_of(0))
        roles = [(await x.see())[0]["steering"] for x in (one, two)]
        assert roles == ["you", "other"]
        await two.say(take=True)  # a label that is held ends with it
        heads = [(await x.see())[0] for x in (one, two)]
        assert [head["steering"] for head in heads] == ["other", "you"]
        await two.say(crop=[1, 2, 3])
        await one.say(release=True)
        assert await one.refusal() == "another page steers; press 'steer here' first"
        assert server.asked == [
            {"press": "fear"}, {"release": True}, {"crop": [1, 2, 3]}
        ]  # fmt: skip


@in_a_loop
async def test_who_leaves_lets_go_of_the_label():
    async with serving() as server, server.browser() as other:
        async with server.browser() as driver:
            await driver.say(press="joy")
            await server.until(lambda: server.asked)
            driver.socket._response.connection.transport.abort()
        await server.until(lambda: len(server.asked) == 2)
        assert server.asked == [{"press": "joy"}, {"release": True}]
        await other.say(record=False)
        await server.until(lambda: len(server.asked) == 3)


@in_a_loop
async def test_what_is_no_command_is_refused_and_the_viewer_stays():
    no_object, long = "expected a JSON object with one name", 65 * "x"
    twice = '{"shown": 1, "take": true}', '{"take": true, "take": true}'
    wrong = dict.fromkeys(["", "x", "[" * 4000, "[]", *twice], no_object)
    for name, *values in (
        ("none", "1"),
        ("s", "1"),
        ("crop", "[0, 0]", *(f"[0, {x}]" for x in ("0, 1.5", "0, true", "-1, 5"))),
        ("crop", "[0, 0, 99999999999]"),
        ("record", "1"),
        ("release", "false"),
        ("press", '["fear"]', '"\\ud800"'),
        ("volunteer", f'"{long}"', '"a\\nb"'),
    ):
        other = f"{name}: expected another value"
        wrong |= {f'{{"{name}": {value}}}': other for value in values}
    async with serving() as server, server.browser() as browser:
        for text, answer in wrong.items():
            await browser.socket.send_str(text)
            assert (await browser.refusal()).startswith(answer)
        assert server.asked == []
        right = dict(crop=[0, 0, 20], record=True, press="joy", release=True)
        for name, value in (right | {"volunteer": "7 b"}).items():
            await browser.say(**{name: value})
        await server.until(lambda: len(server.asked) == len(COMMANDS))
        assert browser.refused == []


def memory_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@in_a_loop
async def test_a_message_of_100_mb_closes_its_connection_alone():
    async with serving() as server, server.browser() as other:
        reader, writer = await server.stranger(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        size, block, before = 100 << 20, bytes(1 << 20), memory_bytes()
        writer.write(struct.pack(">BBQI", 0x81, 0x80 | 127, size, 0))
        with contextlib.suppress(ConnectionError):
            for _ in range(size // len(block)):
                writer.write(block)
                await writer.drain()
        assert memory_bytes() - before < 20 << 20
        await server.until(lambda: len(server.page._viewers) == 1)
        await server.tell(moment_of(0))
        assert await other.see_until(0) == [0]
        async with server.browser() as browser:
            await browser.socket.send_bytes(bytes(page.MAX_MESSAGE + 1))
            assert (await browser.closing())[0] == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


@in_a_loop
async def test_who_shows_nothing_gets_two_messages_and_is_closed(monkeypatch):
    monkeypatch.setattr(page, "SILENT_S", 0.3)
    async with serving() as server, server.browser() as other:
        await asyncio.sleep(0.5)  # nothing came yet: that is nobody's fault
        async with server.browser() as browser:
            for i in range(8):
                await server.tell(moment_of(i))
                await other.see()
            assert [(await browser.read())[0]["number"] for _ in range(2)] == [0, 1]
            assert await browser.closing() == (1008, "nothing shown for 0.3 s")
        await server.until(lambda: len(server.page._viewers) == 1)
        await server.goes_on(8)


@in_a_loop
async def test_who_never_reads_costs_no_memory_and_is_closed(monkeypatch):
    monkeypatch.setattr(page, "SILENT_S", 2.0)
    async with serving() as server, server.browser() as other:
        _, writer = await server.stranger(UPGRADE)
        writer.transport.pause_reading()
        await server.until(lambda: len(server.page._viewers) == 2)
        (viewer,) = (x for x in server.page._viewers if x.request.host == "x")
        pending = viewer.request.transport.get_write_buffer_size
        moment = moment_of(0, sensor=(2000, 2000))
        size = sum(map(len, page.images_of(moment).values()))
        for i in range(20):
            moment = moment_of(i, sensor=(2000, 2000)) if i < 2 else moment_of(i)
            await server.tell(moment)
            assert pending() < 2.1 * size
            assert await other.see_until(i) == [i]
        assert viewer.sent < 2
        await server.until(lambda: len(server.page._viewers) == 1)
        await server.goes_on(20)


@in_a_loop
async def test_half_a_request_and_half_a_message_disturb_nobody():
    async with serving() as server:
        for begun in (b"GET / HT", UPGRADE[:-3], b"\x16\3"):
            await server.stranger(begun)
        _, writer = await server.stranger(UPGRADE)
        await server.until(lambda: len(server.page._viewers) == 1)
        writer.write(struct.pack(">BBI", 0x81, 0x80 | 20, 0) + b'{"sho')
        await server.goes_on(0)
        for other in server.strangers:
            other.transport.abort()
        await server.until(lambda: not server.page._viewers)
        await server.goes_on(1)


@in_a_loop
async def test_no_more_viewers_than_the_limit(monkeypatch):
    monkeypatch.setattr(page, "MAX_VIEWERS", 2)
    async with (
        serving() as server,
        server.browser(),
        server.browser(),
        server.get("/socket") as answer,
    ):
        assert answer.status == 503
        assert "expected at most 2 viewers, got one more" in await answer.text()


@in_a_loop
async def test_200_viewers_see_the_newest_and_the_whole_history():
    async with serving() as server, contextlib.AsyncExitStack() as stack:
        browsers = [
            await stack.enter_async_context(server.browser()) for _ in range(200)
        ]
        seen = [asyncio.create_task(x.see_until(59)) for x in browsers]
        for i in range(60):
            await server.tell(moment_of(i))
            await asyncio.sleep(0.01)
        numbers = await asyncio.gather(*seen)
        assert all(x == sorted(set(x)) for x in numbers)  # never an old one
        times_us = [round(1e6 * i / 30) for i in range(60)]
        for browser in browsers:
            assert [point[0] for point in browser.history] == times_us


@in_a_loop
async def test_the_end_is_told_to_all_even_beside_who_does_not_listen():
    async with serving() as server, contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            await server.stranger(UPGRADE)
        await server.until(lambda: len(server.page._viewers) == 20)
        browser = await stack.enter_async_context(server.browser())
        begin = asyncio.get_running_loop().time()
        ending = asyncio.create_task(server.page._end(None))
        assert await browser.closing() == (1001, "the program ended")
        await ending
        assert asyncio.get_running_loop().time() - begin < 10 * page._CLOSE_S


def test_a_message_is_a_length_a_text_and_images():
    message = packed({"images": [["a", 2]]}, b"xy")
    assert message == b'\x14\0\0\0{"images":[["a",2]]}xy'
