"""Lua sources as trees, and what each name in them means."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import tree_sitter_lua
from tree_sitter import Language, Parser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

__all__ = ["Names", "Variable", "line_of", "names_of", "parse", "text_of", "walk"]

_PARSER: Final = Parser(Language(tree_sitter_lua.language()))


def parse(source: str) -> Node:
    """The tree of a source.

    Raises:
        SyntaxError: it is not Lua.
    """
    root = _PARSER.parse(source.encode()).root_node
    if root.has_error:
        wrong = next(node for node in walk(root) if node.is_error or node.is_missing)
        raise SyntaxError(f"line {line_of(wrong)}: {text_of(wrong)[:80]!r} is not Lua")
    return root


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in the order of the source."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(node.children))


def text_of(node: Node) -> str:
    """The source of a node."""
    return (node.text or b"").decode()


def line_of(node: Node) -> int:
    """The line on which a node begins, counted from 1."""
    return node.start_point.row + 1


@dataclass(eq=False)
class Variable:
    """A local variable, and where it is used.

    Attributes:
        name: its name.
        declared: the identifier that declares it.
        depth: how many blocks are around that; 0 for the outermost.
        hides: the variable of the same name that was visible there.
        reads: the identifiers that read it.
    """

    name: str
    declared: Node
    depth: int
    hides: Variable | None = None
    reads: list[Node] = field(default_factory=list)
    writes: list[Node] = field(default_factory=list)


class Names:
    """All names of a source, resolved as Lua resolves them.

    Attributes:
        variables: the local variables and parameters.
        reads: of global variables: the identifiers that read one.
        writes: and those that write one.
    """

    def __init__(self) -> None:
        self.variables: list[Variable] = []
        self.reads: list[Node] = []
        self.writes: list[Node] = []
        self._blocks: list[dict[str, Variable]] = []

    def block(self, *nodes: Node | None) -> None:
        """Resolve what stands in one block of its own."""
        self._blocks.append({})
        for node in nodes:
            if node is not None:
                for child in node.named_children if node.type in {"block", "chunk"} else [node]:
                    self.visit(child)
        self._blocks.pop()

    def visit(self, node: Node) -> None:
        """Resolve a statement or an expression."""
        visit = getattr(self, f"_{node.type}", None)
        if visit is not None:
            visit(node)
        elif node.type == "block":
            self.block(node)
        else:
            for child in node.named_children:
                self.visit(child)

    def _identifier(self, node: Node) -> None:
        found = self._find(text_of(node))
        (self.reads if found is None else found.reads).append(node)

    def _find(self, name: str) -> Variable | None:
        return next((known[name] for known in reversed(self._blocks) if name in known), None)

    def _declare(self, node: Node) -> None:
        name = text_of(node)
        variable = Variable(name, node, len(self._blocks) - 1, self._find(name))
        self._blocks[-1][name] = variable
        self.variables.append(variable)

    def _write(self, node: Node) -> None:
        if node.type != "identifier":
            self.visit(node)
            return
        found = self._find(text_of(node))
        (self.writes if found is None else found.writes).append(node)

    def _variable_declaration(self, node: Node) -> None:
        inner = node.named_children[0]
        names = inner.named_children[0] if inner.type == "assignment_statement" else inner
        for value in inner.named_children[1:] if inner.type == "assignment_statement" else ():
            self.visit(value)
        for name in names.named_children:
            self._declare(name)

    def _assignment_statement(self, node: Node) -> None:
        targets, values = node.named_children[:2]
        self.visit(values)
        for target in targets.named_children:
            self._write(target)

    def _function_declaration(self, node: Node) -> None:
        name = node.child_by_field_name("name")
        assert name is not None
        if node.children[0].type == "local":
            self._declare(name)
        else:
            self._write(name)
        self._function_definition(node)

    def _function_definition(self, node: Node) -> None:
        self._blocks.append({})
        parameters, body = node.child_by_field_name("parameters"), node.child_by_field_name("body")
        for parameter in parameters.named_children if parameters else ():
            if parameter.type == "identifier":
                self._declare(parameter)
        for child in body.named_children if body else ():
            self.visit(child)
        self._blocks.pop()

    def _for_statement(self, node: Node) -> None:
        clause, body = node.child_by_field_name("clause"), node.child_by_field_name("body")
        assert clause is not None
        names, *values = clause.named_children
        for value in values:
            self.visit(value)
        self._blocks.append({})
        for name in [names] if names.type == "identifier" else names.named_children:
            self._declare(name)
        self.block(body)
        self._blocks.pop()

    def _repeat_statement(self, node: Node) -> None:
        self.block(node.child_by_field_name("body"), node.child_by_field_name("condition"))

    def _dot_index_expression(self, node: Node) -> None:
        self.visit(node.named_children[0])

    _method_index_expression = _dot_index_expression

    def _field(self, node: Node) -> None:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is not None and node.children[0].type == "[":
            self.visit(name)
        if value is not None:
            self.visit(value)

    def _goto_statement(self, node: Node) -> None:
        """A label is no variable."""

    _label_statement = _goto_statement


def names_of(root: Node) -> Names:
    """What each name of a source means."""
    names = Names()
    names.block(root)
    return names
