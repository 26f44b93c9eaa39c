"""The condition language: small expressions over the facts of a request, compiled once, evaluated without ``eval``.

    tokens > 8000 and not has_images
    9 <= hour < 18 and weekday not in ("sat", "sun")
    header["x-tier"] == "gold" or tag["purpose"] in ("audit", "fraud")

The grammar is a corner of Python's expressions, read by Python's own parser, so that precedence holds no surprise:
``and or not``, comparisons, ``in``, literals, the facts of ``facts.py``, ``header[...]`` and ``tag[...]``. Each node is
checked against a whitelist and for its kind (number, text, flag) while it is turned into a closure: what compiles
cannot fail, loop or reach anything but the facts.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple

from apps.gateway.routing.facts import FACTS, Kind, RequestFacts

MAX_LENGTH: Final = 1_000
MAX_NODES: Final = 200

Check = Callable[[RequestFacts], bool]
_Value = Callable[[RequestFacts], Any]

_KINDS: Final[dict[Kind, str]] = {"number": "a number", "text": "a text", "flag": "true or false"}
_EQUAL: Final = {ast.Eq: operator.eq, ast.NotEq: operator.ne}
_ORDER: Final = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}


class ConditionError(ValueError):
    """A condition that cannot be. ``position`` counts characters from 1."""

    def __init__(self, message: str, position: int = 1) -> None:
        super().__init__(f"{message} (at character {position})")
        self.position = position


class _Typed(NamedTuple):
    kind: Kind
    value: _Value


def compile_condition(text: str) -> Check:
    """Raises ``ConditionError`` naming what is wrong and where."""
    return _Compiler(text).compile()


@cache
def _known_facts() -> str:
    return ", ".join(FACTS)


class _Compiler:
    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise ConditionError(f"A condition has at most {MAX_LENGTH:,} characters, this one {len(text):,}.")
        for position, character in enumerate(text, 1):
            if character == "\\" or not (character.isprintable() or character in "\t\n\r"):
                raise ConditionError(f"The character {character!r} has no place in a condition", position)
        # One line: a line break is no more than a space.
        self._text = text.replace("\r", " ").replace("\n", " ").replace("\t", " ").strip()
        self._offset = len(text) - len(text.lstrip())
        self._bytes = self._text.encode()

    def compile(self) -> Check:
        if not self._text:
            raise ConditionError("The condition is empty")
        tree = self._parse()
        if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
            raise ConditionError("The condition is too long-winded: split it over several targets")
        kind, value = self._visit(tree)
        if kind != "flag":
            raise ConditionError(f"The condition is {_KINDS[kind]}; compare it with something", self._position(tree))
        return value

    def _parse(self) -> ast.expr:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # such as for `"a" is 1`, which the whitelist refuses anyway
                return ast.parse(self._text, mode="eval").body
        except SyntaxError as error:
            position = self._offset + (error.offset or len(self._text) + 1)
            raise ConditionError(f"This cannot be read: {error.msg}", position) from None
        except (ValueError, RecursionError, MemoryError):
            raise ConditionError("This cannot be read: it is nested too deeply") from None

    def _position(self, node: ast.AST) -> int:
        # Python counts bytes.
        offset = getattr(node, "col_offset", 0)
        return self._offset + len(self._bytes[:offset].decode(errors="ignore")) + 1

    def _refuse(self, message: str, node: ast.AST) -> ConditionError:
        return ConditionError(message, self._position(node))

    def _visit(self, node: ast.expr) -> _Typed:
        match node:
            case ast.BoolOp(op=op, values=operands):
                return _Typed("flag", _joined(isinstance(op, ast.And), [self._flag(each) for each in operands]))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                check = self._flag(operand)
                return _Typed("flag", lambda facts: not check(facts))
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)) if not isinstance(
                number, bool
            ):
                return _constant(-number)
            case ast.Constant(value=bool() | int() | float() | str() as constant):
                return _constant(constant)
            case ast.Name(id=name):
                return self._name(name, node)
            case ast.Subscript(value=ast.Name(id="header" | "tag" as name), slice=ast.Constant(value=str() as key)):
                return self._lookup(name, key, node)
            case ast.Subscript(value=ast.Name(id="header" | "tag" as name)):
                raise self._refuse(f'A {name} is named by a text: {name}["x-tier"]', node)
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compare([left, *others], ops)
        raise self._refuse(
            f"{_shown(node)} is not part of the language. Use facts, literals, comparisons, and, or, not, in", node
        )

    def _flag(self, node: ast.expr) -> _Value:
        kind, value = self._visit(node)
        if kind != "flag":
            raise self._refuse(f"Here {_KINDS[kind]} stands, where true or false is wanted", node)
        return value

    def _name(self, name: str, node: ast.expr) -> _Typed:
        if name in ("true", "false"):
            return _constant(name == "true")
        if name not in FACTS:
            raise self._refuse(f"There is no fact {name[:40]!r}. Facts: {_known_facts()}, header[...], tag[...]", node)
        return _Typed(FACTS[name][0], operator.attrgetter(name))

    def _lookup(self, name: str, key: str, node: ast.expr) -> _Typed:
        if name == "tag":
            return _Typed("text", lambda facts: facts.tags.get(key, ""))
        key = key.lower()
        # Other headers may hold credentials.
        if not key.startswith("x-"):
            raise self._refuse('Only headers that begin with "x-" can be asked for', node)
        return _Typed("text", lambda facts: facts.headers.get(key, ""))

    def _compare(self, nodes: list[ast.expr], ops: list[ast.cmpop]) -> _Typed:
        checks = [self._comparison(left, op, right) for left, op, right in zip(nodes[:-1], ops, nodes[1:], strict=True)]
        return _Typed("flag", checks[0] if len(checks) == 1 else _joined(True, checks))

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> _Value:
        if isinstance(op, ast.In | ast.NotIn):
            return self._membership(left, right, wanted=isinstance(op, ast.In))
        compare: Any = _EQUAL.get(type(op)) or _ORDER.get(type(op))
        if compare is None:
            raise self._refuse("Compare by == != < <= > >= in", left)
        kind, first = self._visit(left)
        other, second = self._visit(right)
        if kind != other:
            raise self._refuse(f"{_KINDS[kind].capitalize()} is compared with {_KINDS[other]}", left)
        if type(op) in _ORDER and kind != "number":
            raise self._refuse(f"{_KINDS[kind].capitalize()} has no order: only numbers do", left)
        return lambda facts: compare(first(facts), second(facts))

    def _membership(self, left: ast.expr, right: ast.expr, *, wanted: bool) -> _Value:
        kind, item = self._visit(left)
        if not isinstance(right, ast.Tuple | ast.List | ast.Set):
            other, whole = self._visit(right)
            if not kind == other == "text":
                raise self._refuse('After "in" comes a list, such as ("sat", "sun"), or a text to look into', right)
            return lambda facts: (item(facts) in whole(facts)) is wanted
        members = []
        for element in right.elts:
            found = self._visit(element)
            if not isinstance(element, ast.Constant | ast.UnaryOp) or found.kind != kind:
                raise self._refuse(f"In this list each element is {_KINDS[kind]}, written out", element)
            members.append(found.value(RequestFacts()))
        chosen = frozenset(members)
        return lambda facts: (item(facts) in chosen) is wanted


def _constant(value: float | str) -> _Typed:
    kind: Kind = "flag" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    return _Typed(kind, lambda facts: value)


def _joined(every: bool, checks: list[_Value]) -> _Value:
    if every:
        return lambda facts: all(check(facts) for check in checks)
    return lambda facts: any(check(facts) for check in checks)


def _shown(node: ast.expr) -> str:
    names = {ast.Call: "A call", ast.Attribute: "A dot", ast.Lambda: "lambda", ast.BinOp: "Arithmetic"}
    return names.get(type(node), type(node).__name__)
