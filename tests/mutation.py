"""Small changes to a right answer, one at a time: the slips of a tired hand."""

import ast
import copy
from collections.abc import Callable, Iterator

SWAPPED_OPERATORS = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.MatMult: (ast.Mult,),
    ast.FloorDiv: (ast.Div,),
    ast.Mod: (ast.FloorDiv,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
SWAPPED_NAMES = {
    "sum": "mean",
    "mean": "sum",
    "var": "std",
    "std": "var",
    "log": "exp",
    "exp": "log",
    "log1p": "log",
    "sqrt": "square",
    "logsumexp": "sum",
    "cumsum": "cumprod",
    "tril": "triu",
    "triu": "tril",
    "min": "max",
    "max": "min",
    "minimum": "maximum",
    "maximum": "minimum",
    "argmin": "argmax",
    "argmax": "argmin",
    "sigmoid": "tanh",
    "tanh": "sigmoid",
    "softplus": "relu",
    "zeros": "ones",
    "ones": "zeros",
    "zeros_like": "ones_like",
    "ones_like": "zeros_like",
    "cos": "sin",
    "sin": "cos",
    "any": "all",
    "all": "any",
    "randn": "rand",
    "eigvalsh": "diagonal",
}
DROPPED_CALLS = (
    "detach",
    "abs",
    "sqrt",
    "square",
    "exp",
    "log",
    "clone",
    "double",
    "clamp",
    "relu",
    "unsqueeze",
    "flip",
)
DROPPED_PARTS = ("T", "mT")


def mutants(source: str, name: str) -> Iterator[tuple[str, str, str]]:
    """What was changed, the line as it was, and the source with the change, for every change in the function `name`."""
    tree = ast.parse(source)
    function = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name)
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    before, seen = ast.unparse(tree), set()
    lines, parameters = source.splitlines(), {argument.arg for argument in function.args.args}
    for statement in body:
        for node in list(ast.walk(statement)):
            for change in [*changes(node), *detached(node, parameters)]:
                undo, told = change()
                after = ast.unparse(tree)
                line = lines[getattr(node, "lineno", 1) - 1].strip()
                undo()
                if after != before and after not in seen:
                    seen.add(after)
                    yield told, line, after
    assert ast.unparse(tree) == before


Change = Callable[[], tuple[Callable[[], None], str]]


def changes(node: ast.AST) -> Iterator[Change]:
    """The changes that can be made at a node."""
    if isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)):
        for other in SWAPPED_OPERATORS.get(type(node.op), ()):
            yield replaced(node, "op", other(), f"{told(node.op)} becomes {told(other())}")
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Sub, ast.Div, ast.MatMult)):
        yield exchanged(node)
    if isinstance(node, ast.Compare):
        for other in SWAPPED_OPERATORS.get(type(node.ops[0]), ()):
            yield replaced(node, "ops", [other(), *node.ops[1:]], f"{told(node.ops[0])} becomes {told(other())}")
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for value in {int: (node.value + 1, node.value - 1), float: (2 * node.value, -node.value)}[type(node.value)]:
            yield replaced(node, "value", value, f"{node.value} becomes {value}")
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield replaced(node, "value", not node.value, f"{node.value} becomes {not node.value}")
    if isinstance(node, ast.Attribute) and node.attr in SWAPPED_NAMES:
        yield replaced(node, "attr", SWAPPED_NAMES[node.attr], f"{node.attr} becomes {SWAPPED_NAMES[node.attr]}")
    if isinstance(node, ast.Call) and len(node.args) >= 2 and not any(isinstance(a, ast.Starred) for a in node.args):
        swapped = [node.args[1], node.args[0], *node.args[2:]]
        yield replaced(node, "args", swapped, "two arguments change places")
    if isinstance(node, (ast.If, ast.While, ast.IfExp)):
        yield replaced(node, "test", ast.UnaryOp(ast.Not(), node.test), "a condition is turned round")
    for field, value in ast.iter_fields(node):
        yield from without(node, field, value)
        if isinstance(value, list):
            yield from statements(value)
            for i, part in enumerate(value):
                yield from without(value, i, part)


def detached(node: ast.AST, parameters: set[str]) -> Iterator[Change]:
    """An argument is taken without its gradient, at one of the places where its numbers are used."""
    if isinstance(node, ast.Attribute) and node.attr in ("shape", "dtype", "device", "ndim"):
        return
    for field, value in ast.iter_fields(node):
        for i, part in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(part, ast.Name) and part.id in parameters and isinstance(part.ctx, ast.Load):
                alone = ast.Call(ast.Attribute(part, "detach", ast.Load()), [], [])
                place = (value, i) if isinstance(value, list) else (node, field)
                yield put(*place, alone, f"{part.id} is detached")


def without(owner, place, part) -> Iterator[Change]:
    """A minus, a `not`, a call such as detach, or a transposition is left out; or a tensor is detached."""
    if isinstance(part, ast.UnaryOp):
        yield put(owner, place, part.operand, f"{told(part.op)} is left out")
    if isinstance(part, ast.Attribute) and part.attr in DROPPED_PARTS:
        yield put(owner, place, part.value, f".{part.attr} is left out")
    if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and part.func.attr in DROPPED_CALLS:
        of_torch = isinstance(part.func.value, ast.Name) and part.func.value.id in ("torch", "F", "math", "np")
        inner = part.args[0] if of_torch and part.args else part.func.value
        if not of_torch or part.args:
            yield put(owner, place, inner, f"{part.func.attr} is left out")
    if isinstance(part, ast.Tuple) and isinstance(part.ctx, ast.Load) and len(part.elts) == 2 and place == "value":
        yield put(owner, place, ast.Tuple([part.elts[1], part.elts[0]], ast.Load()), "two results change places")


def statements(body: list) -> Iterator[Change]:
    """A statement that changes something is left out."""
    for i, statement in enumerate(body):
        if isinstance(statement, (ast.AugAssign, ast.Raise)) or (
            isinstance(statement, ast.If) and not statement.orelse
        ):
            yield put(body, i, ast.Pass(), "a statement is left out")


def replaced(node: ast.AST, field: str, value, words: str) -> Change:
    def change():
        old = getattr(node, field)
        setattr(node, field, value)
        return lambda: setattr(node, field, old), words

    return change


def put(owner, place, value, words: str) -> Change:
    if isinstance(owner, ast.AST):
        return replaced(owner, place, value, words)

    def change():
        old = owner[place]
        owner[place] = value
        return lambda: owner.__setitem__(place, old), words

    return change


def exchanged(node: ast.BinOp) -> Change:
    def change():
        node.left, node.right = node.right, node.left

        def undo():
            node.left, node.right = node.right, node.left

        return undo, f"the two sides of {told(node.op)} change places"

    return change


def told(operator: ast.AST) -> str:
    """An operator as it is written."""
    a, b = ast.Name("a"), ast.Name("b")
    if isinstance(operator, ast.cmpop):
        return ast.unparse(ast.Compare(copy.copy(a), [operator], [b]))[2:-2]
    if isinstance(operator, ast.unaryop):
        return ast.unparse(ast.UnaryOp(operator, a)).removesuffix("a").strip()
    joined = ast.BoolOp(operator, [a, b]) if isinstance(operator, ast.boolop) else ast.BinOp(a, operator, b)
    return ast.unparse(joined)[2:-2]
