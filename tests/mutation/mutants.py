"""Small errors that a programmer may make, put into a module one at a time."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}


@dataclass(frozen=True)
class Mutant:
    """A module with one error."""

    line: int
    what: str
    source: str


def mutants_of(source: str) -> Iterator[Mutant]:
    """All mutants of a module; annotations, messages, docstrings, type aliases and `strict` of zip stay."""
    tree = ast.parse(source)
    for index, node in enumerate(_nodes(tree)):
        for variant in range(len(list(_changes(node)))):
            changed = copy.deepcopy(tree)
            target = _nodes(changed)[index]
            what, change = list(_changes(target))[variant]
            before = ast.unparse(target)
            change()
            ast.fix_missing_locations(changed)
            yield Mutant(node.lineno, f"{what}: {before.splitlines()[0][:100]}", ast.unparse(changed))


def _nodes(tree: ast.AST) -> list[ast.AST]:
    """Nodes that may be changed, in the order of the tree."""
    found: list[ast.AST] = []
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
            if isinstance(node, ast.Raise):
                found.append(node)
            continue
        if isinstance(node, ast.keyword) and node.arg == "strict":
            continue
        if isinstance(node, ast.expr | ast.stmt):
            found.append(node)
        skipped = {"annotation", "returns", "decorator_list", "type_comment"}
        for name, value in reversed(list(ast.iter_fields(node))):
            if name in skipped:
                continue
            children = value if isinstance(value, list) else [value]
            stack.extend(child for child in reversed(children) if isinstance(child, ast.AST))
    return found


def _changes(node: ast.AST) -> Iterator[tuple[str, object]]:
    """What can be done to a node: a word for it, and a function that does it."""
    match node:
        case ast.Compare(ops=[operator]):
            for other in COMPARISONS.get(type(operator), ()):
                yield f"comparison {other.__name__}", lambda other=other: node.ops.__setitem__(0, other())
        case ast.BinOp() | ast.AugAssign() if type(node.op) in OPERATORS:
            other = OPERATORS[type(node.op)]
            yield f"operator {other.__name__}", lambda: setattr(node, "op", other())
        case ast.BoolOp():
            other = ast.Or if isinstance(node.op, ast.And) else ast.And
            yield f"operator {other.__name__}", lambda: setattr(node, "op", other())
        case ast.UnaryOp(op=ast.Not()):
            yield "not removed", lambda: _become(node, node.operand)
        case ast.UnaryOp(op=ast.USub()) if not isinstance(node.operand, ast.Constant):
            yield "minus removed", lambda: _become(node, node.operand)
        case ast.Constant(value=bool()):
            yield "negated", lambda: setattr(node, "value", not node.value)
        case ast.Constant(value=int() | float()):
            yield "one more", lambda: setattr(node, "value", node.value + 1)
        case ast.If() | ast.IfExp() | ast.While() if not isinstance(node.test, ast.Compare | ast.UnaryOp):
            yield "condition negated", lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
        case ast.Raise():
            yield "not raised", lambda: _become(node, ast.Pass())
        case ast.Expr(value=ast.Call()):
            yield "call removed", lambda: _become(node, ast.Pass())
        case ast.Break():
            yield "goes on", lambda: _become(node, ast.Continue())
        case ast.Continue():
            yield "ends the loop", lambda: _become(node, ast.Break())
        case ast.Call(func=ast.Name(id="min" | "max" as name)):
            yield f"{name} swapped", lambda: setattr(node.func, "id", "max" if name == "min" else "min")


def _become(node: ast.AST, other: ast.AST) -> None:
    node.__class__ = other.__class__
    node.__dict__.clear()
    node.__dict__.update(other.__dict__)
