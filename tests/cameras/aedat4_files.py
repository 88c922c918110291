"""Writes AEDAT4 of kinds that cameras make and `write_aedat4` does not."""

import dv_processing as dv


def write_streams(path, events=None, frames=None, compression=None, resolution=(8, 6)):
    """Writes only the streams that are given.

    Args:
      path: of the file.
      events: (t, x, y, p), or None.
      frames: images, or of any `dv.Frame`, or None; image i has the time i.
      compression: of dv-processing.
      resolution: (width, height) of both streams.
    """
    compression = compression or dv.CompressionType.LZ4
    config = dv.io.MonoCameraWriter.Config("DAVIS346", compression)
    if events is not None:
        config.addEventStream(resolution)
    if frames is not None:
        config.addFrameStream(resolution)
    writer = dv.io.MonoCameraWriter(str(path), config)
    if events:
        store = dv.EventStore()
        for event in events:
            store.push_back(*event)
        writer.writeEvents(store)
    for i, frame in enumerate(frames or []):
        writer.writeFrame(frame if isinstance(frame, dv.Frame) else dv.Frame(i, frame))
    del writer
    return path


def region(time_us, x, y, image):
    """An intensity frame of a region of interest."""
    return dv.Frame(time_us, 0, x, y, image, dv.FrameSource.SENSOR)
