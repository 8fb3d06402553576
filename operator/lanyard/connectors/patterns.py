"""Matching a whole value against a connector's pattern, in bounded work.

Python's own engine backtracks: `(a+)+` and forty characters of a tenant would hold the only event loop for hours. So
the parse tree is walked with sets of positions, as RE2 does, and only its single characters are left to `re`.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

# The tree that `re` itself compiles; the standard library has no public name for it.
_compiler, _constants, _parser = (import_module(f"re._{name}") for name in ("compiler", "constants", "parser"))

STEPS = 200_000  # about 50 ms; the longest value takes 1024 for each part of a sane pattern

_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)
_SINGLE = (_constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN, _constants.AT)

Positions = frozenset[int]


class _TooMuchWorkError(Exception):
    pass


class _Run:
    """One value being matched."""

    __slots__ = ("left", "value")

    def __init__(self, value: str) -> None:
        self.value = value
        self.left = STEPS

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise _TooMuchWorkError


_Walk = Callable[[_Run, Positions], Positions]


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Callable[[str], bool]:
    """Whether the whole value fits. ASCII classes only: a digit of another script must not pass as one.

    re.error for what is no pattern, or needs backtracking.
    """
    re.compile(pattern, re.ASCII)  # what only the compiler finds
    tree = _parser.parse(pattern, re.ASCII)
    walk = _sequence(tree, tree.state, tree.state.flags)

    def fits(value: str) -> bool:
        try:
            return len(value) in walk(_Run(value), frozenset({0}))
        except _TooMuchWorkError:
            return False

    return fits


def _sequence(nodes: Sequence[Any], state: Any, flags: int) -> _Walk:
    walks = [_node(node, state, flags) for node in nodes]

    def walk(run: _Run, at: Positions) -> Positions:
        for one in walks:
            if not at:
                break
            at = one(run, at)
        return at

    return walk


def _node(node: Any, state: Any, flags: int) -> _Walk:
    kind, arguments = node
    if kind in _SINGLE:
        return _single(_compiler.compile(_parser.SubPattern(state, [node]), flags))
    if kind in _REPEATS:
        least, most, body = arguments
        return _repeat(least, most, _sequence(body, state, flags))
    if kind is _constants.SUBPATTERN:
        _, added, removed, body = arguments
        return _sequence(body, state, (flags | added) & ~removed)
    if kind is _constants.BRANCH:
        return _branch([_sequence(branch, state, flags) for branch in arguments[1]])
    raise re.error("needs backtracking")


def _single(one: re.Pattern[str]) -> _Walk:
    def walk(run: _Run, at: Positions) -> Positions:
        run.spend(len(at))
        found = (one.match(run.value, position) for position in at)
        return frozenset(match.end() for match in found if match is not None)

    return walk


def _branch(walks: Sequence[_Walk]) -> _Walk:
    return lambda run, at: frozenset().union(*(walk(run, at) for walk in walks))


def _repeat(least: int, most: int, body: _Walk) -> _Walk:
    def walk(run: _Run, at: Positions) -> Positions:
        for _ in range(least):
            run.spend(1)
            after = body(run, at)
            if after == at:
                break
            at = after
        reached = fresh = at
        for _ in range(min(most - least, len(run.value) + 1)):
            run.spend(1)
            fresh = body(run, fresh) - reached
            if not fresh:
                break
            reached |= fresh
        return reached

    return walk
