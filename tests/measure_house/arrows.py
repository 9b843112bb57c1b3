"""Who imports whom: circles, single importers, and arrows against the layer contract."""

from __future__ import annotations

import copy
import re
import sys
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grimp

from tests.measure_house.sizes import PACKAGE, PACKAGES

if TYPE_CHECKING:
    from pathlib import Path


def graph_of(root: Path, *, type_checking: bool = False) -> grimp.ImportGraph:
    """The imports between the modules of a checkout, those inside functions included.

    Args:
        root: the checkout. A package that this process has imported already is taken from there.
        type_checking: count imports below `if TYPE_CHECKING`, too.
    """
    sys.path.insert(0, str(root))
    try:
        return grimp.build_graph(
            *(name for name in PACKAGES if (root / name).is_dir()),
            exclude_type_checking_imports=not type_checking,
            cache_dir=None,
        )
    finally:
        sys.path.remove(str(root))


def circles(graph: grimp.ImportGraph) -> list[list[str]]:
    """Groups of modules that reach each other, the largest first."""
    found: dict[str, list[str]] = {}
    for module in sorted(graph.modules):
        around = graph.find_upstream_modules(module) & graph.find_downstream_modules(module)
        if around - {module}:
            members = sorted(around | {module})
            found[members[0]] = members
    return sorted(found.values(), key=len, reverse=True)


def top(graph: grimp.ImportGraph) -> list[str]:
    """The modules and folders at the top of the package."""
    return sorted(graph.find_children(PACKAGE))


def single_importers(graph: grimp.ImportGraph) -> list[str]:
    """Modules that only one other imports."""
    return sorted(m for m in graph.modules if len(graph.find_modules_that_directly_import(m)) == 1)


@dataclass(frozen=True)
class Contract:
    """Layers of rooms, the highest first.

    Attributes:
        container: the package whose children the rooms are.
        layers: of each the rooms, and whether they may not import each other.
    """

    container: str
    layers: tuple[tuple[tuple[str, ...], bool], ...]

    def room(self, name: str) -> str:
        """The full name of a room."""
        return f"{self.container}.{name}"

    def floors(self) -> dict[str, int]:
        """By full name of a room, its layer: 0 for the highest."""
        return {
            self.room(name): floor for floor, (names, _) in enumerate(self.layers) for name in names
        }

    def forbids(self, importer: str, imported: str) -> bool:
        """Whether an arrow between two rooms runs upward, or between siblings."""
        floors = self.floors()
        above, below = floors[importer], floors[imported]
        return above > below or (above == below and self.layers[above][1])


def contracts(root: Path) -> list[Contract]:
    """The layer contracts of a checkout, the package's own first."""
    tool = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    found = [c for c in tool["importlinter"]["contracts"] if c["type"] == "layers"]
    return [_contract(c) for c in found]


def _contract(given: dict[str, Any]) -> Contract:
    (container,) = given["containers"]
    layers = tuple((tuple(re.findall(r"\w+", each)), ":" not in each) for each in given["layers"])
    return Contract(container, layers)


def arrows(graph: grimp.ImportGraph, contract: Contract) -> list[tuple[str, str]]:
    """Pairs of rooms of a contract of which one imports the other, by their full names."""
    squashed = copy.deepcopy(graph)
    rooms = sorted(graph.find_children(contract.container) & contract.floors().keys())
    for room in rooms:
        squashed.squash_module(room)
    return [
        (importer, imported)
        for importer in rooms
        for imported in sorted(squashed.find_modules_directly_imported_by(importer))
        if imported in rooms and imported != importer
    ]


def upward(graph: grimp.ImportGraph, contract: Contract) -> list[tuple[str, str]]:
    """The arrows that the contract forbids, whether or not it lists them as exceptions."""
    return [pair for pair in arrows(graph, contract) if contract.forbids(*pair)]
