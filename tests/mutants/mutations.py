"""Every small change of a module that a test should notice: its mutants, one syntax tree each.

Messages of errors, docstrings, annotations and the `strict` of zip change no number: they stay.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

Place = tuple[ast.AST, str, int | None]
"""A node's field, or an item of a field that is a list."""

SWAPPED: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
OPPOSITE: dict[type, type] = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
AT_THE_BOUNDARY: dict[type, type] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
RENAMED = {
    "min": "max",
    "minimum": "maximum",
    "argmin": "argmax",
    "nanmin": "nanmax",
    "any": "all",
    "cos": "sin",
    "sorted": "list",
} | {"max": "min", "maximum": "minimum", "argmax": "argmin", "nanmax": "nanmin"}
RENAMED |= {"all": "any", "sin": "cos"}
UNTOUCHED = (ast.Raise, ast.Import, ast.ImportFrom, ast.JoinedStr)
UNTOUCHED_FIELDS = {"annotation", "returns", "decorator_list", "type_params"}
UNTOUCHED_KEYWORD = "strict"


@dataclass(frozen=True)
class Mutant:
    """A changed module."""

    name: str
    """Where the change is and what it is; the same as long as its statement is."""
    line: int
    code: CodeType


def mutants(source: str, file: str) -> Iterator[Mutant]:
    """The mutants of a module, in the order of its lines."""
    tree = ast.parse(source)
    seen: Counter[str] = Counter()
    for place, scope, statement in _places(tree):
        node, line = _held(place), _line(place)
        for new in _mutations(place):
            name = f"{scope}: {_difference(node, new)} in {_heading(statement)}"
            seen[name] += 1
            _put(place, new)
            code = compile(ast.fix_missing_locations(copy.deepcopy(tree)), file, "exec")
            _put(place, node)
            yield Mutant(name if seen[name] == 1 else f"{name} ({seen[name]})", line, code)


def _places(
    node: ast.AST, scope: str = "module", statement: ast.AST | None = None
) -> Iterator[tuple[Place, str, ast.AST]]:
    """Every place below a node, with the function and the statement that it is in."""
    for field, value in ast.iter_fields(node):
        if field in UNTOUCHED_FIELDS:
            continue
        children = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, child in children:
            if not isinstance(child, ast.AST) or isinstance(child, UNTOUCHED) or _asserts(child):
                continue
            within = child if isinstance(child, ast.stmt) else statement
            if within is not None:
                yield (node, field, index), scope, within
            named = isinstance(child, ast.FunctionDef | ast.ClassDef)
            below = child.name if named and scope == "module" else scope
            below = f"{scope}.{child.name}" if named and scope != "module" else below
            yield from _places(child, below, within)


def _asserts(node: ast.AST) -> bool:
    """A docstring, or the `strict` of zip."""
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return docstring or (isinstance(node, ast.keyword) and node.arg == UNTOUCHED_KEYWORD)


def _held(place: Place) -> ast.AST:
    parent, field, index = place
    value = getattr(parent, field)
    child: ast.AST = value if index is None else value[index]
    return child


def _put(place: Place, node: ast.AST) -> None:
    parent, field, index = place
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _line(place: Place) -> int:
    return int(getattr(_held(place), "lineno", getattr(place[0], "lineno", 0)))


def _mutations(place: Place) -> Iterator[ast.AST]:
    """What may stand in a place instead of what does."""
    node = _held(place)
    for kind, changes in CHANGES.items():
        if isinstance(node, kind):
            yield from changes(node)
    condition = place[1] == "test" or place[1] == "ifs"
    if condition and not (isinstance(node, ast.Compare) and len(node.ops) == 1):
        yield ast.UnaryOp(ast.Not(), node)


def _constant(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
    elif isinstance(value, float):
        yield ast.Constant(2 * value or 1.0)
    elif isinstance(value, str):
        yield ast.Constant(f"{value}?")


def _operation(node: ast.BinOp | ast.BoolOp | ast.AugAssign) -> Iterator[ast.AST]:
    if type(node.op) in SWAPPED:
        yield _changed(node, op=SWAPPED[type(node.op)]())


def _comparison(node: ast.Compare) -> Iterator[ast.AST]:
    for i, op in enumerate(node.ops):
        for table in (OPPOSITE, AT_THE_BOUNDARY):
            if type(op) in table:
                ops = [*node.ops[:i], table[type(op)](), *node.ops[i + 1 :]]
                yield _changed(node, ops=ops)


def _without_sign(node: ast.UnaryOp) -> Iterator[ast.AST]:
    yield node.operand


def _call(node: ast.Call) -> Iterator[ast.AST]:
    for i, keyword in enumerate(node.keywords):
        if keyword.arg not in {None, UNTOUCHED_KEYWORD}:
            yield _changed(node, keywords=[*node.keywords[:i], *node.keywords[i + 1 :]])


def _name(node: ast.Name) -> Iterator[ast.AST]:
    if node.id in RENAMED:
        yield _changed(node, id=RENAMED[node.id])


def _attribute(node: ast.Attribute) -> Iterator[ast.AST]:
    if node.attr in RENAMED:
        yield _changed(node, attr=RENAMED[node.attr])


def _choice(node: ast.IfExp) -> Iterator[ast.AST]:
    if isinstance(node.test, ast.Compare):
        yield from (node.body, node.orelse)


def _returned(node: ast.Return) -> Iterator[ast.AST]:
    if node.value is not None and not _is_none(node.value):
        yield ast.Return(ast.Constant(None))


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _left_out(node: ast.stmt) -> Iterator[ast.AST]:
    """A statement that is there for its effect."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    stored = [target for target in targets if isinstance(target, ast.Subscript | ast.Attribute)]
    if stored or isinstance(node, ast.Expr | ast.AugAssign | ast.Continue | ast.Break):
        yield ast.Pass()


CHANGES = {
    ast.Constant: _constant,
    ast.BinOp: _operation,
    ast.BoolOp: _operation,
    ast.AugAssign: _operation,
    ast.Compare: _comparison,
    ast.UnaryOp: _without_sign,
    ast.Call: _call,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.IfExp: _choice,
    ast.Return: _returned,
    ast.stmt: _left_out,
}


def _changed(node: ast.AST, **fields: object) -> ast.AST:
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _difference(old: ast.AST, new: ast.AST) -> str:
    if isinstance(old, ast.Call) and isinstance(new, ast.Call) and old.keywords != new.keywords:
        (left,) = (keyword for keyword in old.keywords if keyword not in new.keywords)
        return f"{_text(old.func)} without {_text(left)}"
    return f"{_text(old)} -> {_text(new)}"


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())


def _heading(statement: ast.AST) -> str:
    """The first line of a statement, which is all of a simple one; the body of none."""
    line = " ".join(ast.unparse(statement).splitlines()[0].split())
    return line if len(line) <= 100 else f"{line[:97]}..."
