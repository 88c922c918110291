"""The processes of a job meet at process 0's port before JAX's service takes it.

Each says its number and how many it expects, in a line, and is answered in a line:
`GO` once all have come, or why it cannot join. JAX would abort with a stack dump where
two processes have one number.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from typing import NoReturn

from seen_jax.errors import counted, refuse

LINGER_S = 8  # that a service stays up after its process 0; longer than `peers.NOTE_S`
AGAIN_S = 0.25  # between two tries
LINE_S = 2  # in which one that connects has to say who it is
LINE_SIZE = 100
GO, TAKEN = b"go\n", b"taken\n"


def split_address(address: str) -> tuple[str, int]:
    """Splits HOST:PORT; an IPv6 address stands in brackets, as in [::1]:1234.

    Raises:
      UserError: it is something else, or the port is not 1 to 65535.
    """
    host, _, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_number = port.isascii() and port.isdigit() and len(port) < 6
    is_right = bare and is_number and 1 <= int(port) <= 65535
    with contextlib.suppress(UnicodeError):
        bare.encode("idna")  # as looking it up does
        if is_right and (":" not in bare or bare != host):
            return bare, int(port)
    rule, remedy = "HOST:PORT with a port from 1 to 65535", "such as host0:12345"
    refuse("coordinator", rule, repr(address), f"give all processes one, {remedy}")


def listen(port: int) -> socket.socket:
    """Listens on a port of this machine, for `gather`.

    Waits for the service of a job that has just ended.

    Raises:
      UserError: the port is in use, or may not be listened on.
    """
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    end = time.monotonic() + LINGER_S + 1
    while True:
        try:
            return socket.create_server(("", port), family=family, dualstack_ipv6=dual)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                why = f"{port} ({os.strerror(error.errno)})"
                rule = "a port that is free on the machine of process 0"
                remedy = "give all processes another port, and each its own process_id"
                refuse("coordinator", rule, why, remedy)
        time.sleep(AGAIN_S)


def gather(listener: socket.socket, num_processes: int) -> list[socket.socket]:
    """Returns a connection to each process, once all have come; each awaits `GO`."""
    members: dict[int, socket.socket] = {}
    while len(members) < num_processes:
        connection, _ = listener.accept()
        for number in [x for x in members if _has_gone(members[x])]:
            members.pop(number).close()
        connection.settimeout(LINE_S)
        with contextlib.suppress(OSError, ValueError):  # it went, or is no process
            number, count = map(int, connection.recv(LINE_SIZE).split())
            if count != num_processes:
                connection.sendall(b"%d\n" % num_processes)
            elif number in members:
                connection.sendall(TAKEN)
            elif 0 <= number < num_processes:
                connection.setblocking(False)
                members[number] = connection
                continue
        connection.close()
    return [*members.values()]


def _has_gone(connection: socket.socket) -> bool:
    """Says whether the process at the other end has closed the connection."""
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def meet(address: str, process_id: int, num_processes: int, join_s: int) -> None:
    """Waits until all processes of the job have come.

    Raises:
      UserError: they do not come in time, another one has this number or expects
        another count, or who listens there is not process 0.
    """
    end = time.monotonic() + join_s
    with _connect(address, join_s, end) as connection:
        connection.settimeout(max(end - time.monotonic(), AGAIN_S))
        try:
            connection.sendall(b"%d %d\n" % (process_id, num_processes))
            answer = connection.recv(LINE_SIZE)
        except TimeoutError:
            _refuse_fewer(address, num_processes, join_s)
        except OSError:  # reset
            answer = b""
    if answer == GO:
        return
    if answer == TAKEN:
        rule = "a number that no other process of the job has"
        refuse("process_id", rule, process_id, "give each process its own")
    if answer.rstrip().isdigit():
        rule = f"{int(answer)}, as in process 0"
        refuse("num_processes", rule, num_processes, "give every process the same")
    got = repr(answer) if answer else "its end"
    remedy = "check the address and the log of process 0"
    refuse("coordinator", f"process 0 at {address}", got, remedy)


def _connect(address: str, join_s: int, end: float) -> socket.socket:
    where = split_address(address)
    while True:
        try:
            return socket.create_connection(where, timeout=min(join_s, 5))
        except OSError as error:
            no_host = isinstance(error, socket.gaierror) and (
                error.errno != socket.EAI_AGAIN
            )
            if no_host or time.monotonic() > end:
                remedy = "check the address and the log of process 0"
                rule = f"process 0 at {address} in {join_s} s"
                refuse("coordinator", rule, error.strerror or error, remedy)
        time.sleep(AGAIN_S)


def _refuse_fewer(address: str, num_processes: int, join_s: int) -> NoReturn:
    rule = f"{counted(num_processes, 'process')} at {address} in {join_s} s"
    remedy = "start the others, with the same --num_processes and a --process_id each"
    refuse("coordinator", rule, "fewer", remedy)
