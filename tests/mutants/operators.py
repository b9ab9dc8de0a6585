"""Small faults of a Python source: an operator, a number, a call or a branch is another one."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

OTHER_OPERATOR: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
}
OTHER_COMPARISON: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OTHER_CALL = {
    "relu": "gelu",
    "ReLU": "GELU",
    "sigmoid": "tanh",
    "softmax": "sigmoid",
    "amax": "amin",
    "sum": "mean",
    "mean": "sum",
    "maximum": "minimum",
    "minimum": "maximum",
    "max_pool2d": "avg_pool2d",
    "avg_pool2d": "max_pool2d",
    "zeros": "ones",
    "zeros_": "ones_",
    "zeros_like": "ones_like",
    "new_zeros": "new_ones",
    "square": "abs",
    "rsqrt": "sqrt",
}
DROPPED = ("clamp", "detach", "log", "exp", "square", "abs", "masked_fill", "softmax", "sigmoid")
"""Methods and functions whose call may be left out: its first input takes its place."""
LEFT_OUT = ("annotation", "returns", "decorator_list", "bases")
CHECKS = ("strict", "persistent")
"""Fields of nodes and keywords of calls that compute no number."""


class Mutant(NamedTuple):
    """A source with one fault."""

    line: int
    change: str
    """The line, and after a bar the change, as "a + b -> a - b"; if it is the second such change of
    the line, that it is."""
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a source, in the order of its lines."""
    tree, lines = ast.parse(source), source.splitlines()
    times: Counter[tuple[int, str]] = Counter()
    for parent, field, index in list(places(tree)):
        old = getattr(parent, field) if index is None else getattr(parent, field)[index]
        for new in others(old):
            put(parent, field, index, ast.fix_missing_locations(ast.copy_location(new, old)))
            change = f"{lines[old.lineno - 1].strip()} | {shown(old)} -> {shown(new)}"
            times[old.lineno, change] += 1
            if (number := times[old.lineno, change]) > 1:
                change += f" ({number})"
            yield Mutant(old.lineno, change, ast.unparse(tree))
            put(parent, field, index, old)


def put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def shown(node: ast.AST) -> str:
    if isinstance(node, (ast.If, ast.FunctionDef)):
        return f"if {ast.unparse(node.test)}" if isinstance(node, ast.If) else node.name
    return "nothing" if isinstance(node, ast.Pass) else ast.unparse(node)


def places(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Parent, field and index of every node that computes something; errors and texts do not."""
    for field, value in ast.iter_fields(node):
        if field in LEFT_OUT:
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, (ast.Raise, ast.Assert)):
                continue
            if isinstance(child, ast.keyword) and child.arg in CHECKS:
                continue
            if hasattr(child, "lineno"):
                yield node, field, index
            yield from places(child)


def others(node: ast.AST) -> Iterator[Any]:
    """What may stand in the place of a node."""
    if isinstance(node, ast.BinOp):
        if other := OTHER_OPERATOR.get(type(node.op)):
            yield ast.BinOp(node.left, other(), node.right)
        if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)):
            yield node.left
            yield node.right
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield ast.Constant(not node.value)
        elif isinstance(node.value, int):
            yield ast.Constant(node.value + 1)
        elif isinstance(node.value, float):
            yield ast.Constant(2 * node.value or 1.0)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield ast.Compare(node.left, [OTHER_COMPARISON[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.If):
        yield ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    elif isinstance(node, ast.AugAssign) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield ast.Pass()
    elif isinstance(node, ast.Call):
        yield from other_calls(node)


def other_calls(call: ast.Call) -> Iterator[Any]:
    """Another function of the same inputs, or the first input itself."""
    function = call.func
    if not isinstance(function, ast.Attribute):
        return
    name, owner = function.attr, function.value
    if other := OTHER_CALL.get(name):
        inputs, keywords = call.args, call.keywords
        if name == "softmax":  # which takes an axis
            inputs, keywords = (inputs[:1] if is_module(owner) else []), []
        yield ast.Call(ast.Attribute(owner, other, ast.Load()), inputs, keywords)
    of_self = isinstance(owner, ast.Name) and owner.id == "self"
    if (name in DROPPED and is_module(owner)) or (of_self and len(call.args) == 1):
        yield call.args[0]
    elif name in DROPPED:
        yield owner


def is_module(node: ast.AST) -> bool:
    """Whether functions are called of it and not methods."""
    return isinstance(node, ast.Name) and node.id in ("F", "torch")
