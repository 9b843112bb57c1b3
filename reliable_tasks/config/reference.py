"""The reference of settings, written from the settings themselves."""

from collections.abc import Iterator, Mapping
from itertools import groupby

from reliable_tasks.config.names import NOTED, OLD_NAMES, REFUSED
from reliable_tasks.config.settings import READ_AT_OPENING, Settings, described

__all__ = ["settings_table"]

_HEAD = """\
# Settings

Set them on `app.conf`, load them with `app.config_from_object(…)`, or give them to the environment
as `RELIABLE_TASKS_` and the name in upper case (lists with commas, dicts as JSON). The last
assignment wins over the environment, the environment over loaded sources, a later source over an
earlier one. Durations take a number of seconds or a `timedelta`.

Celery's old upper-case names (`BROKER_URL`, `CELERY_TIMEZONE`, …) are other spellings of the same
settings, and so are the present names in upper case behind `CELERY_`.

Settings marked with ¹ are read when the store is opened, at the app's first call: to change one
afterwards is a `ConfigError` at that line. All others are read where they are used; those of a
worker and of beat when these start.

What no setting is called (`conf.update(flask_app.config)`, `conf.my_setting = 1`) is kept as a
value of your own: an attribute and an item of `app.conf`, and the worker's banner names it once.
A name that is almost a setting's (`worker_concurency`, `BROKER_URI`) is an error that says which
was meant, and so is any other name among the arguments of `App(…)`. `app.add_defaults({…})` holds
where nothing else sets a name. `conf.table()` and `conf.humanize()` show what was set, with
secrets covered.

`task_routes` gives calls a queue, and other options, where neither the call nor its task does:

    app.conf.task_routes = [
        {"mail.*": "mail", "video.cut": {"queue": "media", "priority": 9}},
        (re.compile(r"report\\.(daily|weekly)"), "reports"),
        route_by_tenant,           # a function: (name, args, kwargs, options, task=None, **kw)
        "shop.routers.by_size",    # or its dotted name, imported when it is first needed
    ]

The parts are asked in order, and the first that answers counts; a function answers with the name
of a queue, a dict, or None. What it raises comes out of the call.

This page is written by `settings_table()` of `reliable_tasks.config.conf`.
"""


def settings_table() -> str:
    """Return the reference page of all settings, as Markdown."""
    return "\n".join([_HEAD, *_settings(), *_others()])


def _settings() -> Iterator[str]:
    defaults = Settings()
    for group, names in groupby(described, key=lambda name: described[name].group):
        yield f"## {group}\n\n| name | default | value | meaning |\n| --- | --- | --- | --- |"
        for name in names:
            about = described[name]
            unit = f" {about.unit}" if about.unit else ""
            default = getattr(defaults, name)
            shown = f"`{default!r}`" + (unit if default is not None else "")
            old = [f"`{before}`" for before, now in OLD_NAMES.items() if now == name]
            formerly = f" Formerly {', '.join(old)}." if old else ""
            unit_is_clear = not about.unit or about.kind.words.startswith("seconds")
            value = about.kind.words + ("" if unit_is_clear else f" ({about.unit})")
            mark = " ¹" if name in READ_AT_OPENING else ""
            yield f"| `{name}` | {shown} | {value} | {about.doc}{formerly}{mark} |"
        yield ""


def _others() -> Iterator[str]:
    yield "## Accepted without effect\n"
    yield (
        "These names of Celery's load, and the worker's log says once why they are not needed.\n"
    )
    yield from _by_reason(NOTED)
    yield "\n## Refused\n"
    yield (
        "These ask for something that is not there. A value that asks for nothing (`None`, `False`,"
        "\nempty) is accepted.\n"
    )
    yield from _by_reason(REFUSED)
    yield ""


def _by_reason(table: Mapping[str, str]) -> Iterator[str]:
    for reason, names in groupby(table, key=lambda name: table[name]):
        yield f"- {', '.join(f'`{name}`' for name in names)}: {reason}."
