"""A reader that hangs, dies or fails; Ctrl-C meanwhile; real files that are broken."""

import os
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

from seen_jax.cameras.aedat4 import write_aedat4
from seen_jax.cameras.sources import open_source, read_recording
from seen_jax.errors import UserError
from tests.helpers import ROOT
from tests.samples import random_events

# In the place of dv-processing: each holds Python's lock, so that no other thread of
# the process and no handler of a signal gets a turn.
STUBS = {
    "hangs": "while True: ctypes.PyDLL(None).pause()",
    "dies": "os.abort()",
    "fails": "raise IndexError('vector::at')",
}


@pytest.fixture
def file(tmp_path):
    frames = np.zeros((4, 12, 20), np.uint8)
    path, times_us = tmp_path / "a.aedat4", np.arange(4) * 1_000
    write_aedat4(path, random_events(25_000, 5_000, 12, 20), times_us, frames)
    return path


@pytest.fixture
def stub(tmp_path, monkeypatch):
    def make(name):
        (tmp_path / "stub" / "dv_processing").mkdir(parents=True)
        (tmp_path / "stub" / "dv_processing" / "__init__.py").write_text(
            "import ctypes, os\n"
            "EventStore = Frame = None\n"
            "class io:\n"
            "    def MonoCameraRecording(path):\n"
            f"        {STUBS[name]}\n"
        )
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stub"))

    return make


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("hangs", "a reader without progress for 1 s after 0 packets"),
        ("dies", "a reader that died of SIGABRT after 0 packets"),
        ("fails", "IndexError: vector::at"),
    ],
)
def test_a_library_that_does_not_come_back_is_an_error(file, stub, name, got):
    stub(name)
    with pytest.raises(UserError, match=f"expected a recording that is .* got {got}"):
        read_recording(file, limit_s=1 if name == "hangs" else 60)


def children_of(pid):
    path = f"/proc/{pid}/task/{pid}/children"
    with open(path) as file:
        return [int(x) for x in file.read().split()]


def test_ctrl_c_ends_a_command_whose_reader_hangs(file, stub, tmp_path):
    stub("hangs")
    # In a shell's background Ctrl-C is ignored, which programs inherit.
    lines = "import runpy, signal; "
    lines += "signal.signal(signal.SIGINT, signal.default_int_handler); "
    lines += "runpy.run_module('seen_jax.event_folder', run_name='__main__')"
    command = [sys.executable, "-c", lines, str(file)]
    process = subprocess.Popen(
        [*command, f"--out={tmp_path / 'out'}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ['PYTHONPATH']}"},
    )
    deadline = time.monotonic() + 60
    while not children_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    (reader,) = children_of(process.pid)
    time.sleep(1)
    process.send_signal(signal.SIGINT)  # to the command alone, not its reader
    assert process.wait(timeout=20) == 130
    assert not os.path.exists(f"/proc/{reader}")


def test_a_stream_that_is_left_leaves_no_reader(file):
    before = children_of(os.getpid())
    stream = open_source(file)
    assert len(next(stream).events) == 10_000
    assert len(children_of(os.getpid())) == len(before) + 1
    stream.close()
    assert children_of(os.getpid()) == before


def test_zeros_behind_the_header_as_a_power_cut_leaves_them(file):
    # The table's place is written, its bytes and those of the packets are not.
    data = file.read_bytes()
    size = 18 + struct.unpack_from("<I", data, 14)[0]
    file.write_bytes(data[:size].ljust(len(data), b"\0"))
    file.with_name("a.aedat4.sha256").unlink()
    with pytest.raises(UserError, match=r"a\.aedat4: expected a"):
        read_recording(file, limit_s=2)
