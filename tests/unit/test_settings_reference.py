"""docs/settings.md is made from the settings models, and every setting is described."""

import re
from itertools import chain

import pytest

from chassis.settings import describe
from mercato.cli.settings import PAGE, settings_page
from mercato.settings import models

SETTINGS = list(chain.from_iterable(describe(model) for model in models().values()))


def test_page_is_what_the_models_say():
    assert PAGE.read_text() == settings_page(), "run: mercato settings"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_setting_has_a_meaning_and_a_unit_where_it_is_a_duration(setting):
    assert setting.meaning.endswith(".")
    if re.fullmatch(r"\d+\.\d+", setting.default):
        assert setting.unit


def test_page_lists_every_setting_once():
    listed = re.findall(r"^\| `([A-Z_]+)` \| .* \| .* \| .* \|$", PAGE.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(setting.name for setting in SETTINGS)
    assert {"LEASE", "MONGODB_URI", "OPEN_CHECKOUTS", "REPLICAS"} <= set(listed)
