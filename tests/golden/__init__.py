"""The golden numbers, and the weights that they were computed with. See README.md."""

from pathlib import Path

import numpy as np

from seen_jax import see

CONVS = {
    "conv0": (3, 6, 1, 1),
    "conv1_f2": (64, 3, 3, 3),
    "conv1_f3": (64, 3, 5, 5),
    "conv1_f4": (64, 3, 7, 7),
    "conv1_cat": (64, 192, 1, 1),
    "conv2_f2": (256, 64, 3, 3),
    "conv3_f2": (512, 256, 3, 3),
}


def load() -> dict[str, np.ndarray]:
    """Returns the arrays of the golden file by key."""
    with np.load(Path(__file__).parent / "seen_e4.npz") as file:
        return dict(file)


def inputs(arrays: dict[str, np.ndarray], dtype=np.float64) -> dict[str, np.ndarray]:
    """Normalises the golden inputs: 4 windows of 4 event frames, 90 x 90."""
    event, intensity = arrays["event_frames"], arrays["intensity_frames"][:, [0, -1]]
    return {
        "event_frames": ((event / 255 - see.EVENT_MEAN) / see.EVENT_STD).astype(dtype),
        "intensity_frames": (
            (intensity / 255 - see.INTENSITY_MEAN) / see.INTENSITY_STD
        ).astype(dtype),
    }


def agrees(got, expected, name: str = "", atol: float = 0.0) -> None:
    """Compares arrays of float64; sums in another order differ by about 1e-15."""
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=atol, err_msg=name)


def check(arrays: dict[str, np.ndarray], kind: str, got: dict[str, np.ndarray]) -> None:
    """Compares parameters by published name: their norms and some of their values.

    Args:
      arrays: of the golden file.
      kind: "grad", of the first step, or "after", five steps.
      got: by published name; running statistics are compared whole, after the steps.
    """
    for name, value in got.items():
        if f"{kind}_buffer/{name}" in arrays:
            agrees(value, arrays[f"{kind}_buffer/{name}"], name)
        elif f"{kind}/{name}/norm" in arrays:
            # A bias in front of BatchNorm shifts every example alike, which BatchNorm
            # takes away: its gradient is zero but for rounding.
            atol = 1e-14 if kind == "grad" and name.endswith(".1.bias") else 0.0
            agrees(np.linalg.norm(value), arrays[f"{kind}/{name}/norm"], name, atol)
            values = np.ravel(value)[arrays[f"index/{name}"]]
            agrees(values, arrays[f"{kind}/{name}/at"], name, atol)
        else:
            assert name.endswith(("running_mean", "running_var", "_tracked")), name


def state_dict(
    seed: int = 2023, *, side: int = 6, num_classes: int = 7
) -> dict[str, np.ndarray]:
    """Draws published-form weights in float64, the golden ones by default.

    Args:
      seed: 2023 in the golden file.
      side: rows and columns that conv3_f2 leaves, 6 for images of 90 x 90.
      num_classes: size of the logits.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    entries: dict[str, np.ndarray] = {}

    def u(*shape):
        return 2 * rng.random(shape) - 1

    def layer(name, *shape):
        scale = np.sqrt(np.prod(shape[1:]))
        entries[f"{name}.weight"] = 3 * u(*shape) / scale
        entries[f"{name}.bias"] = u(shape[0]) / scale

    for name, shape in CONVS.items():
        layer(name, *shape)
    layer("fc1", 256, 512 * side * side)
    layer("fc2", num_classes, 256)
    for mlp in ("mlp_f1", "mlp_f2", "mlp_f3"):
        layer(f"{mlp}.1", 8, 64, 1, 1)
        entries[f"{mlp}.2.weight"] = 1 + 0.1 * u(8)
        entries[f"{mlp}.2.bias"] = 0.1 * u(8)
        entries[f"{mlp}.2.running_mean"] = 0.1 * u(8)
        entries[f"{mlp}.2.running_var"] = 1 + 0.1 * u(8)
        entries[f"{mlp}.2.num_batches_tracked"] = np.array(0, np.int64)
        layer(f"{mlp}.4", 1, 8, 1, 1)
    return entries
