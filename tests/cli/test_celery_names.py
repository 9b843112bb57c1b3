"""Celery's commands and options: each is here, or a word says what is."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import Result

from reliable_tasks.cli import cli
from reliable_tasks.cli._elsewhere import ELSEWHERE
from reliable_tasks.cli._group import COMMANDS
from reliable_tasks.store.values import SessionInfo
from tests.cli.support import Shop
from tests.documents import check_arguments

Run = Callable[..., Result]
Mistake = Callable[..., str]

CELERYS = """
import json
from celery.bin.celery import celery

def options(command):
    return sorted({name for p in command.params for name in p.opts + p.secondary_opts})

print(json.dumps({"": options(celery), **{n: options(c) for n, c in celery.commands.items()}}))
"""


@pytest.fixture(scope="module")
def celerys() -> dict[str, list[str]]:
    """The options of each command of the installed Celery, those of the root under ""."""
    found = subprocess.run(
        [sys.executable, "-c", CELERYS], capture_output=True, text=True, check=True
    )
    options: dict[str, list[str]] = json.loads(found.stdout)
    return options


def test_each_command_of_celery_is_here_or_told(celerys: dict[str, list[str]]) -> None:
    assert len(celerys) > 15
    assert set(celerys) - {""} <= set(COMMANDS) | set(ELSEWHERE)
    assert not set(COMMANDS) & set(ELSEWHERE)


def test_each_option_of_celery_is_taken(celerys: dict[str, list[str]]) -> None:
    missing = []
    for name, options in celerys.items():
        command = cli if not name else cli.get_command(click.Context(cli), name)
        if command is None:
            continue
        ours = {opt for p in command.params for opt in p.opts + p.secondary_opts}
        missing += [(name, opt) for opt in options if opt.startswith("-") and opt not in ours]
    assert missing == []


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_a_command_that_is_elsewhere_points_there(name: str, mistake: Mistake) -> None:
    said = mistake("-A", "proj", name, "something", "-x")
    assert f"there is no command {name!r}: " in said
    commands = re.findall(r"`([^`]+)`", ELSEWHERE[name])
    assert commands or "python -m reliable_tasks.migrate" in ELSEWHERE[name]
    for command in commands:
        with suppress(click.MissingParameter):
            check_arguments(shlex.split(command))


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("result", "m", "-t", "shop.add"), ["--task shop.add: not needed, an ID is enough"]),
        (("status", "-t", "3"), ["--timeout 3: not needed, the store is asked, not the workers"]),
        (("--loader", "x", "status"), ["--loader x: not needed"]),
    ],
)
def test_an_option_that_needs_nothing_here_is_told(
    args: tuple[str, ...], told: list[str], run: Run, shop: Shop
) -> None:
    shop.enqueue("m")
    said = run("-b", shop.url, *args).stderr
    assert len(said.splitlines()) == len(told)
    assert all(text in said for text in told)
    assert run("-q", "-b", shop.url, *args).stderr == ""


@pytest.mark.parametrize("command", ["worker", "beat"])
@pytest.mark.parametrize(
    "args", [("--detach",), ("--uid", "nobody"), ("--gid", "nogroup")], ids=" ".join
)
def test_what_a_process_manager_does_is_refused(
    command: str, args: tuple[str, ...], mistake: Mistake, tasks: str
) -> None:
    said = mistake("-A", tasks, command, *args)
    assert f"{args[0]} is not here" in said
    assert "systemd" in said


@pytest.fixture
def mask() -> Iterator[int]:
    before = os.umask(0o022)
    yield before
    os.umask(before)


@pytest.mark.usefixtures("mask", "tasks")
def test_a_mask_of_file_modes_is_set(mistake: Mistake) -> None:
    check_arguments(["worker", "--umask", "077"])
    assert os.umask(0o022) == 0o077
    for wrong in ("99", "-1", "07777", "x"):
        assert "in octal" in mistake("-A", "shop_tasks", "worker", f"--umask={wrong}")


def test_a_health_check_asks_for_a_worker(run: Run, mistake: Mistake, shop: Shop) -> None:
    leases_ms = {"one@h": 600_000, "two@h": 600_000, "three@h": 1}  # the third one is dead
    for name, lease_ms in leases_ms.items():
        info = SessionInfo(id=name, worker=name, pid=7, queues=("celery",))
        shop.store.open_session(info, lease_ms)
    opened_ms = shop.store.now_ms()
    while shop.store.now_ms() <= opened_ms + 1:
        pass
    told = run("-b", shop.url, "status", "-d", "one@h").stdout
    assert "one@h" in told
    assert "two@h" not in told
    run("-b", shop.url, "status", "-d", "one@h,two@h", "-j")
    gone = run("-b", shop.url, "status", "-d", "one@h,three@h", code=1)
    assert gone.stderr == "Error: no worker of this name is alive: three@h\n"


def test_call_takes_a_serializer_and_an_expiry(run: Run, mistake: Mistake, shop: Shop) -> None:
    args = ("-b", shop.url, "call", "shop.add", "-a", "[1]", "--serializer", "json")
    said = mistake("-b", shop.url, "call", "x", "--serializer", "msgpack")
    assert "serializer='msgpack'" in said
    for expires in ("2099-01-31T08:00:00Z", "2h"):
        line = run(*args, "--expires", expires).stdout
        record = shop.store.read([line.strip()], full=True)[0]
        assert record is not None
        assert record.expires_ms is not None
    assert "soon" in mistake(*args, "--expires", "soon")


def test_call_takes_a_routing_key_for_a_queue(run: Run, shop: Shop) -> None:
    line = run("-b", shop.url, "call", "shop.add", "--routing-key", "mail").stdout
    record = shop.store.read([line.strip()])[0]
    assert record is not None
    assert record.queue == "mail"
    run("-b", shop.url, "call", "shop.add", "--exchange", "x", "--routing-key", "mail")


def test_time_that_is_up_is_code_1(mistake: Mistake, shop: Shop) -> None:
    said = mistake("-b", shop.url, "call", "x", "--wait", "--timeout", "10ms", code=1)
    assert "0.01" in said


# The shell ----------------------------------------------------------------------------------------


def test_the_shell_has_the_app_and_its_tasks(run: Run, tasks: str) -> None:
    program = "print('add' in globals() and add.name, app is celery, chain.__name__)\n"
    for more, said in ((), "shop.add True chain"), (("-T",), "False True chain"):
        assert said in run("-A", tasks, "shell", "--python", *more, input=program).stdout


def test_the_shell_is_the_one_that_is_installed(
    run: Run, mistake: Mistake, tasks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[dict[str, Any]] = []
    module = SimpleNamespace(start_ipython=lambda argv, user_ns: names.append(user_ns))
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "bpython", None)
    run("-A", tasks, "shell")
    run("-A", tasks, "shell", "-I")
    assert [found["app"].main for found in names] == ["shop", "shop"]
    assert "bpython is not installed" in mistake("-A", tasks, "shell", "-B", code=1)


# Settings on the line -----------------------------------------------------------------------------


def test_settings_may_come_from_a_module_on_the_line(
    run: Run, mistake: Mistake, shop: Shop, tasks: str
) -> None:
    (shop.path.parent / "more_settings.py").write_text("CELERY_TIMEZONE = 'Asia/Shanghai'\n")
    told = run("--config", "more_settings", "-A", tasks, "report").stdout
    assert "timezone = 'Asia/Shanghai'" in told
    said = mistake("--result-backend", "redis://other/0", "-A", tasks, "report")
    assert "result_backend" in said


def test_celerys_variable_is_told_to_be_unread(
    mistake: Mistake, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "CELERY_APP" not in mistake("worker")
    monkeypatch.setenv("CELERY_APP", "proj")
    assert "RELIABLE_TASKS_APP in the environment (CELERY_APP is not read)" in mistake("worker")
