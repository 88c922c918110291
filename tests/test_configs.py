"""The configs: the published settings, and nothing else changed."""

import importlib
from pathlib import Path

import pytest

from configs import default
from seen_jax.data.windows import SETTINGS, Setting
from seen_jax.training import fields

NAMES = sorted(path.stem for path in (Path(default.__file__).parent).glob("*.py"))
RECIPE = {  # Reference: the paper and the released program
    "batch_size": 32, "num_epochs": 180, "learning_rate": 0.015, "momentum": 0.9,
    "learning_rate_decay": 0.94, "weight_decay": 0.001, "seed": 2022,
    "eval_passes": 20, "dataset": "published", "select": "last",
}  # fmt: skip


def load(name):
    return importlib.import_module(f"configs.{name}")


def test_there_is_a_config_for_each_published_setting():
    settings = {str(setting).lower() for setting in SETTINGS}
    assert set(NAMES) == settings | {"default", "demo"}


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_one_that_training_takes(name):
    config = load(name).get_config()
    fields.check(config)
    assert set(config) == set(default.get_config())
    assert "config=configs/" in load(name).__doc__


@pytest.mark.parametrize("setting", [str(setting) for setting in SETTINGS])
def test_a_setting_changes_its_own_two_fields(setting):
    config = load(setting.lower()).get_config()
    assert str(Setting(config.num_event_frames, config.skip)) == setting
    assert {name: config[name] for name in RECIPE} == RECIPE
    assert f"{setting} as published" in load(setting.lower()).__doc__
