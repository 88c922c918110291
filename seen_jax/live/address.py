"""Where the page is: the socket that listens, and how a browser gets there."""

from __future__ import annotations

import argparse
import ipaddress
import os
import socket
import subprocess
import sys
import webbrowser

from seen_jax.errors import refuse

LOOPBACK = "127.0.0.1"
_ANY = "0.0.0.0", "::"


def port(text: str) -> int:
    """Reads a port, 0 to 65535."""
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"expected 0 to 65535, got {text!r}")
    return int(text)


def listen(host: str, port: int) -> socket.socket:
    """Returns a socket that listens; a process may inherit it.

    Raises:
      UserError: it is taken, or the host is not this computer's.
    """
    what = f"--host={host} --port={port}"
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        both = host == "::" and socket.has_dualstack_ipv6()  # IPv4's addresses, too
        options = dict(family=family, backlog=256, dualstack_ipv6=both)
        return socket.create_server(place[:2], **options)
    except (OSError, UnicodeError) as error:
        remedy = "name another one, such as --port=0 for any that is free, or --no_page"
        why = getattr(error, "strerror", None) or error
        refuse(what, "a free address of this computer", why, remedy)


def is_loopback(host: str) -> bool:
    """Tells whether only this computer reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def names(listening: socket.socket, host: str) -> list[str]:
    """Returns what a browser on this computer may call a socket: HOST:PORT."""
    place = listening.getsockname()[1]
    hosts = dict.fromkeys((LOOPBACK, "localhost", "::1", host))
    return [f"{_in_url(x)}:{place}" for x in hosts]


def urls(listening: socket.socket, host: str, token: str) -> list[str]:
    """Returns the page's addresses, the best one first."""
    hosts = [host]
    if host in _ANY:
        hosts = [*_addresses(), LOOPBACK]
    query = f"?token={token}" if token else ""
    place = listening.getsockname()[1]
    return [f"http://{_in_url(x)}:{place}/{query}" for x in hosts]


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _addresses() -> list[str]:
    """Returns this computer's address in its network, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent; an address of no one
        except OSError:
            return []
        return [probe.getsockname()[0]]


def open_in_browser(url: str) -> None:
    """Opens a page if there is a desktop; a text browser does not count."""
    if sys.platform == "darwin":
        subprocess.Popen(["open", url])
    elif os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(url)
