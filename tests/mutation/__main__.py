"""Break random lines of the core, and see whether a test notices: `python -m tests.mutation`.

A line is drawn, then one of the ways to break it; the tests that run this line are run, the fastest
first, until one fails; then the thorough ones (simulator, agreement with the model). The one that
fails has to pass on the unbroken code, or it does not count. What is printed is where and how it
was broken, and the test that noticed; survivors with their difference.
The exit code is 1 if fewer were caught than `--at-least`.

Why not a library: mutmut breaks whole projects in the place of a drawn sample, and cosmic-ray runs
one command for each; neither knows SQL and Lua, in which half of the stores is written, or the
processes that a test starts.

Which tests run which line is found out first (some ten minutes), and kept in `.mutation`: when the
code changes, lines are followed, and only tests that are new or changed are looked at again.
"""

from __future__ import annotations

import argparse
import difflib
import importlib.util
import json
import queue
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from tests.mutation import breaks, texts
from tests.mutation.covering import THOROUGH, Covering, left_out
from tests.mutation.tree import ROOT, Tree, core_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.mutation.breaks import Break

_PASSED = 0
_PER_TEST_S = 45  # a test that a break makes hang
_PATIENCE_S = "20"  # what does not come is not waited for that long
_THOROUGH_S = 1200
_FIRST = 30  # tests that are asked before the others are even collected
_SEEDS = "400"  # of the simulator


@dataclass(frozen=True, slots=True)
class Place:
    """A break of a file, and what that has unbroken."""

    path: str
    how: Break
    source: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.path}:{self.how.line} {self.how.what}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for one break: the test that failed, if any, and how many were run."""

    place: Place
    caught_by: str | None
    asked: int
    covering: int
    seconds: float


def breaks_in(path: str, source: str) -> list[Break]:
    """All breaks of a file of the core."""
    kind = path.rpartition(".")[2]
    return breaks.breaks_of(source) if kind == "py" else texts.breaks_of(kind, source)


def drawn(paths: list[str], count: int, seed: int) -> list[Place]:
    """Random lines, each with a random one of its breaks."""
    lines: list[list[Place]] = []
    for path in paths:
        source = (ROOT / path).read_text("utf-8")
        for _, group in groupby(breaks_in(path, source), lambda b: b.line):
            lines.append([Place(path, how, source) for how in group])
    some = random.Random(seed)
    return [some.choice(line) for line in some.sample(lines, min(count, len(lines)))]


class Judge:
    """Breaks lines in a tree of its own, and knows the tests that passed in it unbroken."""

    def __init__(self, covering: Covering, budget_s: float, *, quick: bool) -> None:
        self._covering = covering
        self._budget_s = budget_s
        self._quick = quick
        self._tree = Tree()
        self._sound: set[str] = set()

    def close(self) -> None:
        """Remove the tree."""
        self._tree.close()

    def judge(self, place: Place) -> Verdict:
        """Break it, ask the tests, mend it."""
        begun = time.monotonic()
        covering = self._covering.of(place.path, place.how.line, place.source)
        asked = list(self._affordable(covering))
        self._tree.write(place.path, place.how.applied(place.source))
        try:
            caught_by = self._noticed_by(asked[:_FIRST], place)
            if caught_by is None:
                caught_by = self._noticed_by(asked[_FIRST:], place)
            if caught_by is None and not self._quick:
                caught_by = self._noticed_by(None, place)
        finally:
            self._tree.write(place.path, place.source)
        took = time.monotonic() - begun
        return Verdict(place, caught_by, len(asked), len(covering), took)

    def _noticed_by(self, tests: list[str] | None, place: Place) -> str | None:
        """The first test that fails because of the break; None stands for the thorough ones."""
        if tests == []:
            return None
        while True:
            noticed = self._first_failure(tests)
            if noticed is None or self._is_sound(noticed, place):
                return noticed
            if tests is None or noticed not in tests[:-1]:
                return None
            tests = tests[tests.index(noticed) + 1 :]

    def _affordable(self, tests: list[str]) -> Iterator[str]:
        spent = 0.0
        for test in tests:
            spent += self._covering.seconds[test]
            if spent > self._budget_s and test != tests[0]:
                return
            yield test

    def _first_failure(self, tests: list[str] | None) -> str | None:
        """The first of these tests that fails, or hangs, or cannot be imported."""
        notes = self._tree.path / "notes"
        notes.write_text("", "utf-8")
        environment = {"RT_MUTATION_NOTES": str(notes), "RELIABLE_TASKS_SEEDS": _SEEDS}
        environment["RELIABLE_TASKS_TEST_PATIENCE"] = _PATIENCE_S
        words = ["-m", "pytest", "-x", "-q", "-n0", "-p", "tests.mutation.plugin"]
        words += ["--tb=short", f"--timeout={_PER_TEST_S}"]
        if tests is None:
            code = self._tree.run([*words, *left_out(), *THOROUGH], _THOROUGH_S, **environment)
        else:
            wanted = self._tree.path / "wanted"
            wanted.write_text("\n".join(tests), "utf-8")
            files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
            patience = _PER_TEST_S + 10 * sum(self._covering.seconds.get(t, 60) for t in tests)
            environment["RT_MUTATION_TESTS"] = str(wanted)
            code = self._tree.run([*words, *files], patience, **environment)
        if code == _PASSED:
            return None
        told = [json.loads(line) for line in notes.read_text("utf-8").splitlines()]
        over = [note["test"] for note in told if "seconds" in note]
        failed = [note["test"] for note in told if note.get("outcome") == "failed"]
        if failed:
            return str(failed[0])
        after = [t for t in tests or () if t not in over]
        return after[0] if after else "(it hangs, or cannot be imported)"

    def _is_sound(self, test: str, place: Place) -> bool:
        """Whether a test passes while nothing is broken."""
        if test not in self._sound and "::" in test:
            self._tree.write(place.path, place.source)
            try:
                if self._first_failure([test]) is None:
                    self._sound.add(test)
            finally:
                self._tree.write(place.path, place.how.applied(place.source))
        return test in self._sound or "::" not in test


def difference(place: Place) -> str:
    """What was changed, as `diff -u` shows it."""
    before, after = place.source.splitlines(), place.how.applied(place.source).splitlines()
    rows = difflib.unified_diff(before, after, place.path, place.path, lineterm="", n=1)
    return "\n".join(f"    {row}" for row in list(rows)[2:])


def run(places: list[Place], options: argparse.Namespace) -> list[Verdict]:
    """Judge all of them, and print each verdict as it is known."""
    covering = Covering()
    covering.refresh(anew=options.anew, run=not options.as_known)
    free: queue.SimpleQueue[Judge] = queue.SimpleQueue()
    made = [Judge(covering, options.budget, quick=options.quick) for _ in range(options.jobs)]
    for judge in made:
        free.put(judge)

    def judged(place: Place) -> Verdict:
        judge = free.get()
        try:
            return judge.judge(place)
        finally:
            free.put(judge)

    verdicts = []
    try:
        with ThreadPoolExecutor(options.jobs) as pool:
            for number, verdict in enumerate(pool.map(judged, places), options.begin):
                verdicts.append(verdict)
                print(f"{number:4} {told(verdict)}", flush=True)
                if verdict.caught_by is None and not options.keep_going:
                    pool.shutdown(cancel_futures=True)
                    break
    finally:
        for judge in made:
            judge.close()
    return verdicts


def told(verdict: Verdict) -> str:
    """A line for what was caught, and its difference for what was not."""
    took = f"{verdict.seconds:.0f} s"
    if verdict.caught_by is not None:
        return f"caught    {verdict.place} ({took}) by {verdict.caught_by}"
    asked = f"{verdict.asked} of {verdict.covering} tests that run it passed, {took}"
    return f"SURVIVED  {verdict.place} ({asked})\n{difference(verdict.place)}"


def main(argv: list[str] | None = None) -> int:
    """Break, and say what was not noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="how many lines are broken")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--jobs", type=int, default=1, help="trees that are broken at a time")
    parser.add_argument("--only", metavar="PATH", help="files whose path begins so")
    parser.add_argument("--from", dest="begin", type=int, default=1, help="skip those before")
    parser.add_argument("--budget", type=float, default=120, help="seconds of tests for each")
    parser.add_argument("--anew", action="store_true", help="find out anew which tests run what")
    parser.add_argument(
        "--as-known", action="store_true", help="run no tests to know which run what"
    )
    parser.add_argument("--quick", action="store_true", help="leave out the thorough tests")
    parser.add_argument("--keep-going", action="store_true", help="go on after a survivor")
    parser.add_argument("--at-least", type=float, default=95, help="per cent that are caught")
    parser.add_argument("--list", action="store_true", help="only print what would be broken")
    options = parser.parse_args(argv)
    paths = [p for p in core_files() if p.startswith(options.only or "")]
    places = drawn(paths, options.count, options.seed)[options.begin - 1 :]
    if options.list:
        for number, place in enumerate(places, options.begin):
            print(f"{number:4} {place}\n{difference(place)}")
        return 0
    if not options.as_known and importlib.util.find_spec("coverage") is None:
        parser.error("it asks coverage which tests run which line: pip install -e '.[dev]'")
    verdicts = run(places, options)
    survivors = [v for v in verdicts if v.caught_by is None]
    print(f"\n{len(verdicts) - len(survivors)} of {len(verdicts)} were caught")
    for survivor in survivors:
        print(f"{survivor.place}\n{difference(survivor.place)}")
    return 1 if 100 * len(survivors) > (100 - options.at_least) * len(verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
