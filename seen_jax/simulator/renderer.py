"""From an anatomy and a pose to the light that leaves the eye region.

`render` is a pure function of measures, pose and light: relief of the face -> shading,
map of the skin at rest -> reflectance, and the eyeball seen between the lids. Shapes
are formulas with smooth edges instead of meshes, so that a movement by a tenth of a
pixel changes the image by a tenth of the change of a whole pixel, as an event camera
needs. Radiance 1 is a white sheet in the normal lighting.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from seen_jax.simulator.accessories import Worn
from seen_jax.simulator.anatomy import MAP_SIZE, MARGIN, SIZE, Anatomy, brow_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Pose:
    """What the muscles do at one moment; lengths in pixels, the rest 0 to about 1."""

    lid: jax.Array  # upper lid: 0 closed, 1 open at rest, above 1 widened
    lower_lid: jax.Array  # tightening and raise of the lower lid
    brow_inner: jax.Array  # raise of the brow's inner end, negative: lowered
    brow_outer: jax.Array
    brow_pull: jax.Array  # of the inner end towards the nose
    furrow: jax.Array  # folds between the brows
    nose: jax.Array  # folds beside the nose
    cheek: jax.Array  # raised cheek and folds at the outer corner
    gaze_x: jax.Array
    gaze_y: jax.Array
    pupil: jax.Array  # radius against the resting one
    slip_x: jax.Array  # of the helmet
    slip_y: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Light:
    """Light on the face; directions point from the face to the lamp."""

    ambient: jax.Array
    lamp: jax.Array
    direction_x: jax.Array
    direction_y: jax.Array
    patch: jax.Array  # strength of a bright patch
    patch_x: jax.Array
    patch_y: jax.Array
    patch_size: jax.Array  # across; it is 1.6 times as high
    glint_x: jax.Array  # where the cornea shows the lamp, from the iris' middle
    glint_y: jax.Array
    glint: jax.Array  # radiance of the reflection


def _bump(distance, width):
    """About exp(-(distance / width)^2), of compact support and without an exp."""
    x = jnp.maximum(1.0 - jnp.square(distance) * (0.125 / (width * width)), 0.0)
    return jnp.square(jnp.square(jnp.square(x)))


def _edge(distance, width):
    """0 to 1 across an edge `width` wide; `distance` is positive inside."""
    x = jnp.clip(0.5 + distance / width, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _wave(phase):
    """Approximates a sine of period 1 by two parabolas."""
    x = 2.0 * (phase - jnp.floor(phase)) - 1.0
    return 4.0 * x * (jnp.abs(x) - 1.0)


def render(
    anatomy: Anatomy,
    skin: jax.Array,
    poses: Pose,
    light: Light,
    worn: Worn | None = None,
) -> jax.Array:
    """Renders a run of moments.

    Args:
      anatomy: measures of the volunteer, scalars.
      skin: reflectance of the resting skin, (MAP_SIZE, MAP_SIZE).
      poses: each field (N,).
      light: scalars.
      worn: glasses and tears, scalars; None for neither.

    Returns:
      Radiance (N, SIZE, SIZE), at least 0, not limited above.
    """

    # One loop after the other, so that XLA keeps the result of each. Fused, it would
    # recompute the lids' lines for every row and the relief for every neighbour that
    # the slopes need, and none of it vectorised: four times slower.
    def each(fn, *inputs):
        return jax.lax.map(lambda moment: fn(*moment), (poses, *inputs))

    lids = each(lambda pose: _lid_lines(anatomy, pose, _grid(pose)[1]))
    reliefs = each(functools.partial(_relief, anatomy), lids)
    shadings = each(functools.partial(_shading, light), reliefs)
    skins = each(functools.partial(_moved_skin, anatomy, skin), lids)
    face = functools.partial(_face_and_eye, anatomy, light, worn)
    return each(face, lids, shadings, skins)


def _grid(pose: Pose):
    """Rows (H, 1), columns (1, W) on the slipped face, with a border of one pixel."""
    at = jnp.arange(-1, SIZE + 1, dtype=jnp.float32)
    return at[:, None] - pose.slip_y, at[None, :] - pose.slip_x


def _without_border(pose: Pose, lids):
    rows, columns = _grid(pose)
    lines = {name: line[:, 1:-1] for name, line in lids.items()}
    return rows[1:-1], columns[:, 1:-1], lines


def _face_and_eye(anatomy, light, worn, pose: Pose, lids, shading, skin):
    rows, columns, lids = _without_border(pose, lids)
    reflectance = skin * _lash_shade(anatomy, pose, rows, lids)
    reflectance *= _occlusion(anatomy, rows, columns)
    face = reflectance * shading
    opening = _edge(rows - lids["upper"], 1.6) * _edge(lids["lower"] - rows, 1.6)
    opening *= _edge(0.995 - jnp.abs(lids["s"]), 0.03)
    eye = _eyeball(anatomy, pose, light, rows, columns, lids)
    if worn is None:
        return face + opening * (eye - face)
    eye += _tears(worn, pose, light, rows, columns, lids)
    return _behind_glasses(worn, pose, light, face + opening * (eye - face))


def _lid_lines(anatomy: Anatomy, pose: Pose, columns):
    """Rows of both lid edges and of the fold over columns (1, W)."""
    s = (columns - anatomy.eye_x) / anatomy.eye_half_width
    inside = jnp.clip(1.0 - s * s, 1e-4, 1.0)
    corners = (
        anatomy.eye_y + anatomy.eye_tilt * s + 3.0 * jnp.square(jnp.maximum(s, 0.0))
    )
    lower = corners + inside * (
        anatomy.lower_depth * (1.0 - 0.62 * pose.lower_lid) - 4.0 * pose.cheek
    )
    shape = inside**0.72 * (1.0 + 0.45 * anatomy.lid_apex * s)
    gap = anatomy.aperture * (
        pose.lid - 0.22 * pose.lower_lid - 0.18 * pose.cheek - 0.1 * pose.nose
    )
    upper = lower - jnp.maximum(gap, 0.0) * shape
    fold = upper - inside**0.4 * (
        anatomy.crease_height + 6.0 * jnp.clip(1.0 - pose.lid, -0.4, 1.0)
    )
    return {"s": s, "inside": inside, "upper": upper, "lower": lower, "fold": fold}


def _brow_shift(anatomy: Anatomy, pose: Pose, columns):
    """How far (upwards) the brow has moved over each column."""
    along = jnp.clip((columns - anatomy.eye_x + 65.0) / 130.0, 0.0, 1.15)
    return pose.brow_outer + (pose.brow_inner - pose.brow_outer) * along


def _relief(anatomy: Anatomy, pose: Pose, lids):
    """Height of the face towards the camera in pixels, with a border of one pixel."""
    rows, columns = _grid(pose)
    a, s, inside = anatomy, lids["s"], lids["inside"]
    x, y = columns - a.eye_x, rows - a.eye_y
    shift = _brow_shift(a, pose, columns)
    ridge = a.brow_ridge * (1.0 + 0.35 * pose.furrow)
    z = a.eyeball_height * _bump(x, 44.0) * _bump(y + 2.0, 27.0)
    z += ridge * _bump(rows - brow_line(a, columns) + 0.8 * shift - 3.0, 15.0)
    z += a.nose_height * _edge(columns - a.nose_x + 0.10 * (rows - 60.0), 52.0)
    z -= a.hollow * _bump(x - 56.0, 15.0) * _bump(y + 14.0, 20.0)
    z += 14.0 * _bump(x + 18.0, 70.0) * _bump(y - 78.0 + 12.0 * pose.cheek, 42.0)
    z -= 0.0045 * jnp.square(jnp.maximum(62.0 - columns, 0.0))
    # Folds: the upper lid's, the bag below the eye, and those of moving muscles.
    near = jnp.clip(1.6 - jnp.abs(s), 0.0, 0.6) / 0.6
    open_ = jnp.clip(pose.lid, 0.15, 1.1)
    z -= 1.5 * a.crease * open_ * near * _bump(rows - lids["fold"], 2.1)
    z -= 0.9 * near * _bump(rows - lids["fold"] + 7.0, 6.0) * open_
    bag = a.bag + 1.5 * pose.lower_lid + 3.0 * pose.cheek
    z += 1.1 * bag * inside * _bump(rows - lids["lower"] - 6.5, 4.2)
    z -= 0.6 * bag * inside * _bump(rows - lids["lower"] - 14.0, 3.5)
    return z - a.wrinkle * _wrinkles(pose, x, y, shift)


def _wrinkles(pose: Pose, x, y, shift):
    """Depth of the folds of moving skin; each muscle folds across its pull."""
    outer = _bump(x + 66.0, 13.0)  # crow's feet fan out from the outer corner
    fan = (
        _bump(y + 7.0 - 0.45 * (x + 62.0), 2.2)
        + _bump(y - 4.0 - 0.05 * (x + 62.0), 2.3)
        + _bump(y - 15.0 + 0.4 * (x + 62.0), 2.4)
    )
    under = _bump(x - 4.0, 40.0) * (
        _bump(y - 20.0 + 0.004 * x * x, 2.4)
        + 0.6 * _bump(y - 28.0 + 0.006 * x * x, 2.8)
    )
    bridge = _bump(x - 74.0, 13.0) * (
        _bump(y + 22.0 + 0.55 * (x - 74.0), 1.9)
        + _bump(y + 10.0 + 0.35 * (x - 74.0), 2.0)
        + _bump(y - 1.0 + 0.15 * (x - 74.0), 2.1)
    )
    between = _bump(y + 52.0, 16.0) * (
        _bump(x - 76.0 - 0.12 * y, 2.0) + 0.8 * _bump(x - 66.0 - 0.15 * y, 2.3)
    )
    forehead = _bump(x - 10.0, 62.0) * (
        _bump(y + 88.0 + 0.5 * shift + 0.002 * x * x, 3.0)
        + 0.7 * _bump(y + 100.0 + 0.4 * shift - 0.001 * x * x, 3.2)
    )
    raised = jnp.clip(shift / 13.0, 0.0, 1.2)
    return (
        2.0 * pose.cheek * outer * fan
        + 1.0 * (pose.cheek + 0.6 * pose.nose) * under
        + 3.0 * pose.nose * bridge
        + 2.8 * pose.furrow * between
        + 1.3 * raised * forehead
    )


def _shading(light: Light, pose: Pose, relief):
    """Light that falls on each point: ambient, a lamp by Lambert's law, a patch."""
    rows, columns, _ = _without_border(pose, {})
    slope_x = 0.5 * (relief[1:-1, 2:] - relief[1:-1, :-2])
    slope_y = 0.5 * (relief[2:, 1:-1] - relief[:-2, 1:-1])
    facing = 1.0 - slope_x * light.direction_x - slope_y * light.direction_y
    length = jnp.sqrt(1.0 + slope_x**2 + slope_y**2) * jnp.sqrt(
        1.0 + light.direction_x**2 + light.direction_y**2
    )
    lambert = jnp.maximum(facing / length, 0.0)
    away = jnp.square((columns - light.patch_x) / light.patch_size) + jnp.square(
        (rows - light.patch_y) / (1.6 * light.patch_size)
    )
    lamp = light.lamp * (1.0 + light.patch * jnp.exp(-away))
    return light.ambient / jnp.sqrt(1.0 + slope_x**2 + slope_y**2) + lamp * lambert


def _moved_skin(anatomy: Anatomy, skin, pose: Pose, lids):
    """Looks up the resting map where each point's skin comes from."""
    rows, columns, lids = _without_border(pose, lids)
    shift = _brow_shift(anatomy, pose, columns)
    brow = brow_line(anatomy, columns)
    below = jnp.maximum(rows + shift - brow, 0.0)
    above = jnp.maximum(brow - rows - shift, 0.0)
    with_brow = _bump(below, 26.0) * _bump(above, 75.0)
    lid_rest = anatomy.aperture * (1.0 - pose.lid)
    above_edge = jnp.maximum(lids["upper"] - rows, 0.0)
    with_lid = jnp.where(above_edge > 0, lids["inside"] * _bump(above_edge, 13.0), 0.0)
    with_cheek = _edge(rows - lids["lower"] - 6.0, 14.0)
    source_y = rows + with_brow * shift - 0.8 * with_lid * lid_rest
    source_y += with_cheek * (9.0 * pose.cheek + 4.0 * pose.nose)
    inner = _edge(columns - anatomy.eye_x - 18.0, 60.0)
    source_x = columns - with_brow * inner * pose.brow_pull
    source_x -= with_cheek * inner * 3.0 * pose.nose
    return _bilinear(skin, source_y + MARGIN, source_x + MARGIN)


def _occlusion(anatomy: Anatomy, rows, columns):
    """How much ambient light reaches the hollow beside the nose and the eye's rim."""
    x, y = columns - anatomy.eye_x, rows - anatomy.eye_y
    hollow = _bump(x - 54.0, 20.0) * _bump(y + 22.0, 24.0)
    rim = _bump(x + 3.0, 56.0) * _bump(y + 2.0, 25.0)
    return 1.0 - anatomy.shade * (0.9 * hollow + 0.5 * rim)


def _bilinear(image, rows, columns):
    """Samples a square image between its pixels; positions outside are clipped."""
    rows = jnp.clip(rows, 0.0, MAP_SIZE - 1.001)
    columns = jnp.clip(columns, 0.0, MAP_SIZE - 1.001)
    top, left = rows.astype(jnp.int32), columns.astype(jnp.int32)
    down, right = rows - top.astype(jnp.float32), columns - left.astype(jnp.float32)
    flat, at = image.reshape(-1), top * MAP_SIZE + left
    upper = flat[at] + (flat[at + 1] - flat[at]) * right
    at = at + MAP_SIZE
    lower = flat[at] + (flat[at + 1] - flat[at]) * right
    return upper + (lower - upper) * down


def _lash_shade(anatomy: Anatomy, pose: Pose, rows, lids):
    """How much light the lashes and the lid's edge leave, 0 to 1."""
    s, width = lids["s"], anatomy.eye_half_width
    reach = jnp.clip(1.16 - jnp.abs(s + 0.06), 0.0, 0.3) / 0.3
    height = lids["upper"] - rows  # above the upper lid's edge
    closed = jnp.clip(1.0 - 1.4 * pose.lid, 0.0, 1.0)
    line = anatomy.lid_line * reach * _bump(height - 0.8, 2.4 + 0.6 * closed)
    # Strands fan outwards; those of a closed lid hang below it.
    fan = s * width * (0.147 + 0.002 * height) + anatomy.lash_phase
    strand = 0.5 + 0.5 * _wave(fan + 0.27 * _wave(0.2 * fan))
    up = jnp.clip(1.0 - height / anatomy.lash_length, 0.0, 1.0)
    up = jnp.where(height > 0, up, 0.0)
    hang = jnp.clip(1.0 + height / (anatomy.lash_length + 2.0), 0.0, 1.0)
    hang = jnp.where(height < 0, hang * closed, 0.0)
    lashes = 0.62 * reach * strand * (up * (1.0 - closed) + hang)
    lashes += 0.18 * reach * up
    depth = rows - lids["lower"]  # below the lower lid's edge
    few = 0.25 + 0.75 * strand
    lower = 0.24 * reach * few * _bump(depth - 2.4, 2.2) - 0.10 * reach * _bump(
        depth, 1.4
    )
    corner = 0.35 * _bump(jnp.abs(s) - 1.0, 0.10) * _bump(height, 3.0)
    return jnp.clip(1.0 - jnp.maximum(line, lashes) - reach * lower - corner, 0.06, 1.2)


def _tears(worn: Worn, pose: Pose, light: Light, rows, columns, lids):
    """Radiance of the wet line on the lower lid, which glitters as the eye moves."""
    line = _bump(lids["lower"] - rows - 1.6, 1.5) * lids["inside"]
    glitter = 0.6 + 0.4 * _wave(0.06 * columns + 0.25 * (pose.gaze_x + pose.slip_x))
    return worn.tears * (light.ambient + light.lamp) * line * glitter


def _behind_glasses(worn: Worn, pose: Pose, light: Light, image):
    """Draws frame, bridge and arm over an image (H, W), and the lens' reflection."""
    rows, columns, _ = _without_border(pose, {})
    y, x = rows - worn.rim_y, columns - worn.rim_x
    across, down = x / worn.rim_half_width, y / worn.rim_half_height
    # A rounded rectangle: the curve on which the fourth powers add up to 1.
    radius = jnp.sqrt(jnp.sqrt(jnp.square(across**2) + jnp.square(down**2) + 1e-6))
    off_rim = jnp.abs(radius - 1.0) * worn.rim_half_height
    rim = _edge(0.5 * worn.rim_thickness - off_rim, 1.5)
    off_bar = jnp.abs(y + 0.4 * worn.rim_half_height)
    bar = _edge(0.5 * worn.rim_thickness - off_bar, 1.5)
    rim = jnp.maximum(rim, bar * _edge(jnp.abs(across) - 1.0, 0.05))
    # A mirror that turns moves what it shows twice as far.
    mirrored = jnp.square(
        (x - pose.slip_x - worn.reflection_x) / worn.reflection_size
    ) + jnp.square((y - pose.slip_y - worn.reflection_y) / worn.reflection_size)
    inside = _edge(1.0 - radius, 0.1) * worn.reflection
    shine = inside * light.lamp * jnp.exp(-jnp.square(mirrored))
    return (image + shine) * (1.0 - worn.rim * rim)


def _rays(cosine, sine, phase):
    """A pattern of radial rays from the multiples of an angle, doubled in turn."""
    c, s = cosine, sine
    rays = 0.0
    for weight in (0.15, 0.2, 0.3, 0.35):
        c, s = c * c - s * s, 2.0 * c * s
        rays += weight * (c * jnp.cos(phase) + s * jnp.sin(phase))
    return rays


def _eyeball(anatomy: Anatomy, pose: Pose, light: Light, rows, columns, lids):
    """Radiance of sclera, iris, pupil and the cornea's reflections."""
    a = anatomy
    iris_x = a.eye_x + 3.0 + pose.gaze_x
    iris_y = a.eye_y - 3.0 + pose.gaze_y
    x, y = columns - iris_x, rows - iris_y
    radius = jnp.sqrt(x * x + y * y + 1e-3)
    rays = _rays(x / radius, y / radius, a.iris_phase)
    iris = a.iris_reflectance * (0.85 + 0.35 * rays * radius / a.iris_radius)
    iris *= 1.0 + 0.9 * _bump(y - 0.5 * a.iris_radius, 0.45 * a.iris_radius)
    iris *= 1.0 - 0.55 * _bump(radius - a.iris_radius, 2.4)  # limbal ring
    iris *= 1.0 - 0.85 * _edge(a.pupil_radius * pose.pupil - radius, 2.0)
    bulge = jnp.square((columns - a.eye_x) / (a.eye_half_width * 1.25))
    sclera = a.sclera_reflectance * (1.0 - 0.55 * bulge)
    pink = _edge(lids["s"] - 0.86, 0.16)  # the inner corner's caruncle
    sclera += pink * (0.75 * a.skin - sclera)
    ball = sclera + _edge(a.iris_radius - radius, 2.2) * (iris - sclera)
    under_lid = 1.0 / (1.0 + jnp.square(jnp.maximum(rows - lids["upper"], 0.0) / 4.0))
    over_lid = _bump(jnp.maximum(lids["lower"] - rows, 0.0), 2.4)
    ball *= (1.0 - 0.75 * under_lid) * (1.0 - 0.25 * over_lid)
    shine = light.ambient + light.lamp * 0.8
    glint = light.glint * (
        _bump(x - light.glint_x, 2.1) * _bump(y - light.glint_y, 2.4)
        + 0.4 * _bump(x - light.glint_x + 7.0, 1.4) * _bump(y - light.glint_y, 1.6)
        + 0.1 * _bump(x + 6.0, 2.6) * _bump(y - 7.0, 2.6)
    )
    return ball * shine + glint * (1.0 - 0.8 * under_lid)
