"""Where the page listens, and how a browser gets there."""

import argparse
import socket

import pytest

from seen_jax.errors import UserError
from seen_jax.live import address


def test_a_port():
    assert [address.port(x) for x in ("0", "8765", "65535")] == [0, 8765, 65535]
    for text in ("65536", "-1", "1.0", "", "x", "٣"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected 0 to 65535"):
            address.port(text)


def test_a_place_that_is_taken_is_one_line():
    with address.listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        text = f"--host=127.0.0.1 --port={port}: expected a free address of this "
        with pytest.raises(UserError, match=text + "computer, got Address already in"):
            address.listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "none.invalid", "x" * 300])
def test_a_host_that_is_another_computer(host):
    with pytest.raises(UserError, match=r"expected a free address.*--no_page"):
        address.listen(host, 0)


def test_a_port_is_free_again_at_once():
    """Though connections of the program before are still being closed."""
    with address.listen("127.0.0.1", 0) as first:
        place = first.getsockname()
        client = socket.create_connection(place)
        served, _ = first.accept()
    served.close()  # the server closes first, so the port waits on its side
    client.close()
    with address.listen(*place) as second, socket.create_connection(place):
        assert second.getsockname() == place


@pytest.mark.parametrize(
    "host, is_own",
    [("127.0.0.1", True), ("127.0.0.2", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("example.org", False)],
)  # fmt: skip
def test_which_hosts_are_loopback(host, is_own):
    assert address.is_loopback(host) == is_own


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_names_have_the_one_that_is_printed(host):
    with address.listen(host, 0) as listening:
        port = listening.getsockname()[1]
        names = address.names(listening, host)
        assert address.urls(listening, host, "") == [f"http://{host}:{port}/"]
    assert f"{host}:{port}" in names
    assert {f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"} <= {*names}
    assert len(set(names)) == len(names)


def test_addresses_of_all_hosts_have_the_token():
    with address.listen("0.0.0.0", 0) as listening:
        port = listening.getsockname()[1]
        urls = address.urls(listening, "0.0.0.0", "abc")
    assert urls[-1] == f"http://127.0.0.1:{port}/?token=abc"
    for url in urls:
        assert url.endswith(f":{port}/?token=abc")
        assert "0.0.0.0" not in url


def test_all_addresses_of_ipv6_are_those_of_ipv4_too():
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with address.listen("::", 0) as listening:
        port = listening.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=10).close()
        assert f"http://127.0.0.1:{port}/" in address.urls(listening, "::", "")


def test_an_address_of_ipv6_is_in_brackets():
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with address.listen("::1", 0) as listening:
        port = listening.getsockname()[1]
        assert address.urls(listening, "::1", "t") == [f"http://[::1]:{port}/?token=t"]
        assert f"[::1]:{port}" in address.names(listening, "::1")
