"""Which row groups of a Parquet file cannot hold a wanted record, by the least and greatest values in its footer."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from dsir_core.config.predicate import ORDERS, constants_of, field_of


class Outcomes(NamedTuple):
    """What a condition may be for the rows of a group."""

    true: bool
    false: bool


ANY = Outcomes(True, True)


@dataclass(frozen=True)
class Bounds:
    """The values of a column in a row group."""

    low: str | int | float
    high: str | int | float
    others: bool
    """Whether nulls, NaN or what is no text may be among them."""


def may_hold(include: str | None, exclude: str | None, group: Any) -> bool:
    """Whether a row of the group can meet `include` without meeting `exclude`.

    Args:
        include, exclude: conditions that have been parsed before, see `predicate`.
        group: pyarrow.parquet.RowGroupMetaData.
    """
    bounds = _bounds(group)
    if include is not None and not _outcomes(_tree(include), bounds).true:
        return False
    return exclude is None or _outcomes(_tree(exclude), bounds).false


def _tree(text: str) -> ast.expr:
    return ast.parse(text.strip(), mode="eval").body


def _bounds(group: Any) -> dict[str, Bounds]:
    """By dotted path, where the footer tells them; a path that two columns share is left out."""
    found: dict[str, Bounds] = {}
    seen: set[str] = set()
    for i in range(group.num_columns):
        column = group.column(i)
        name = column.path_in_schema
        statistics = column.statistics if column.is_stats_set else None
        if name not in seen and statistics is not None and statistics.has_min_max:
            try:
                low, high = statistics.min, statistics.max
            except UnicodeDecodeError:
                low = high = None
            if _is_plain(low) and _is_plain(high):
                # Statistics pass over NaN; text that is no UTF-8 is read as null.
                others = (
                    isinstance(low, float)
                    or (isinstance(low, str) and low != high)
                    or not statistics.has_null_count
                    or statistics.null_count > 0
                )
                found[name] = Bounds(low, high, others)
        elif name in seen:
            found.pop(name, None)
        seen.add(name)
    return found


def _is_plain(value: Any) -> bool:
    """Whether a condition sees the value as it is, and orders it as Parquet does (strings by code point).

    Some writers let NaN into statistics, which then say nothing.
    """
    return type(value) in (str, int, float) and value == value


def _outcomes(node: ast.expr, bounds: Mapping[str, Bounds]) -> Outcomes:
    match node:
        case ast.BoolOp(op=op, values=parts):
            found = [_outcomes(part, bounds) for part in parts]
            return _all(found) if isinstance(op, ast.And) else _not(_all([_not(each) for each in found]))
        case ast.UnaryOp(op=ast.Not(), operand=part):
            return _not(_outcomes(part, bounds))
        case ast.Compare(left=left, ops=ops, comparators=rights):
            operands = [left, *rights]
            pairs = zip(operands, ops, rights, strict=False)
            return _all([_pair(a, op, b, bounds) for a, op, b in pairs])
    return ANY


def _all(parts: list[Outcomes]) -> Outcomes:
    return Outcomes(all(part.true for part in parts), any(part.false for part in parts))


def _not(part: Outcomes) -> Outcomes:
    return Outcomes(part.false, part.true)


SWAPPED: dict[type, type] = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}


def _pair(left: ast.expr, op: ast.cmpop, right: ast.expr, bounds: Mapping[str, Bounds]) -> Outcomes:
    """Of a field and a constant, or a list of them; anything else may be anything."""
    kind = type(op)
    name, values = field_of(left), constants_of(right)
    if values is None and kind not in (ast.In, ast.NotIn):
        name, values, kind = field_of(right), constants_of(left), SWAPPED.get(kind, kind)
    if name is None or values is None or name not in bounds:
        return ANY
    known = bounds[name]
    is_list = isinstance(right, ast.List | ast.Tuple)
    if kind in (ast.In, ast.NotIn):
        found = _member(known, values) if is_list else ANY
        return found if kind is ast.In else _not(found)
    if is_list or isinstance(left, ast.List | ast.Tuple):
        return ANY
    if kind in (ast.Eq, ast.NotEq):
        found = _member(known, values)
        return found if kind is ast.Eq else _not(found)
    return _ordered(known, kind, values[0])


def _member(known: Bounds, values: list[Any]) -> Outcomes:
    """Whether a value is one of some."""
    others_in = known.others and any(value is None for value in values)
    inside = [v for v in values if _comparable(known, v) and known.low <= v <= known.high]
    only = known.low == known.high and any(v == known.low for v in inside)
    return Outcomes(bool(inside) or others_in, not only or known.others)


def _ordered(known: Bounds, kind: type, value: Any) -> Outcomes:
    if not _comparable(known, value):
        return Outcomes(False, True)  # order between a string and a number, or against null, is false
    order = ORDERS[kind]
    low, high = order(known.low, value), order(known.high, value)
    return Outcomes(low or high, not (low and high) or known.others)


def _comparable(known: Bounds, value: Any) -> bool:
    return isinstance(value, str) == isinstance(known.low, str) and value is not None
