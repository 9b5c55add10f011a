"""Conditions on the fields of a record, as a user writes them: read by a parser, never run as code.

    lang == "en" and (score >= 0.5 or source in ["books", "wiki"]) and not meta.blocked

Values are strings, numbers, true, false and null. A field that a record lacks is null. Order against null, or between a
string and a number, is false.
"""

from __future__ import annotations

import ast
import datetime
import decimal
import operator
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

MAX_CHARACTERS = 10_000

MAX_DEPTH = 100
"""Of conditions within conditions: each is a call when a record is looked at."""

CONSTANTS = {"true": True, "false": False, "null": None}

ORDERS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}

Values = Sequence[Any]
Test = Callable[[Values], Any]


_QUOTED = re.compile(r"'[^']*'?|\"[^\"]*\"?")
_SINGLE_EQUALS = re.compile(r"(?<![=!<>])=(?!=)")


@dataclass(frozen=True)
class Predicate:
    """A condition, and the fields that it looks at."""

    fields: tuple[str, ...]
    """Dotted paths."""
    _test: Test

    def holds(self, values: Values) -> bool:
        """Whether the condition holds for the values of `fields`, in their order; never raises."""
        return bool(self._test(values))


def parse_predicate(text: str) -> Predicate:
    """A predicate from its text.

    Raises:
        ValueError: it is not a condition; the message says at which character, and what is allowed.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"a condition of {len(text):,} characters: more than {MAX_CHARACTERS:,}")
    try:
        with warnings.catch_warnings(action="ignore"):  # Python's own, on what is refused below
            tree = ast.parse(text.strip(), mode="eval")
        if _depth(tree) > MAX_DEPTH:
            raise RecursionError
        fields: list[str] = []
        test = _test(tree.body, fields)
        if not fields:
            raise ValueError("a condition on no field: it would hold for all records, or for none")
    except SyntaxError as error:
        meant = "; equality is ==" if _SINGLE_EQUALS.search(_QUOTED.sub("", text)) else ""
        raise ValueError(f"not a condition, at character {error.offset}: {error.msg}{meant}") from None
    except (RecursionError, MemoryError):
        raise ValueError("a condition that is nested too deeply") from None
    return Predicate(tuple(fields), test)


def _depth(tree: ast.AST) -> int:
    depth, level = 0, [tree]
    while level:
        depth += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def plain(value: Any) -> Any:
    """A field's value as a condition sees it: dates as ISO text, decimals as floats."""
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return float(value) if isinstance(value, decimal.Decimal) else value


def _test(node: ast.expr, fields: list[str]) -> Test:
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            tests = [_test(part, fields) for part in parts]
            return lambda values: all(test(values) for test in tests)
        case ast.BoolOp(op=ast.Or(), values=parts):
            tests = [_test(part, fields) for part in parts]
            return lambda values: any(test(values) for test in tests)
        case ast.UnaryOp(op=ast.Not(), operand=part):
            inner = _test(part, fields)
            return lambda values: not inner(values)
        case ast.Compare():
            return _comparison(node, fields)
    return _value(node, fields)


def _comparison(node: ast.Compare, fields: list[str]) -> Test:
    """`a < b <= c` is `a < b and b <= c`."""
    operands = [node.left, *node.comparators]
    tests = [
        _pair(op, _operand(left, fields), _operand(right, fields))
        for left, op, right in zip(operands, node.ops, operands[1:], strict=False)
    ]
    return tests[0] if len(tests) == 1 else lambda values: all(test(values) for test in tests)


def _pair(op: ast.cmpop, left: Test, right: Test) -> Test:
    match op:
        case ast.Eq():
            return lambda values: left(values) == right(values)
        case ast.NotEq():
            return lambda values: left(values) != right(values)
        case ast.In():
            return lambda values: _is_in(left(values), right(values))
        case ast.NotIn():
            return lambda values: not _is_in(left(values), right(values))
    if type(op) not in ORDERS:
        raise ValueError("is and is not are no comparisons here: write == null or != null")
    order = ORDERS[type(op)]
    return lambda values: _ordered(order, left(values), right(values))


def _is_in(value: Any, many: Any) -> bool:
    """Membership of a list, or of a field that holds one; text within text."""
    if isinstance(many, str):
        return isinstance(value, str) and value in many
    return isinstance(many, list | tuple) and value in many


def _ordered(order: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    return (numbers or (isinstance(left, str) and isinstance(right, str))) and order(left, right)


def _operand(node: ast.expr, fields: list[str]) -> Test:
    if isinstance(node, ast.List | ast.Tuple):
        items = [_constant(item) for item in node.elts]
        return lambda values: items
    return _value(node, fields)


def _value(node: ast.expr, fields: list[str]) -> Test:
    path = field_of(node)
    if path is None:
        constant = _constant(node)
        return lambda values: constant
    if path not in fields:
        fields.append(path)
    place = fields.index(path)
    return lambda values: values[place]


def field_of(node: ast.expr) -> str | None:
    """The dotted path of a field; None for anything else."""
    path = _path(node)
    return None if path in CONSTANTS else path


def _path(node: ast.expr) -> str | None:
    """As it is written: `a.b`, or `a["b"]`."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=outer, attr=name) | ast.Subscript(value=outer, slice=ast.Constant(value=str(name))):
            path = _path(outer)
            return None if path is None else f"{path}.{name}"
    return None


def constants_of(node: ast.expr) -> list[Any] | None:
    """The value of a constant, or those of a list of them; None for anything else."""
    items = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
    if any(field_of(item) is not None for item in items):
        return None
    return [_constant(item) for item in items]


def _constant(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value) if value is None or isinstance(value, str | int | float):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)) if isinstance(value, int | float):
            return -value
        case ast.Name(id=name) if name in CONSTANTS:
            return CONSTANTS[name]
    raise ValueError(
        f"at character {node.col_offset + 1}: only field names, strings, numbers, lists of them, and, or, not, in "
        f"and comparisons can stand in a condition; texts stand in quotes"
    )


@dataclass(frozen=True)
class Condition:
    """Which records are read: those that meet `include`, without those that meet `exclude`."""

    fields: tuple[str, ...]
    _include: Predicate | None
    _exclude: Predicate | None

    @classmethod
    def of(cls, include: str | None, exclude: str | None) -> Condition | None:
        """From a request's settings; None where all records are wanted."""
        if include is None and exclude is None:
            return None
        wanted = parse_predicate(include) if include is not None else None
        unwanted = parse_predicate(exclude) if exclude is not None else None
        fields = [name for predicate in (wanted, unwanted) if predicate is not None for name in predicate.fields]
        return cls(tuple(dict.fromkeys(fields)), wanted, unwanted)

    def holds(self, values: Values) -> bool:
        """Whether a record is read, by the values of `fields` in their order."""
        by_name = dict(zip(self.fields, map(plain, values), strict=True))
        if self._include is not None and not self._include.holds([by_name[name] for name in self._include.fields]):
            return False
        return self._exclude is None or not self._exclude.holds([by_name[name] for name in self._exclude.fields])
