"""Recordings as arrays, .npz and .h5."""

import sys

import numpy as np
import pytest

from seen_jax.cameras.formats import packets_of
from seen_jax.cameras.sources import open_source, read_recording
from seen_jax.errors import UserError
from seen_jax.events import Events, Recording
from tests.samples import assert_same_recording, random_events


def arrays_of():
    """15,000 events of 1 s and a frame every 40 ms, as other programs save them."""
    events = random_events(15_000, 1_000_000, 12, 20)
    rng = np.random.default_rng(0)
    return {
        "t": events.t.astype(np.uint64),
        "x": events.x.astype(np.uint16),
        "y": events.y.astype(np.int64),
        "p": np.where(events.p, 1, -1).astype(np.int8),
        "frames": rng.integers(0, 256, (25, 12, 20), np.uint8),
        "frame_times": np.arange(25, dtype=np.int32) * 40_000,
    }


def save_h5(path, arrays):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip")


def save_npz(path, arrays):
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


@pytest.fixture(params=[save_npz, save_h5], ids=["npz", "h5"])
def save(request, tmp_path):
    def write(arrays, name="recording"):  # no ending tells the format
        request.param(tmp_path / name, arrays)
        return tmp_path / name

    return write


def test_arrays_are_a_recording(save):
    arrays = arrays_of()
    path = save(arrays)
    recording = read_recording(path)
    t, times_us = (arrays[name].astype(np.int64) for name in ("t", "frame_times"))
    x, y = (arrays[name].astype(np.int16) for name in "xy")
    events = Events(t, x, y, arrays["p"] == 1)
    whole = Recording(events, times_us, arrays["frames"], (20, 12))
    assert_same_recording(recording, whole)
    assert recording.notes == ()
    *packets, _ = open_source(path)
    firsts = [int(x.events.t[0] if len(x.events) else x.times_us[0]) for x in packets]
    assert (firsts, len(firsts)) == (sorted(firsts), 27)


def test_bool_colour_and_16_bits(save):
    arrays = arrays_of()
    grey = arrays["frames"]
    arrays["p"] = arrays["p"] > 0
    arrays["frames"] = (np.stack([grey] * 3, -1).astype(np.uint16) << 2) + 3
    recording = read_recording(save(arrays))
    np.testing.assert_array_equal(recording.intensity_frames, grey)
    np.testing.assert_array_equal(recording.events.p, arrays["p"])
    assert recording.notes == (
        "25 intensity frames of 10 bits scaled to 8",
        "25 intensity frames in colour turned into grey",
    )


def test_colours_are_rgb(save):
    frames = np.full((25, 12, 20, 3), (255, 0, 0), np.uint8)
    recording = read_recording(save(arrays_of() | {"frames": frames}))
    assert set(recording.intensity_frames.flat) == {76}  # 0.299


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"t": None, "p": None}, "arrays t, x, y, p, frames, frame_times, got none ca"),
        ({"t": np.zeros(15_000)}, r"t \(15000,\) of whole numbers, got float64"),
        ({"x": np.zeros(3, int)}, r"x \(15000,\) of whole numbers, got int64 \(3,\)"),
        ({"frame_times": np.zeros(24, int)}, r"frame_times \(25,\) of whole numbers"),
        ({"frames": np.zeros((25, 12), np.uint8)}, r"frames \(F, H, W\) or "),
        ({"frames": np.zeros((25, 12, 20))}, "uint8 or uint16, grey or colour, got fl"),
        ({"t": np.arange(15_000)[::-1]}, "timestamps that never decrease"),
        ({"frame_times": np.arange(25)[::-1]}, "timestamps that never decrease"),
    ],
)
def test_other_arrays_are_refused(save, change, text):
    arrays = {k: x for k, x in (arrays_of() | change).items() if x is not None}
    path = save(arrays)
    with pytest.raises(UserError, match=text) as error:
        read_recording(path)
    assert str(path) in str(error.value)


def test_no_pickles(tmp_path):
    arrays = arrays_of() | {"x": np.array([print] * 15_000, object)}
    save_npz(tmp_path / "a.npz", arrays)
    with pytest.raises(UserError, match="Object arrays cannot be loaded"):
        read_recording(tmp_path / "a.npz")


def test_no_links_out_of_a_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    arrays = arrays_of()
    save_h5(tmp_path / "other.h5", arrays)
    del arrays["x"]
    save_h5(tmp_path / "a.h5", arrays)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["x"] = h5py.ExternalLink(tmp_path / "other.h5", "x")
    with pytest.raises(UserError, match="a dataset x that holds its data"):
        read_recording(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["x"]
        layout = h5py.VirtualLayout((15_000,), np.int64)
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "x", (15_000,))
        file.create_virtual_dataset("x", layout)
    with pytest.raises(UserError, match="a dataset x that holds its data"):
        read_recording(tmp_path / "a.h5")


def test_broken_files(save):
    path = save(arrays_of())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="expected a recording that is not broken, got"):
        read_recording(path)


def test_the_package_that_is_missing_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"h5py is not installed; run python -m pip"):
        next(packets_of(tmp_path / "a.h5"))
