"""The command `vacuum`."""

import re
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from tests.cli.support import Shop

Run = Callable[..., Result]
Mistake = Callable[..., str]


def test_vacuum_says_how_large_the_file_was_and_is(run: Run, shop: Shop) -> None:
    for n in range(200):
        shop.enqueue(f"m{n}", "x" * 5_000)
    shop.store.purge("celery", 200)
    shop.store.drop([f"m{n}" for n in range(200)])
    result = run("-b", shop.url, "vacuum")
    assert result.stderr == "", "progress is for a terminal"
    told = result.stdout
    found = re.fullmatch(rf"{shop.path}: (.*) MiB, now (.*)\n", told)
    assert found
    assert float(found[1]) > 1 > float(found[2])


def test_vacuum_of_redis_says_that_there_is_nothing_to_do(mistake: Mistake) -> None:
    assert "in memory" in mistake("-b", "redis://127.0.0.1:1/0", "vacuum")


def test_vacuum_of_no_store_is_told(mistake: Mistake, directory: Path) -> None:
    assert "there is no store at" in mistake("-b", f"sqlite:///{directory}/no.db", "vacuum", code=1)
