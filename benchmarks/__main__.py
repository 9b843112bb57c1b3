"""`python -m benchmarks`: measure this project and its peers, and write the tables and the plot."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path

from . import environments, suite
from .arena import ROOT, Place
from .measures import MEASURES
from .report import insert, markdown
from .results import Results
from .scale import BRIEF, FULL, QUICK
from .systems import PEERS, systems_of

__all__ = ["main"]


def _names(known: dict[str, object]) -> type:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(name for name in text.split(",") if name)
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return parse  # type: ignore[return-value]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--peers", type=_names({**PEERS}), default=tuple(PEERS), help="with commas; '' for none")
    add("--only", type=_names({**MEASURES}), help=", ".join(MEASURES))
    add("--systems", default="", help="only systems whose name contains this")
    add("--before", type=Path, help="another checkout of this project, to measure next to this one")
    add("--goals", action="store_true", help="as --brief, and only what decides about a goal")
    add("--rounds", type=int, default=5, help="the tables show medians over them")
    add("--brief", action="store_true", help="shorter runs, and only of what the goals are about")
    add("--quick", action="store_true", help="tiny runs, to see that everything works")
    add("--out", type=Path, help="the page to write: results go between its marks")
    add("--keep", action="store_true", help="keep what the page has of measures not run now")
    add("--no-plot", action="store_true", help="write the page only")
    add("--venvs", type=Path, default=environments.DEFAULT_FOLDER, help="the peers' environments")
    add("--work", type=Path, help="where databases lie while they are measured")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the suite; returns the exit code."""
    given = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs is cleaned up
    for peer in given.peers:
        environments.make(given.venvs, peer)
    environments.compile_ours(ROOT)
    place = Place(given.venvs, given.work)
    if given.before:
        given.before = given.before.absolute()
        environments.compile_ours(given.before)
    systems = [s for s in systems_of(given.peers, given.before) if given.systems in s.name]
    rounds = 1 if given.quick else given.rounds
    results = Results(suite.describe(place, given.peers, rounds, given.before))
    data = given.out and given.out.with_suffix(".json")

    def saved() -> None:
        if data:
            results.save(data)

    brief = given.brief or given.goals
    scale = QUICK if given.quick else BRIEF if brief else FULL
    names = given.only or [n for n, m in MEASURES.items() if m.is_goal or not brief]
    if given.keep and data and data.exists():
        results.keep(Results.load(data), names)
    suite.run(results, systems, names, rounds, place, scale, saved, decisive=given.goals)
    everyone = systems_of(tuple(PEERS), given.before or ROOT)
    text = markdown(results, [s for s in everyone if results.has(s.name)])
    if given.out is None:
        print(text)
    else:
        insert(given.out, text)
        if not given.no_plot:
            _draw(given.venvs, given.out)
    return 1 if results.failures else 0


def _draw(venvs: Path, page: Path) -> None:
    environments.make(venvs, environments.PLOTTING)
    python = environments.python_of(venvs, environments.PLOTTING)
    files = [str(page.with_suffix(suffix).absolute()) for suffix in (".json", ".svg")]
    command = [str(python), "-m", "benchmarks.plot", *files]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)


if __name__ == "__main__":
    sys.exit(main())
