"""What is not asked for is not loaded, and the command line answers at once."""

import resource
import subprocess
import sys

from tests.patience import PATIENCE_S

HEAVY = ("apsw", "asyncio", "click", "cronsim", "redis", "sqlite3", "structlog", "tenacity")
PROGRAM = """
import sys
before = set(sys.modules)
{statement}
print(",".join(sorted(set(sys.modules) - before)))
"""


def loaded_by(statement: str) -> set[str]:
    program = PROGRAM.format(statement=statement)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.strip().split(","))


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_by("import reliable_tasks") & {*HEAVY, "msgspec", "locks"}


def test_listing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_by("import reliable_tasks; dir(reliable_tasks)") & set(HEAVY)


def test_an_app_loads_no_store_and_no_command_line() -> None:
    loaded = loaded_by("from reliable_tasks import App; App('x', broker='redis://nowhere')")
    assert not loaded & {"apsw", "click", "cronsim", "redis", "sqlite3", "structlog"}


def test_django_is_not_loaded_unless_it_is_used() -> None:
    made = "from reliable_tasks import App; App('x', broker='sqlite://')"
    ours = "reliable_tasks.contrib.django.fixup"
    assert not loaded_by(made) & {"django", ours}
    in_a_project = f"import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'proj.settings'; {made}"
    loaded = loaded_by(in_a_project)
    assert ours in loaded
    assert "django" not in loaded, "an app that is only made needs nothing of it"


def test_brokers_are_not_loaded_before_one_is_used() -> None:
    made = "from reliable_tasks import App; app = App('x', broker='amqp://', backend='rpc')"
    libraries = {"celery", "kazoo", "kombu", "sqlalchemy", "reliable_tasks.contrib.bridge"}
    assert not loaded_by(f"{made}; app.settings") & libraries
    used = loaded_by(f"{made}; app.store")
    assert "kombu" in used
    assert "celery" not in used, "rpc:// is read by kombu alone"
    stored = "from reliable_tasks import App; App('x', broker='sqlite://').store.now_ms()"
    assert not loaded_by(stored) & libraries


def test_a_store_of_sqlite_loads_no_redis() -> None:
    program = "from reliable_tasks import App; App('x', broker='sqlite://').store.now_ms()"
    assert not loaded_by(program) & {"redis", "structlog", "click"}


def test_a_worker_loads_nothing_that_it_does_not_need() -> None:
    program = (
        "import reliable_tasks.cli.worker, reliable_tasks.worker, reliable_tasks.log\n"
        "from reliable_tasks import App; App('x', broker='redis://localhost:1').store"
    )
    unused = {"apsw", "cronsim", "difflib", "locks._async", "locks._sync", "sqlite3", "structlog"}
    assert not loaded_by(program) & {*unused, "reliable_tasks.beat"}


def test_help_comes_at_once() -> None:
    command = [sys.executable, "-m", "reliable_tasks", "--help"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert "worker" in done.stdout
    assert took < 0.3, f"--help took {took} s of processor time"
