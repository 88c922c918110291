"""Processes of a job meet: threads here, each with a connection of its own."""

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from seen_jax.errors import UserError
from seen_jax.training import rendezvous
from seen_jax.training.rendezvous import gather, meet


@pytest.mark.parametrize(
    "address",
    [
        "abc", "127.0.0.1", "a:-1", "a:0", "a:65536", ":1", "::1:80", "a:1x",
        "a:1234567", "a:000001999999", "a..b:80", "a" * 300 + ":80",
    ],
)  # fmt: skip
def test_an_address_without_a_host_or_a_port_is_refused(address):
    with pytest.raises(UserError, match=r"coordinator: expected HOST:PORT with a port"):
        rendezvous.split_address(address)


def test_an_ipv6_address_stands_in_brackets():
    assert rendezvous.split_address("[::1]:80") == ("::1", 80)
    assert rendezvous.split_address("host0:65535") == ("host0", 65535)


@pytest.fixture
def meeting():
    """Process 0's side of a job of three, its address, and threads."""
    with ThreadPoolExecutor() as pool, rendezvous.listen(0) as listener:
        gathered = pool.submit(gather, listener, 3)
        yield gathered, f"127.0.0.1:{listener.getsockname()[1]}", pool
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # ends a wait for the next one


def begin(gathered):
    for connection in gathered.result(30):
        with connection:
            connection.sendall(rendezvous.GO)


def registered(address, number):
    """A connection of a process that has said its number, and was not refused."""
    connection = socket.create_connection(rendezvous.split_address(address))
    connection.sendall(b"%d 3\n" % number)
    connection.settimeout(0.2)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    return connection


def test_all_come_and_nobody_else_disturbs(meeting):
    gathered, address, pool = meeting
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(registered(address, 1))
        for words in (b"GET / HTTP/1.1\r\n\r\n", b"7 3\n", b"-1 3\n", b"", b"\xff"):
            with socket.create_connection(rendezvous.split_address(address)) as other:
                other.sendall(words)
                other.shutdown(socket.SHUT_WR)
                assert other.recv(100) == b""
        with pytest.raises(UserError, match="num_processes: expected 3, as in proc"):
            meet(address, 1, 2, 30)
        with pytest.raises(UserError, match="process_id: expected a number that no"):
            meet(address, 1, 3, 30)
        with pytest.raises(UserError, match=r"3 processes at 127.* in 1 s, got fewer"):
            meet(address, 0, 3, 1)
        one.close()  # both are gone, and start again
        every = [pool.submit(meet, address, number, 3, 30) for number in range(3)]
        begin(gathered)
        assert [x.result(30) for x in every] == [None] * 3


@pytest.mark.parametrize("answer, got", [(b"HTTP/1.1 400", "b'HTTP"), (b"", "its end")])
def test_one_that_is_no_process_0(answer, got):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match=f"process 0 at {address}, got {got}"):
            meet(address, 1, 2, 30)
        thread.join()
