"""What tests override in Django's settings: it holds for the app as long as it does there."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.signals import setting_changed

from reliable_tasks.config.sources import prefix_of

if TYPE_CHECKING:
    from reliable_tasks.config.conf import Conf

__all__ = ["follow"]

_NAMES = frozenset({"django.conf:settings", "django.conf.settings"})

_followers: list[_Follower] = []


def follow(conf: Conf, source: Any, namespace: str | None) -> None:
    """Have an app's settings follow what `override_settings` and its like do to Django's.

    Args:
        conf: the app's settings.
        source: what they were loaded from; nothing is followed unless that is Django's settings.
        namespace: that of the names.
    """
    if not (source is settings or (isinstance(source, str) and source in _NAMES)):
        return
    _followers[:] = [each for each in _followers if each.conf() is not None]
    _followers.append(_Follower(conf, namespace))
    setting_changed.connect(_changed, dispatch_uid=__name__)


def _changed(setting: str, enter: bool, **_: Any) -> None:
    for follower in tuple(_followers):
        follower.changed(setting, enter)


class _Follower:
    """The settings of one app, and what was set before each override that holds.

    Attributes:
        conf: a weak reference to the settings.
    """

    def __init__(self, conf: Conf, namespace: str | None) -> None:
        self.conf = weakref.ref(conf)
        self._namespace = namespace
        self._prefix = prefix_of(namespace)
        self._before: dict[str, list[tuple[Any, ...] | None]] = {}

    def changed(self, setting: str, enter: bool) -> None:
        """Take over a setting that begins to be overridden, or ends to be."""
        conf = self.conf()
        if conf is None or not self._is_ours(conf, setting):
            return
        before = self._before.setdefault(setting, [])
        if enter:
            # What is read later finds the overridden value there by itself.
            before.append(conf.set_now(setting, self._namespace) if conf.loaded else None)
            self._take(conf, setting)
            return
        if not before:
            return  # the name was refused, or the app is younger
        was = before.pop()
        if conf.loaded:
            conf.put_back(setting, self._namespace, was or ())
        if was is None:
            self._take(conf, setting)

    def _take(self, conf: Conf, setting: str) -> None:
        if conf.loaded and hasattr(settings, setting):
            conf.load({setting: getattr(settings, setting)}, namespace=self._namespace)

    def _is_ours(self, conf: Conf, setting: str) -> bool:
        """Whether it may be the app's: without a namespace, only what is called like a setting."""
        return setting.startswith(self._prefix) if self._prefix else setting in conf
