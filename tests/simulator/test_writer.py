"""The simulated folder as a user gets it: checked, repeatable, resumable."""

import hashlib
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image, ImageDraw

from seen_jax import event_folder, files, see, see_folder
from seen_jax.cameras.sources import read_recording
from seen_jax.errors import UserError
from seen_jax.events import accumulate
from seen_jax.simulator import calibration, writer
from seen_jax.simulator.__main__ import main
from seen_jax.simulator.cast import plan
from seen_jax.simulator.clip import simulate_clip
from seen_jax.simulator.difficulty import EASY, HARD

VOLUNTEERS, CLIPS = 2, 3


def digest(folder):
    """Hashes of all files below a folder, by relative path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def command(out):
    return [
        sys.executable, "-m", "seen_jax.simulator", f"--out={out}",
        f"--volunteers={VOLUNTEERS}", f"--clips={CLIPS}", "--raw", "--workers=1",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(module_folder):
    out = module_folder / "see"
    writer.write_see_folder(out, VOLUNTEERS, CLIPS, raw=True, num_workers=2)
    return out


def test_the_folder_passes_the_check(folder):
    contents = see_folder.check(see_folder.SeeFolder(folder), num_workers=1)
    assert contents.problems == ()
    assert len(contents.clips) == CLIPS
    assert sorted(x.name for x in folder.iterdir()) == [
        "emotion.json", "event", "frame", "raw", "simulation.json",
    ]  # fmt: skip
    note = json.loads((folder / "simulation.json").read_text())
    assert (note["source"], note["simulator_version"]) == ("simulated (hard)", 3)


def test_images_are_as_published(folder):
    path = next((folder / "event").rglob("00003.jpg"))
    with Image.open(path) as image:
        assert (image.size, image.mode) == ((180, 180), "L")
        quality_75 = Image.new("L", (8, 8))
        quality_75.save(folder.parent / "q.jpg", quality=75)
        with Image.open(folder.parent / "q.jpg") as expected:
            assert image.quantization == expected.quantization


def test_raw_events_accumulate_to_the_event_frames(folder):
    clip = plan(VOLUNTEERS, CLIPS, 0)[1].name
    recorded = simulate_clip(clip, 0, HARD)
    assert set(np.unique(recorded.event_frames)) == {0, 128, 255}
    recording = read_recording(folder / "raw" / clip.emotion / f"{clip}.aedat4")
    frames = accumulate(
        recording.events, start_us=0, num_periods=clip.length, shape=(180, 180)
    )
    np.testing.assert_array_equal(frames, recorded.event_frames)
    np.testing.assert_array_equal(recording.intensity_frames, recorded.intensity_frames)
    # And the JPEGs are those frames but for the compression.
    path = folder / "event" / clip.emotion / str(clip) / "00005.jpg"
    with Image.open(path) as image:
        levels = np.array([0, 128, 255])[np.digitize(np.asarray(image), [64, 192])]
    assert (levels == frames[5]).mean() > 0.99


def test_the_command_for_recordings_gives_the_clip_back_from_its_raw_file(folder):
    clip = plan(VOLUNTEERS, CLIPS, 0)[1].name
    raw, out = folder / "raw" / clip.emotion / f"{clip}.aedat4", folder.parent / "clip"
    arguments = [f"--out={out}", "--start_us=0", "--crop=0,0,180"]
    assert event_folder.main([str(raw), *arguments]) == 0
    for kind in ("event", "frame"):
        assert digest(out / kind) == digest(folder / kind / clip.emotion / str(clip))


def test_one_moment_does_not_depend_on_the_clips_before():
    clips = plan(VOLUNTEERS, CLIPS, 0)
    alone = simulate_clip(clips[2].name, 0, HARD)
    simulate_clip(clips[0].name, 0, HARD)
    again = simulate_clip(clips[2].name, 0, HARD)
    np.testing.assert_array_equal(alone.event_frames, again.event_frames)
    np.testing.assert_array_equal(alone.intensity_frames, again.intensity_frames)
    other = simulate_clip(clips[2].name, 1, HARD)
    assert (alone.intensity_frames != other.intensity_frames).mean() > 0.5


def test_killed_and_run_again_it_ends_with_the_same_bytes(folder, tmp_path):
    out = tmp_path / "see"
    process = subprocess.Popen(command(out), start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(out.glob("event/*/*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 1 <= len(list(out.glob("event/*/*"))) < CLIPS
    assert not (out / "emotion.json").exists()  # so that nothing reads it as whole
    time.sleep(1.0)  # the worker notices that its parent is gone
    assert subprocess.run(command(out), check=False).returncode == 0
    assert digest(out) == digest(folder)


def test_other_arguments_and_other_folders_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"got others \(seed 0 there, 5 now\)"):
        writer.write_see_folder(folder, VOLUNTEERS, CLIPS, seed=5, raw=True)
    words = r"source simulated \(hard\) there, simulated \(e"
    with pytest.raises(ValueError, match=words):
        writer.write_see_folder(folder, VOLUNTEERS, CLIPS, raw=True, difficulty=EASY)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"got one without simulation\.json"):
        writer.write_see_folder(tmp_path, VOLUNTEERS, CLIPS)
    (tmp_path / see.PROVENANCE_FILE).write_text("[1]")
    with pytest.raises(UserError, match=r"JSON object of the simulator, got \[1\]"):
        writer.write_see_folder(tmp_path, VOLUNTEERS, CLIPS)
    older = {"source": "simulated (hard)", "simulator_version": 2, "volunteers": 1}
    (tmp_path / see.PROVENANCE_FILE).write_text(json.dumps(older))
    now = writer.SIMULATOR_VERSION
    words = f"clips of version {now} of the simulator, got some of version 2; delete"
    with pytest.raises(UserError, match=f"{words} .* or give another folder$"):
        writer.write_see_folder(tmp_path, VOLUNTEERS, CLIPS)
    with pytest.raises(UserError, match="volunteers: expected 1 to 999"):
        main([f"--out={tmp_path / 'new'}", "--volunteers=0"])


def test_two_runs_do_not_write_to_one_folder(folder):
    with (
        files.held(folder / see.PROVENANCE_FILE),
        pytest.raises(UserError, match="expected no other process that writes there"),
    ):
        writer.write_see_folder(folder, VOLUNTEERS, CLIPS, raw=True)


def test_overexposed_clips_have_saturated_areas():
    clips = [x.name for x in plan(111, 111, 0) if x.name.lighting == "Overexposed"]
    frames = (simulate_clip(name, 0, EASY).intensity_frames[0] for name in clips[:6])
    assert any((frame == 255).mean() > 0.01 for frame in frames)


def test_a_run_killed_before_its_first_file_resumes(tmp_path):
    (tmp_path / f".{see.PROVENANCE_FILE}.part").write_text("{")  # as write_whole does
    writer.write_see_folder(tmp_path, 1, 2, num_workers=1)
    contents = see_folder.check(see_folder.SeeFolder(tmp_path), num_workers=1)
    assert contents.problems == ()
    assert contents.provenance["source"] == "simulated (hard)"


def test_the_sheet_says_what_it_shows(folder, tmp_path, monkeypatch):
    written = []
    draw_text = ImageDraw.ImageDraw.text

    def text(self, place, words, *rest):
        written.append(words)
        draw_text(self, place, words, *rest)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    clips = [*see_folder.check(see_folder.SeeFolder(folder)).clips.values()]
    sheet = calibration.contact_sheet(clips)
    titles = [x for x in written if x.endswith(" light")]
    assert written == [*titles, "intensity", "events"]
    known = {f"{x.annotation.label}\n{x.metadata['lighting']} light" for x in clips}
    assert titles and {*titles} == known
    # Below published panels of the same emotions and lightings, not all of which occur.
    for name in ("frame", "event"):
        for group in calibration._PANELS.values():
            Image.new("L", (9, 9)).save(tmp_path / f"{group}_{name}.png")
    (tmp_path / "lighting-low_event.png").rename(tmp_path / "kept.png")
    with pytest.raises(
        UserError, match=r"--panels: .*, got no lighting-low_event.png "
    ):
        calibration.main([str(folder), f"--panels={tmp_path}"])
    (tmp_path / "kept.png").rename(tmp_path / "lighting-low_event.png")
    both = calibration.contact_sheet(clips, tmp_path)
    assert both.size == (sheet.width, 2 * sheet.height)


def test_calibration_measures_what_pillow_and_numpy_measure(folder, capsys):
    assert calibration.main([str(folder), f"--sheet={folder.parent / 's.png'}"]) == 0
    printed = capsys.readouterr().out
    events, frames = [], []
    for path in sorted((folder / "event").rglob("*.jpg")):
        for values, kind in ((events, "event"), (frames, "frame")):
            with Image.open(str(path).replace("/event/", f"/{kind}/", 1)) as image:
                values.append(np.asarray(image.resize((90, 90), Image.BILINEAR)) / 255)
    line = next(x for x in printed.splitlines() if x.startswith("| all"))
    measured = [float(x) for x in line.split("|")[2:6]]
    expected = [np.mean(events), np.std(events), np.mean(frames), np.std(frames)]
    np.testing.assert_allclose(measured, expected, atol=6e-4)
    with Image.open(folder.parent / "s.png") as sheet:
        pixels, size = np.asarray(sheet), see.IMAGE_SIZE
    top, left = (length % size for length in pixels.shape)
    assert len(pixels) == top + 2 * size
    # Above each column and beside each row there is a title, dark on white.
    for start in range(left, pixels.shape[1], size):
        title = pixels[:top, start : start + size]
        assert title.min() < 64 and np.median(title) == 255
    for start in range(top, len(pixels), size):
        assert pixels[start : start + size, :left].min() < 64
    with pytest.raises(UserError, match=r"a name that ends in \.png, got 's\.xyz'"):
        calibration.main([str(folder), "--sheet=s.xyz"])
