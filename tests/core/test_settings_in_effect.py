"""A setting that says it has an effect is read by somebody; one that is not read says so."""

import ast

import pytest

from pgqueue.core.setting_catalogue import KNOWN_SETTINGS, Effect, Setting
from pgqueue.core.setting_names import find_setting
from pgqueue.core.settings import Settings
from tests.imports import modules_in

# Read under another name: database_url is what the URLs of Celery make.
READ_AS_ANOTHER = {"broker_url", "result_backend"}


def _names_read() -> set[str]:
    """The attributes of anything that is called conf, outside of the settings' own rooms."""
    return {
        node.attr
        for name, module in modules_in("pgqueue").items()
        if not name.startswith("pgqueue.core.setting")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute)
        and (
            (isinstance(node.value, ast.Name) and node.value.id == "conf")
            or (isinstance(node.value, ast.Attribute) and node.value.attr == "conf")
        )
    }


READ = {found.name for name in _names_read() if (found := find_setting(name))} | READ_AS_ANOTHER


@pytest.mark.parametrize("setting", KNOWN_SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_has_the_effect_that_it_tells_of(setting: Setting) -> None:
    assert (setting.name in READ) == (setting.effect is Effect.EFFECTIVE)


def test_a_setting_to_come_is_listed_when_it_is_given() -> None:
    conf = Settings({"task_acks_late": False, "task_time_limit": 5, "lease_seconds": 5})

    listed = {row.name: row.effect for row in conf.without_effect()}

    assert listed == {"task_acks_late": Effect.TO_COME, "task_time_limit": Effect.TO_COME}
