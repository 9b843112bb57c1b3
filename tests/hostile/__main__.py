"""More of them, for as long as you like: `python -m tests.hostile --pool prefork --seed 7`."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from tests.hostile.driver import Case, Driver, cases, draw
from tests.process.harness import Place


def main(argv: list[str] | None = None) -> int:
    """Run the cases that are drawn, or all that are asked for; 1 if anything is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile")
    parser.add_argument("--pool", choices=("prefork", "threads", "asyncio"), default="prefork")
    parser.add_argument("--store", help="URL; by default an SQLite file of its own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--deed", help="only this one, in every place or in --place")
    parser.add_argument("--place", help="only this one")
    options = parser.parse_args(argv)
    chosen = draw(options.pool, options.seed, options.count)
    if options.deed or options.place:
        chosen = [c for c in cases(options.pool) if _wanted(c, options.deed, options.place)]
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    url = options.store or f"sqlite:///{folder / 'store.db'}"
    with contextlib.closing(Place(folder, url)) as place:
        broken = Driver(place, options.pool).run(chosen)
    print(*broken, f"{len(chosen)} cases, {len(broken)} violations; {folder}", sep="\n")
    return 1 if broken else 0


def _wanted(case: Case, deed: str | None, place: str | None) -> bool:
    return deed in {None, case.deed} and place in {None, case.place}


if __name__ == "__main__":
    sys.exit(main())
