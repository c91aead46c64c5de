"""Statements as trees: written for each of the compared databases, and made smaller.

A node has the parts of its text, strings and other nodes, for the grid, and others where a
reference says the same differently. Reduction is hierarchical delta debugging (Misherghi and Su,
2006) with replacements by the symbol of the grammar: a node by one below it of the same symbol, or
by the shortest text of the symbol; optional parts and elements of lists go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

GRID, POSTGRES, SQLITE = "grid", "postgres", "sqlite"
SHORTEST = {"num": "1", "text": "'b'", "date": "TIMESTAMP '2024-01-05 00:00:00'", "bool": "1 = 1"}


@dataclass(frozen=True, eq=False)
class Node:
    """`symbol` of the grammar; `pg` and `lite`: the parts there, if not the same."""

    symbol: str
    parts: tuple[str | Node, ...]
    pg: tuple[str | Node, ...] = ()
    lite: tuple[str | Node, ...] = ()  # as `pg` if that is given
    separator: str = ""
    least: int = 0  # elements that a list keeps
    is_portable: bool = True  # SQLite can say it

    def text(self, database: str = GRID) -> str:
        """The SQL for one database."""
        parts = self.parts
        if database == POSTGRES:
            parts = self.pg or parts
        elif database == SQLITE:
            parts = self.lite or self.pg or parts
        shown = [p if isinstance(p, str) else p.text(database) for p in parts]
        return self.separator.join(shown)

    def nodes(self) -> Iterator[Node]:
        """This one and all below it, from the top."""
        yield self
        for part in self.parts:
            if isinstance(part, Node):
                yield from part.nodes()

    @property
    def portable(self) -> bool:
        """Whether SQLite can say all of it."""
        return all(node.is_portable for node in self.nodes())


def many(symbol: str, nodes: list[Node], separator: str = ", ", least: int = 1) -> Node:
    """A list."""
    return Node(symbol, tuple(nodes), separator=separator, least=least)


def maybe(*parts: str | Node) -> Node:
    """A part that may be left out."""
    return Node("optional", parts)


NOTHING = Node("optional", ())


def exchanged(tree: Node, old: Node, new: Node) -> Node:
    """The tree with another node in the place of one of its nodes, wherever that stands."""
    done: dict[int, Node] = {id(old): new}

    def change(parts: tuple[str | Node, ...]) -> tuple[str | Node, ...]:
        return tuple(changed(part) if isinstance(part, Node) else part for part in parts)

    def changed(node: Node) -> Node:
        if id(node) not in done:
            parts = change(node.parts)
            same = all(a is b for a, b in zip(parts, node.parts, strict=True))
            done[id(node)] = node if same else replace(
                node, parts=parts, pg=change(node.pg), lite=change(node.lite)
            )  # fmt: skip
        return done[id(node)]

    return changed(tree)


def smaller(tree: Node) -> Iterator[Node]:
    """Trees with one thing less, the largest steps first."""
    nodes = sorted(tree.nodes(), key=lambda node: -len(node.text()))
    for node in nodes:
        if node.symbol == "optional" and node.parts:
            yield exchanged(tree, node, NOTHING)
        if node.separator and len(node.parts) > node.least:
            for at in range(len(node.parts)):
                fewer = node.parts[:at] + node.parts[at + 1 :]
                yield exchanged(tree, node, replace(node, parts=fewer))
        below = [n for n in node.nodes() if n is not node and n.symbol == node.symbol]
        for inner in below if node.symbol != "optional" else ():
            if len(inner.text()) < len(node.text()):
                yield exchanged(tree, node, inner)
        shortest = SHORTEST.get(node.symbol)
        if shortest is not None and len(shortest) < len(node.text()):
            yield exchanged(tree, node, Node(node.symbol, (shortest,)))


def reduced(tree: Node, differs: Callable[[Node], bool], tries: int = 800) -> Node:
    """The smallest tree found that still differs."""
    again = True
    while again and tries > 0:
        again = False
        for candidate in smaller(tree):
            tries -= 1
            if tries <= 0:
                break
            if differs(candidate):
                tree, again = candidate, True
                break
    return tree
