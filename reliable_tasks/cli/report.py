"""`report`: versions, the store and settings, for a bug report."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import TYPE_CHECKING

import click

from reliable_tasks import __version__
from reliable_tasks.config.conf import Settings, mask_url, store_url
from reliable_tasks.config.masks import masked as covered
from reliable_tasks.errors import StoreError

from ._context import Chosen, app_options
from ._say import say

if TYPE_CHECKING:
    from reliable_tasks.app import App

__all__ = ["command"]

_OWN = "reliable_tasks."  # names of the tasks that every app has
_LIBRARIES = ("apsw", "click", "cronsim", "msgspec", "redis", "structlog", "tenacity")


@click.command("report")
@click.option("--acl", is_flag=True, help="Print the rule a Redis user needs, and nothing else.")
@app_options
@click.pass_obj
def command(chosen: Chosen, acl: bool) -> None:
    """Show versions, the store and settings, with secrets covered."""
    app = chosen.find_app() if chosen.names_app else chosen.open_app()
    if acl:
        say(_acl(app))
        return
    app.import_modules()
    say(f"reliable-tasks {__version__}")
    say(f"python         {platform.python_version()} ({sys.executable})")
    say(f"platform       {platform.platform()}, {os.cpu_count()} processors")
    say(f"libraries      {', '.join(_versions())}")
    say(f"app            {app.main}: {sum(not name.startswith(_OWN) for name in app.tasks)} tasks")
    say(f"broker         {mask_url(app.settings.broker_url)}")
    for line in _store_lines(app):
        say(line)
    say("\nsettings that differ from the defaults:")
    for name, value in _changed(app.settings):
        say(f"  {name} = {value!r}")
    for note in app.conf.notes:
        say(f"  note: {note}")


def _versions() -> list[str]:
    found = []
    for library in _LIBRARIES:
        try:
            found.append(f"{library} {importlib.metadata.version(library)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{library} is missing")
    return found


def _store_lines(app: App) -> list[str]:
    try:
        store = app.store
        lines = [f"store          {store.location}"]
        health = store.health()
        lines += [f"  holds: {text}" for text in health.holds]
        lines += [f"  WARNING: {text}" for text in health.warnings]
        states = store.counts().states
        lines.append(f"messages       {', '.join(f'{n} {s}' for s, n in states.items()) or 'none'}")
    except StoreError as error:
        # A report is wanted most of all when the store is not there.
        return [f"store          cannot be used: {error}"]
    return lines


def _changed(settings: Settings) -> list[tuple[str, object]]:
    usual = Settings()
    names = Settings.__struct_fields__
    return [
        (name, covered(getattr(settings, name), name))
        for name in names
        if getattr(settings, name) != getattr(usual, name)
    ]


def _acl(app: App) -> str:
    """The rules as `ACL SETUSER name` of the server takes them.

    Raises:
        click.UsageError: the store is not Redis.
    """
    if store_url(app.settings).kind != "redis":
        raise click.UsageError("--acl is about Redis; the store is SQLite, which has no users")
    from reliable_tasks.store.redis import RedisStore, acl_rules  # noqa: PLC0415 - only for Redis

    try:
        store = app.store
        if isinstance(store, RedisStore):
            return store.acl_rules()
    except StoreError as error:
        say(f"rules for any server from 6.2 on, since this one was not asked: {error}", err=True)
    cluster = store_url(app.settings).scheme == "cluster"
    return acl_rules(app.settings.store_namespace, is_cluster=cluster)
