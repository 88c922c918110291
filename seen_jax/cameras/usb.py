"""The camera at this computer -> packets without an end, by dv-processing."""

from __future__ import annotations

from collections.abc import Iterator

from seen_jax.cameras.network import poll
from seen_jax.cameras.packets import RECORD_BOTH
from seen_jax.errors import refuse
from seen_jax.events import Recording

_UDEV = (
    'plug it in, or give permission: echo \'SUBSYSTEM=="usb", '
    'ATTR{idVendor}=="152a", MODE="0666"\' | sudo tee '
    "/etc/udev/rules.d/65-inivation.rules && sudo udevadm control --reload-rules && "
    "sudo udevadm trigger"
)


def packets_of() -> Iterator[Recording]:
    """Reads the first camera that can be opened, until it is unplugged.

    Raises:
      UserError: there is none, it may not be opened, or has no intensity frames.
    """
    import dv_processing as dv

    devices = dv.io.camera.discover()
    if not devices:  # which `open` would answer with an IndexError
        refuse("usb", "a DAVIS346 or DAVIS240", "none", _UDEV)
    try:
        camera = dv.io.camera.open()
    except RuntimeError as error:
        names = ", ".join(map(str, devices))
        why = str(error).splitlines()[0]
        refuse("usb", "a DAVIS346 or DAVIS240", f"{names} ({why})", _UDEV)
    if not camera.isFrameStreamAvailable():
        got = f"{camera.getCameraName()}, which has none"
        refuse("usb", "a camera with intensity frames", got, RECORD_BOTH)
    yield from poll(camera, camera, camera.getEventResolution())
