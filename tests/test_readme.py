"""The README's Python runs as it stands."""

import re
import subprocess
import sys

from PIL import Image

from configs import default
from seen_jax.training import fields
from tests import helpers
from tests.helpers import ROOT

README = (ROOT / "README.md").read_text()


def test_python(tmp_path):
    """On records and a run that lie where the quickstart's do."""
    root = tmp_path / "data" / "quickstart"
    root.mkdir(parents=True)
    helpers.write_run(root, {3: 0.5}, num_event_frames=1, skip=0, batch_size=3)
    build = [sys.executable, "datasets/see_tfds/build.py", root / "see", root / "data"]
    subprocess.run([*build, "--config=by_volunteer"], cwd=ROOT, check=True)
    (root / "tfds").symlink_to(root / "data")

    blocks = re.findall("```python\n(.*?)```", README, re.S)
    blocks = [x for x in blocks if "bundle" not in x]  # see tests/runtime/test_command
    assert len(blocks) == 2
    environment = helpers.cpu_environment(1, PYTHONPATH=str(ROOT), MPLBACKEND="Agg")
    for block in blocks:
        subprocess.run(
            [sys.executable, "-c", block], cwd=tmp_path, env=environment, check=True
        )
    with Image.open(tmp_path / "clip.png") as picture:
        assert picture.width > 100


def test_a_flag_for_every_row_of_the_papers_table():
    table = re.findall(r"^\| ([A-L]) \|.*\| `--config\.(\w+)=(\w+)` \|$", README, re.M)
    assert [row for row, *_ in table] == [*"ABCDEFGHIJKL"]
    config = default.get_config().to_dict()
    for _, field, value in table:
        assert config[field] != value
        fields.check(config | {field: value})
    assert len({(field, value) for _, field, value in table}) == 12
