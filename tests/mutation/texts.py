"""Every way to break one line of SQL or Lua a little: the same kinds, found by their text."""

from __future__ import annotations

import re

from tests.mutation.breaks import Break

__all__ = ["breaks_of"]

_SWAPS = {
    "lua": [
        (r"==", "~=", "another comparison"),
        (r"~=", "==", "another comparison"),
        (r"<=", "<", "another comparison"),
        (r">=", ">", "another comparison"),
        (r"<(?!=)", "<=", "another comparison"),
        (r">(?!=)", ">=", "another comparison"),
        (r"(?<=\w )\+(?= \w)", "-", "another operator"),
        (r"(?<=\w )-(?= \w)", "+", "another operator"),
        (r"\band\b", "or", "or for and"),
        (r"\bor\b", "and", "and for or"),
        (r"\bnot ", "", "dropped not"),
        (r"\btrue\b", "false", "changed constant"),
        (r"\bfalse\b", "true", "changed constant"),
        (r"(?<=\breturn )(?!nil\b|end\b).+?(?= end\b|$)", "nil", "return nil"),
        (r"^(?!return\b|local\b|function\b|end\b)[\w.]+\(.*\)$", "", "removed statement"),
        (r"(?<![\w.\"'%])[0-3](?![\w.\"'%])", "+1", "changed constant"),
    ],
    "sql": [
        (r"<>", "=", "another comparison"),
        (r"<=", "<", "another comparison"),
        (r">=", ">", "another comparison"),
        (r"<(?![=>])", "<=", "another comparison"),
        (r"(?<!<)>(?!=)", ">=", "another comparison"),
        (r"(?<=\w )\+(?= \w)", "-", "another operator"),
        (r"\bAND\b", "OR", "OR for AND"),
        (r"\bOR\b(?! (?:IGNORE|REPLACE|ABORT))", "AND", "AND for OR"),
        (r"\bNOT ", "", "dropped NOT"),
        (r"\bIS NULL\b", "IS NOT NULL", "dropped NOT"),
        (r"\bDESC\b", "ASC", "another order"),
        (r"ORDER BY [\w., ]+?(?= LIMIT|\)|;|$)", "", "no order"),
        (r"(?<![\w.:?])(?<!SELECT )[0-3](?![\w.])", "+1", "changed constant"),
    ],
}
_COMMENT = {"lua": re.compile(r"--.*"), "sql": re.compile(r"--.*")}
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")


def breaks_of(kind: str, source: str) -> list[Break]:
    """All breaks of a source, by line; `kind` is "lua" or "sql"."""
    found = []
    begin = 0
    for number, line in enumerate(source.splitlines(keepends=True), 1):
        code = _COMMENT[kind].sub(lambda m: " " * len(m[0]), line)
        code = _QUOTED.sub(lambda m: '"' + "_" * (len(m[0]) - 2) + '"', code).rstrip()
        found += [Break(number, *b) for b in _of_line(kind, code, line, begin)]
        begin += len(line)
    return found


def _of_line(kind: str, code: str, line: str, begin: int) -> list[tuple[str, int, int, str]]:
    found = []
    indent = len(code) - len(code.lstrip())
    if code.lstrip().startswith(("error(", "return redis.error_reply")):
        return []  # words
    for pattern, new, what in _SWAPS[kind]:
        for match in re.finditer(pattern, code[indent:]):
            start, end = indent + match.start(), indent + match.end()
            text = str(int(line[start:end]) + 1) if new == "+1" else new
            found.append((what, begin + start, begin + end, text))
    return found
