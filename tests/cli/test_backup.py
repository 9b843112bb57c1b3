"""The command `backup`."""

import shutil
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from tests.cli.support import Shop, open_shop

Run = Callable[..., Result]
Mistake = Callable[..., str]


def test_backup_writes_a_whole_copy_and_says_what_is_in_it(
    run: Run, shop: Shop, directory: Path
) -> None:
    for _ in range(3):
        run("-b", shop.url, "call", "other.task")
    told = run("-b", shop.url, "backup", "copy.db").stdout
    assert told.splitlines() == [f"copied {shop.path} to copy.db", "messages  3 queued"]
    copy = open_shop(directory / "copy.db")
    assert copy.store.counts() == shop.store.counts()
    copy.store.close()


def test_backup_replaces_a_file_only_when_told(run: Run, mistake: Mistake, shop: Shop) -> None:
    run("-b", shop.url, "backup", "copy.db")
    told = mistake("-b", shop.url, "backup", "copy.db", code=1)
    assert "is there already: give another path, or --force" in told
    run("-b", shop.url, "backup", "copy.db", "--force")


def test_backup_of_redis_says_what_to_do_instead(mistake: Mistake) -> None:
    told = mistake("-b", "redis://127.0.0.1:1/0", "backup", "copy.db")
    assert "BGSAVE" in told


def test_backup_of_no_store_is_told(mistake: Mistake, directory: Path) -> None:
    told = mistake("-b", f"sqlite:///{directory}/none.db", "backup", "copy.db", code=1)
    assert "there is no store at" in told


def test_status_of_a_copy_without_its_log_says_so(run: Run, shop: Shop, directory: Path) -> None:
    run("-b", shop.url, "call", "other.task")
    assert run("-b", shop.url, "status").stderr == ""
    shutil.copy(shop.path, directory / "copy.db")
    told = run("-b", f"sqlite:///{directory}/copy.db", "status")
    assert "the log of the original is missing" in told.stderr
