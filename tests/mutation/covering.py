"""Which tests run which lines of the core: noted once, kept until a file of the core changes."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from difflib import SequenceMatcher
from itertools import chain
from typing import TYPE_CHECKING, Any

from tests.mutation.breaks import lines_of_functions
from tests.mutation.tree import CORE, ROOT, Tree, core_files, digest

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

__all__ = ["NO_TESTS", "TESTS", "THOROUGH", "WORKERS", "Covering", "caller_of"]

FOLDER = ROOT / ".mutation"

# What is asked by line. Of the servers one is enough.
PARTS = "attempts audit beat canvas cli config core log process results store tasks testing"
TESTS = tuple(f"tests/{part}" for part in PARTS.split())
WORKERS = "tests/worker"
SLOW = ("tests/process", "tests/cli")

# What runs nearly all of the core, and takes long: asked last, whatever was broken.
THOROUGH = (
    "property_tests/test_once_key.py",
    "property_tests/test_canvas.py",
    "property_tests/test_consumer.py",
    "property_tests/test_retry_schedule.py",
    "property_tests/test_uniqueness.py",
    "property_tests/test_beat.py",
    "property_tests/agreement/test_store_agreement.py",
    "property_tests/simulation/test_simulation.py",
    "property_tests/agreement/test_small_world.py",
)

# What would fail for the changed text, not for what it does: linters, what the documentation says,
# and the ablations, which look for the lines that they take out.
TEXTUAL = "declared_is_used docs import_circles internals measure_house pains quality"
NO_TESTS = tuple(f"tests/test_{subject}.py" for subject in TEXTUAL.split())
NO_NAMES = (
    *("test_without_", "test_a_kept_schedule", "test_a_line_that_is_not_there"),
    *("redis-6", "redis-7", "redis-acl"),
)
_HOURS = 3.0
_FEW = 100


def _files() -> list[str]:
    places = [p for t in (*TESTS, WORKERS) for p in sorted((ROOT / t).rglob("test_*.py"))]
    names = [p.relative_to(ROOT).as_posix() for p in chain(places, ROOT.glob("tests/test_*.py"))]
    return sorted(n for n in names if n not in NO_TESTS)


def left_out() -> list[str]:
    """Words for pytest that leave out what would fail for the wrong reason."""
    return ["-k", " and ".join(f"not {name}" for name in NO_NAMES)]


class Covering:
    """The map from lines to tests, and how long each of these takes."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._known: dict[str, Any] = {"files": {}, "seconds": {}}
        if (folder / "map.json").exists():
            self._known = json.loads((folder / "map.json").read_text("utf-8"))
        self._lines: dict[str, dict[int, set[str]]] = {}

    @property
    def seconds(self) -> dict[str, float]:
        """How long each test took; those that failed unbroken are not in it."""
        found: dict[str, float] = self._known["seconds"]
        return found

    def refresh(self, *, anew: bool = False, run: bool = True) -> None:
        """Run what is new. Lines of the core that have moved are followed; or all is done anew."""
        if anew:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._known = {"files": {}, "seconds": {}}
        self._folder.mkdir(exist_ok=True)
        self._follow()
        if not run:
            return
        digests = {name: digest(name) for name in _files()}
        stale = [name for name in digests if self._known["files"].get(name) != digests[name]]
        gone = set(self._known["files"]) - set(digests)
        for test in [t for t in self.seconds if t.partition("::")[0] in {*stale, *gone}]:
            del self.seconds[test]
        slow = [name for name in stale if name.startswith(SLOW)]
        for part in [sorted(set(stale) - set(slow)), slow]:
            if part:
                print(f"looking which lines {len(part)} files of tests run", flush=True)
                self._note(part)
                self._known["files"] = {
                    name: known
                    for name, known in digests.items()
                    if name in part or self._known["files"].get(name) == known
                }
                (self._folder / "map.json").write_text(json.dumps(self._known), "utf-8")

    def _follow(self) -> None:
        """What was known of a line goes with it; a new one is tested as its neighbours are."""
        for name in core_files():
            text = (ROOT / name).read_text("utf-8").splitlines()
            kept = self._folder / f"{name.replace('/', '.')}.txt"
            before = kept.read_text("utf-8").splitlines() if kept.exists() else text
            kept.write_text("\n".join(text), "utf-8")
            if before != text and name.endswith(".py"):
                self._write(name, _moved(self._of_file(name), before, text))

    def _note(self, files: list[str]) -> None:
        self._folder.mkdir(exist_ok=True)
        tree = Tree()
        rc, notes = tree.path / "coverage.rc", tree.path / "notes"
        places = [f"{tree.path}/reliable_tasks/{p}{'' if p[-3:] == '.py' else '/*'}" for p in CORE]
        rc.write_text(
            "[run]\ninclude =\n" + "".join(f"  {place}\n" for place in places) + "core = ctrace\n"
            "context = ${RT_MUTATION_TEST-}\npatch = _exit\n  fork\nparallel = true\n"
            f"data_file = {tree.path}/cov/data\n",
            "utf-8",
        )
        (tree.path / "cov").mkdir()
        words = ["-m", "coverage", "run", f"--rcfile={rc}", "-m", "pytest", "-q", "-p"]
        words += ["tests.mutation.plugin", *left_out(), *files]
        environment = {"RT_MUTATION_NOTES": str(notes), "RT_MUTATION_RC": str(rc)}
        try:
            tree.run(words, _HOURS * 3600, **environment)
            shutil.copy(tree.path / "output.txt", self._folder)
            if not notes.exists():
                raise SystemExit(f"the tests did not run: see {self._folder / 'output.txt'}")
            tree.run(["-m", "coverage", "combine", "-q", f"--rcfile={rc}"], 3600)
            self._learn(notes, tree)
        finally:
            tree.close()

    def _learn(self, notes: Path, tree: Tree) -> None:
        failed = set()
        for line in notes.read_text("utf-8").splitlines():
            note = json.loads(line)
            if "outcome" in note:
                failed.add(note["test"])
            else:
                self.seconds[note["test"]] = note["seconds"]
        for test in failed & set(self.seconds):
            print(f"left out, it fails or is skipped unbroken: {test}")
            del self.seconds[test]
        data = _data(tree.path / "cov" / "data")
        for name in data.measured_files():
            self._keep(os.path.relpath(name, tree.path), data.contexts_by_lineno(name))

    def _keep(self, name: str, lines: dict[int, list[str]]) -> None:
        known = defaultdict(set, self._of_file(name))
        for line, contexts in lines.items():
            known[line] |= {test for test in contexts if test in self.seconds}
        self._write(name, known)

    def _write(self, name: str, known: dict[int, set[str]]) -> None:
        tests = sorted(set().union(*known.values())) if known else []
        place = {test: n for n, test in enumerate(tests)}
        rows = {line: sorted(place[t] for t in found) for line, found in known.items()}
        path = self._folder / f"{name.replace('/', '.')}.json"
        path.write_text(json.dumps({"tests": tests, "lines": rows}), "utf-8")

    def _of_file(self, name: str) -> dict[int, set[str]]:
        path = self._folder / f"{name.replace('/', '.')}.json"
        if not path.exists():
            return {}
        told = json.loads(path.read_text("utf-8"))
        tests = told["tests"]
        return {
            int(line): {tests[n] for n in found if tests[n] in self.seconds}
            for line, found in told["lines"].items()
        }

    def of(self, name: str, line: int, source: str) -> list[str]:
        """The tests that run a line, in the order in which they are to be asked.

        SQL and Lua are run by who calls the store. What runs only when a module is imported is
        tested by whoever uses that module.
        """
        home = caller_of(name)
        in_a_call = home == name and line in lines_of_functions(source)
        if in_a_call and (found := self._known_of(home).get(line)):
            return self.ordered(found)
        found = set().union(*self._known_of(home).values())
        if len(found) < _FEW:  # a module of nothing but values: its neighbours use them
            near = [n for n in core_files() if n.rpartition("/")[0] == home.rpartition("/")[0]]
            found = found.union(*(t for n in near for t in self._known_of(n).values()))
        return self.ordered(found, _words(name))

    def _known_of(self, name: str) -> dict[int, set[str]]:
        if name not in self._lines:
            self._lines[name] = self._of_file(name)
        return self._lines[name]

    def ordered(self, tests: set[str], words: Collection[str] = ()) -> list[str]:
        """The fastest of each function first, then the next fastest of each.

        Before them those whose name has one of the words.
        """
        rounds: dict[str, int] = defaultdict(int)
        placed = []
        for test in sorted(tests, key=lambda t: (self.seconds[t], t)):
            function = test.partition("[")[0]
            told = any(word in test for word in words)
            placed.append((not told, rounds[function], self.seconds[test], test))
            rounds[function] += 1
        return [test for _, _, _, test in sorted(placed)]


def _moved(known: dict[int, set[str]], before: list[str], now: list[str]) -> dict[int, set[str]]:
    moved: dict[int, set[str]] = {}
    for tag, old, old_end, new, new_end in SequenceMatcher(
        None, before, now, autojunk=False
    ).get_opcodes():
        if tag == "equal":
            for step in range(old_end - old):
                if old + step + 1 in known:
                    moved[new + step + 1] = known[old + step + 1]
        else:
            near = [known.get(n, set()) for n in range(old - 2, old_end + 4)]
            moved |= {n + 1: set().union(*near) for n in range(new, new_end)}
    return moved


def _words(name: str) -> list[str]:
    """What tests of a file are likely to be named after."""
    stem = name.rpartition("/")[2].partition(".")[0]
    return [word.removesuffix("s") for word in stem.split("_") if len(word) > len("of")]


def caller_of(name: str) -> str:
    """The module whose lines send a file of SQL or Lua; others are run themselves."""
    if name.endswith(".lua"):
        return "reliable_tasks/store/redis/calls.py"
    if name.endswith(".sql"):
        return "reliable_tasks/store/sqlite/store.py"
    return name


def _data(path: Path) -> Any:
    import coverage  # noqa: PLC0415 - only whoever makes the map needs it

    data = coverage.CoverageData(str(path))
    data.read()
    return data
