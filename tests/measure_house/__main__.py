"""Measure the house: `python -m tests.measure_house [ROOT] [--walk URL] [--draw]`.

Prints how large it is, where, and who imports whom, of this checkout or of another one, for a
comparison. `--walk` counts what one call of `delay` passes through on a store. `--draw` writes the
drawings of docs/explanation/internals.md anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tests.measure_house import arrows as a
from tests.measure_house import sizes
from tests.measure_house.drawing import PAGE, redrawn
from tests.measure_house.walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]


def main(args: Sequence[str] | None = None) -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser("tests.measure_house", description="Measure the house.")
    parser.add_argument("root", type=Path, nargs="?", default=ROOT, help="another checkout")
    parser.add_argument("--walk", action="append", default=[], metavar="URL", help="of a store")
    parser.add_argument("--draw", action="store_true", help=f"write the drawings of {PAGE} anew")
    given = parser.parse_args(args)
    root = given.root.resolve()
    if given.draw:
        page = root / PAGE
        page.write_text(redrawn(root, page.read_text(encoding="utf-8")), encoding="utf-8")
        return
    for line in report(root):
        print(line)
    for url in given.walk:
        seen = walk(root, url)
        files = {name.partition("::")[0] for name in seen}
        print(f"\nadd.delay() on {url.partition(':')[0]}")
        print(_row("calls, functions, files", f"{seen.total()}, {len(seen)}, {len(files)}"))
        for name, times in seen.items():
            print(f"  {times:4} {name}")


def report(root: Path) -> Iterator[str]:
    """The table, line by line."""
    files = sizes.sources(root)
    yield from _sizes(files)
    run_time = a.graph_of(root)
    typed = a.graph_of(root, type_checking=True)
    at_top = [m for m in a.top(run_time) if not (root / m.replace(".", "/")).is_dir()]
    single = a.single_importers(run_time)
    yield "\nImports"
    yield _row("modules at the top (at most 16)", len(at_top))
    yield _row("folders at the top", len(a.top(run_time)) - len(at_top))
    yield _row("modules with a single importer", len(single))
    yield _row("of those at the top", len(set(single) & set(at_top)))
    for name, graph in (("at run time", run_time), ("with imports for types", typed)):
        found = a.circles(graph)
        yield _row(f"circles {name}", len(found))
        for circle in found:
            yield f"  {len(circle)}: {', '.join(circle)}"
    contract = a.contracts(root)[0]
    yield _row("layers", len(contract.layers))
    yield _row("arrows between rooms", len(a.arrows(run_time, contract)))
    for name, graph in (("at run time", run_time), ("with imports for types", typed)):
        against = a.upward(graph, contract)
        yield _row(f"arrows against the layers {name}", len(against))
        for importer, imported in against:
            yield f"  {importer} -> {imported}"


def _sizes(files: list[sizes.Source]) -> Iterator[str]:
    yield "Code lines, without blank ones, comments and docstrings"
    for package in sizes.PACKAGES:
        for kind in (".py", ".lua", ".sql"):
            here = [s for s in files if s.path.startswith(f"{package}/") and s.path.endswith(kind)]
            yield _row(f"{package} *{kind}", sum(s.code_lines for s in here))
    yield "\nCode lines by room"
    for room, lines in sizes.by_room(files).items():
        yield _row(room, lines)
    core = sizes.strict_core(files)
    yield "\nThe strict core"
    for part, lines in core.items():
        yield _row(part, lines)
    yield _row("together", sum(core.values()))
    number, median, percentile, longest = sizes.function_lengths(files)
    yield "\nFunctions"
    yield _row("number", number)
    yield _row("lines: median, 95 %, longest", f"{median:g}, {percentile:g}, {longest}")
    over = sizes.over_limits(files)
    yield _row("files and functions over the limits", len(over))
    for name in over:
        yield f"  {name}"


def _row(name: str, value: object) -> str:
    return f"{name:42} {value!s:>8}"


if __name__ == "__main__":
    main()
