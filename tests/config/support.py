"""Modules of settings, and what is wrong with some."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest

from reliable_tasks.config.conf import Conf
from reliable_tasks.errors import ConfigError


def module(**names: object) -> ModuleType:
    made = ModuleType("settings_of_a_test")
    vars(made).update(names)
    return made


def error(values: Mapping[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        Conf(values).settings()
    return str(caught.value)
