"""How the library reads: short functions, a docstring and shapes on everything public."""

import ast
import statistics
from pathlib import Path

import pytest

import course_lib

ROOT = Path(course_lib.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py"))
MATHEMATICS = [path for path in FILES if path.relative_to(ROOT).parts[0] in ("models", "objectives", "measurement")]
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def names_of(path):
    return str(path.relative_to(ROOT))


def public_definitions(tree):
    """Public functions and classes, and the public methods of public classes; what nests in a function is its own."""
    for node in tree.body:
        if isinstance(node, (*FUNCTION, ast.ClassDef)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (m for m in node.body if isinstance(m, FUNCTION) and not m.name.startswith("_"))


def code_lines(function, source):
    """Lines of a function without its docstring, blank lines and comments."""
    first = function.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(getattr(first, "value", None), ast.Constant)
    documented = set(range(first.lineno, first.end_lineno + 1)) if is_docstring else set()
    lines = [source[n - 1].strip() for n in range(function.lineno, function.end_lineno + 1) if n not in documented]
    return sum(bool(line) and not line.startswith("#") for line in lines)


def lengths(path):
    text = path.read_text(encoding="utf-8")
    tree, source = ast.parse(text), text.splitlines()
    return {node.name: code_lines(node, source) for node in ast.walk(tree) if isinstance(node, FUNCTION)}


def test_the_median_function_has_at_most_fifteen_lines():
    every = [n for path in FILES for n in lengths(path).values()]
    print(f"{len(every)} functions, median {statistics.median(every)} lines, longest {max(every)}")
    assert statistics.median(every) <= 15


@pytest.mark.parametrize("path", MATHEMATICS, ids=names_of)
def test_no_function_fills_more_than_a_screen(path):
    assert {name: n for name, n in lengths(path).items() if n > 40} == {}


@pytest.mark.parametrize("path", MATHEMATICS, ids=names_of)
def test_everything_public_has_a_docstring_unless_the_contract_gives_it(path):
    inherited = {"forward"}
    missing = [
        node.name
        for node in public_definitions(ast.parse(path.read_text(encoding="utf-8")))
        if not ast.get_docstring(node) and node.name not in inherited
    ]
    assert missing == []


@pytest.mark.parametrize("path", MATHEMATICS, ids=names_of)
def test_public_tensors_carry_their_shape(path):
    bare = []
    for node in public_definitions(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, FUNCTION):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            notes = [a.annotation for a in given if a.annotation] + ([node.returns] if node.returns else [])
            bare += [node.name for note in notes if says_bare_tensor(note)]
    assert bare == []


def says_bare_tensor(note):
    """True for Tensor, Tensor | None, list[Tensor]...; False inside Float[Tensor, "shape"]."""
    if isinstance(note, ast.Subscript) and getattr(note.value, "id", "") in ("Float", "Int", "Bool", "Num", "Shaped"):
        return False
    if isinstance(note, ast.Name):
        return note.id == "Tensor"
    return any(says_bare_tensor(child) for child in ast.iter_child_nodes(note))


@pytest.mark.parametrize("note, bare", [("Tensor", 1), ("Tensor | None", 1), ('Float[Tensor, "n"]', 0), ("int", 0)])
def test_the_check_tells_a_bare_tensor_from_one_with_a_shape(note, bare):
    assert says_bare_tensor(ast.parse(note, mode="eval").body) == bool(bare)
