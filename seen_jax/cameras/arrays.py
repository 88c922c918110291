"""Arrays in one file, `.npz` or `.h5` -> packets.

    t             (N,) whole numbers, microseconds, never decreasing
    x, y          (N,) whole numbers, column and row from the upper left, from 0
    p             (N,) bool or numbers; above 0 is ON
    frames        (F, H, W) or (F, H, W, 3) RGB, uint8 or uint16; W x H is the sensor
    frame_times   (F,) whole numbers, microseconds on the clock of t

NumPy's pickled objects are not read, nor links of an HDF5 file that lead out of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from seen_jax.cameras import digest
from seen_jax.cameras.packets import Packets, in_time
from seen_jax.errors import UserError, refuse
from seen_jax.events import Recording

NAMES = ("t", "x", "y", "p", "frames", "frame_times")
_EVENTS = 10_000  # of a packet


def npz_packets(path: Path) -> Iterator[Recording]:
    """Reads `.npz`, as `numpy.savez` and `numpy.savez_compressed` write it.

    Raises:
      UserError: it does not match the digest beside it, or an array is missing or not
        as described above.
    """
    digest.check(path)
    with np.load(path, allow_pickle=False) as arrays:
        yield from _packets(path, {k: arrays[k] for k in NAMES if k in arrays})


def h5_packets(path: Path) -> Iterator[Recording]:
    """Reads HDF5 with the datasets at its root; raises as `npz_packets`."""
    try:
        import h5py
    except ModuleNotFoundError:
        remedy = "run python -m pip install h5py"
        raise UserError(f"{path}: h5py is not installed; {remedy}") from None
    digest.check(path)
    with h5py.File(path, "r") as file:
        arrays = {}
        for name in NAMES:
            link = file.get(name, getlink=True)
            if link is None:
                continue
            data = file[name] if isinstance(link, h5py.HardLink) else None
            if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
                rule = f"a dataset {name} that holds its data"
                refuse(path, rule, "a link or a group", "copy the data into the file")
            arrays[name] = data
        yield from _packets(path, arrays)


def _packets(path: Path, arrays: Mapping[str, np.ndarray]) -> Iterator[Recording]:
    """Cuts arrays, or datasets of HDF5, which are read piece by piece."""
    missing = [name for name in NAMES if name not in arrays]
    if missing:
        got = f"none called {', '.join(missing)}"
        refuse(path, f"arrays {', '.join(NAMES)}", got, "save it with these names")
    num_events, frames = _check(path, arrays)
    packets = Packets(frames.shape[2:0:-1], order="RGB")

    def events():
        for begin in range(0, num_events, _EVENTS):
            part = slice(begin, begin + _EVENTS)
            t, x, y, p = (arrays[name][part] for name in "txyp")
            yield packets.events(t, x, y, p > 0)

    def images():
        times_us = arrays["frame_times"][:].astype(np.int64).tolist()
        for i, time_us in enumerate(times_us):
            yield packets.frame(time_us, frames[i])

    yield from in_time(events(), images())
    yield packets.end()


def _check(path: Path, arrays: Mapping[str, np.ndarray]) -> tuple[int, np.ndarray]:
    """Raises if types or shapes differ; returns the number of events and the frames."""
    frames = arrays["frames"]
    if frames.ndim not in (3, 4) or 0 in frames.shape[1:]:
        rule, got = "frames (F, H, W) or (F, H, W, 3)", frames.shape
        refuse(path, rule, got, "save grey or RGB images")
    lengths = {"frame_times": len(frames)} | dict.fromkeys("txyp", arrays["t"].size)
    for name, length in lengths.items():
        array = arrays[name]
        kinds = "iu" if name != "p" else "iufb"
        if array.shape != (length,) or array.dtype.kind not in kinds:
            rule = f"{name} ({length},) of whole numbers"
            got, remedy = f"{array.dtype} {array.shape}", "save microseconds and pixels"
            refuse(path, rule, got, remedy)
    return arrays["t"].size, frames
