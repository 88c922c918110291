"""The preprocessing: against Pillow, exact arithmetic, and values by hand."""

import io

import jax
import numpy as np
import pytest
from PIL import Image

from seen_jax import images
from seen_jax.errors import UserError


def noise(height, width, seed=0):
    """White noise: the hardest image for a resize, every weight matters."""
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def jpeg(image, quality=75):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def triangle_weights(num_in, num_out):
    """The antialiased triangle filter as a matrix, (num_out, num_in).

    Output pixel o looks at (o + .5) * scale with a triangle that reaches `scale` to
    either side; what falls outside of the image is left out, the weights sum to 1.
    """
    scale = num_in / num_out
    reach = max(scale, 1.0)
    centre = (np.arange(num_out)[:, None] + 0.5) * scale
    position = np.arange(num_in)[None, :] + 0.5
    weights = np.maximum(0.0, 1 - np.abs(position - centre) / reach)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("height", "width"), [(180, 180), (90, 90), (97, 131), (260, 346), (60, 75)]
)
def test_resize_is_the_antialiased_triangle_filter(height, width):
    image = noise(height, width)
    resized = images.resize(image)
    rows, columns = resized.shape
    exact = triangle_weights(height, rows) @ image @ triangle_weights(width, columns).T
    # Pillow rounds to 8 bits after each of the two directions.
    assert np.abs(resized - exact).max() <= 1.0 + 1e-9
    assert resized.dtype == np.uint8


def test_resize_by_hand():
    # All rows alike, columns 0 0 0 0 80 80 80 80: halved, the second output column
    # has (1*0 + 3*0 + 3*0 + 1*80) / 8 = 10, the third 80 - 10; at the edges one level.
    image = np.tile(np.repeat(np.array([0, 80], np.uint8), 4), (8, 1))
    np.testing.assert_array_equal(images.resize(image, 4), [[0, 10, 70, 80]] * 4)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((180, 180), (90, 90)),
        ((260, 346), (90, 119)),  # 90 * 346 / 260 = 119.77
        ((346, 260), (119, 90)),
        ((45, 60), (90, 120)),  # enlarges too
    ],
)
def test_resize_keeps_the_aspect(shape, expected):
    image = noise(*shape)
    resized = images.resize(image)
    assert resized.shape == expected
    pillow = Image.fromarray(image).resize(expected[::-1], Image.BILINEAR)
    np.testing.assert_array_equal(resized, pillow)


def test_the_fast_path_is_decode_and_resize():
    for seed, size in ((0, 90), (1, 180), (2, 45)):
        data = jpeg(noise(180, 180, seed))
        decoded = images.decode_jpeg(data)
        np.testing.assert_array_equal(decoded, Image.open(io.BytesIO(data)))
        resized = images.resize(decoded, size)
        np.testing.assert_array_equal(images.load_input(data, size), resized)


def test_real_panels(shared):
    panels = sorted((shared / "panels").glob("emotion-*.png"))
    assert len(panels) == 14
    for path in panels:
        with Image.open(path) as image:
            data = jpeg(np.asarray(image.convert("L")))
        pillow = Image.open(io.BytesIO(data)).resize((90, 90), Image.BILINEAR)
        np.testing.assert_array_equal(images.load_input(data), pillow)


def test_normalise_by_hand():
    # Event frames: level 128 is 128/255 = .50196; (.50196 - .504413) / .06928615.
    levels = np.array([0, 128, 255], np.uint8)
    got = images.normalise_events(levels, np.float64)
    np.testing.assert_allclose(got, [-7.280142, -0.035401, 7.152757], atol=1e-5)
    # Intensity: 0 -> -.22616537/.118931554; 51 = .2 -> -.02616537/.118931554.
    got = images.normalise_intensity(np.array([0, 51], np.uint8), np.float64)
    np.testing.assert_allclose(got, [-1.901643, -0.220004], atol=1e-5)


@pytest.mark.parametrize(
    "normalise", [images.normalise_events, images.normalise_intensity]
)
def test_normalise_is_the_same_on_numpy_jax_and_traced(normalise):
    image = noise(12, 9)
    exact = normalise(image, np.float64)
    assert exact.dtype == np.float64
    for result in (
        normalise(image),
        normalise(jax.numpy.asarray(image)),
        jax.jit(normalise)(image),
    ):
        assert result.dtype == np.float32
        # Float32 has a relative step of 6e-8; the subtraction cancels one digit.
        np.testing.assert_allclose(np.asarray(result), exact, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_png_and_grey_stored_as_colours(mode):
    expected = noise(9, 7)
    file = io.BytesIO()
    Image.fromarray(expected).convert(mode).save(file, "PNG")
    image = images.decode_jpeg(file.getvalue())
    np.testing.assert_array_equal(image, expected)
    assert image.shape == (9, 7) and not image.flags.writeable


def test_a_large_image_is_refused_before_it_is_decoded(monkeypatch):
    file = io.BytesIO()
    Image.new("L", (5000, 4000)).save(file, "JPEG")
    monkeypatch.setattr(Image.Image, "load", None)  # decoding would call it
    with pytest.raises(UserError, match="5000 x 4000 pixels, of at most 16777216"):
        images.decode_jpeg(file.getvalue())


def test_errors_say_what_was_expected():
    data = jpeg(noise(20, 20))
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"  # Pillow would run it
    with pytest.raises(UserError, match="not a JPEG or PNG"):
        images.decode_jpeg(script)
    for broken in (b"", b"no image", data[:10], data[: len(data) // 2]):
        words = rf"complete grey JPEG or PNG, got {len(broken)} bytes"
        with pytest.raises(ValueError, match=words):
            images.load_input(broken)
    for mode, kind, why in (
        ("L", "GIF", "not a JPEG or PNG"),
        ("RGB", "JPEG", "JPEG of mode RGB"),
        ("RGBA", "PNG", "PNG of mode RGBA"),
    ):
        file = io.BytesIO()
        Image.new("RGB", (8, 8), "red").convert(mode).save(file, kind)
        with pytest.raises(ValueError, match=rf"grey JPEG or PNG, got .*\({why}\)"):
            images.decode_jpeg(file.getvalue())
    huge = bytearray(data)
    at = huge.index(b"\xff\xc0") + 5  # height and width in the frame's header
    huge[at : at + 4] = b"\xff\xff" * 2
    with pytest.raises(ValueError, match=r"exceeds limit .* decompression bomb"):
        images.decode_jpeg(bytes(huge))
    with pytest.raises(ValueError, match=r"uint8 \(H, W\) .* got float64 \(8, 8\)"):
        images.resize(np.zeros((8, 8)))
    with pytest.raises(ValueError, match=r"got uint8 \(8, 8, 3\)"):
        images.resize(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="size: expected at least 1 pixel, got 0"):
        images.load_input(data, 0)
    with pytest.raises(ValueError, match=r"expected uint8 grey levels .* got float32"):
        images.normalise_events(np.zeros((2, 2), np.float32))


def random_images(shape, count=40):
    """Noise, three levels as in event frames, and flat images, `count` of each."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.integers(0, 256, shape, np.uint8)
        yield rng.choice(np.array([0, 128, 255], np.uint8), shape)
        yield np.full(shape, rng.integers(0, 256), np.uint8)


@pytest.mark.parametrize("shape", [(180, 180), (4, 4), (6, 6)])
def test_half_size_equals_pillow(shape):
    size = shape[1] // 2, shape[0] // 2
    for image in random_images(shape):
        resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(images.resize(image, min(size)), resized)
