"""Every solution with one thing changed: the grader must refuse it, or a reason must stand here why it need not."""

import ast
import contextlib
import re
import warnings
from pathlib import Path

import jupytext
import pytest
import torch

from course_lib.grading.judging import judge
from course_lib.grading.notebook import _patient
from course_lib.grading.tasks import exercise
from tests.mutation import mutants

ROOT = Path(__file__).parents[1]
SOLUTIONS = sorted((ROOT / "solutions").glob("*.py"))

SAME = {
    "0.0 becomes -0.0": "the two zeros are equal",
    "squared or without its sign": "a difference that is squared, or whose sign is dropped, may be taken either way",
    "in any order": "max, min and the product of two vectors do not ask for an order",
    "overwritten": "a value that is set before anybody reads it may be anything",
    "one alone": "of one column the first is the last",
    "the same axis": "of two axes the last is also number 1, and a square kernel's two sides are alike",
    "raises anyway": "log 0 raises the ValueError that the contract asks for",
    "twice the constant": "least squares of least norm shares a weight between two equal columns",
    "words": "what stands in an error message beside its class is the learner's",
    "no close cases": "the contract says that no case lies between the two thresholds",
    "float noise": "the contract asks for weights that add up to 1, up to rounding",
    "cancels": "a factor that stands above and below the line, or in front of a number of which only the sign is asked",
    "no gradient is asked for": "the contract promises none, or none in this argument",
    "only its shape": "a shape has no gradient",
    "never equal": "the two are equal only where the branch is not taken",
}
EQUIVALENT = {
    "01.conditional": {
        ("sum becomes mean", "both = p.sum(hidden, keepdim=True) if hidden else p"): "cancels",
    },
    "01.conditional_total_correlation": {
        ("sum becomes mean", "weighed = [(row.sum(), row) for row in joint if row.sum() > 0]"): "cancels",
    },
    "02.diagonal_scan": {
        ("zeros_like becomes ones_like", "s = F.pad(torch.zeros_like(x), (1, 0, 1, 0))"): "overwritten",
        ("two arguments change places", "i = torch.arange(max(0, t - width + 1), min(t + 1, height))"): "in any order",
    },
    "02.sample": {("zeros becomes ones", "x = torch.zeros(shape)"): "overwritten"},
    "02.sample_cached": {
        ("zeros becomes ones", "x, pixel = (torch.zeros(shape), torch.zeros(batch, 1))"): "overwritten",
        ("0 becomes -1", "x[:, place] = pixel[:, 0]"): "one alone",
    },
    "03.reparameterise": {
        ("eps is detached", "return mu + torch.exp(log_var / 2) * eps"): "no gradient is asked for",
    },
    "03.gaussian_distortion": {
        (
            "x is detached",
            "per_pixel = (x - x_hat) ** 2 / (2 * sigma ** 2) + math.log(sigma) + 0.5 * math.log(2 * math.pi)",
        ): "no gradient is asked for",
    },
    "05.kl_to_matched": {
        ("> becomes >=", "if abs(total - 1) > 1e-06:"): "float noise",
        ("1e-06 becomes 2e-06", "if abs(total - 1) > 1e-06:"): "float noise",
    },
    "06.first_layer": {
        ("1 becomes 2", "k = weight.shape[-1]"): "the same axis",
        (
            "x is detached",
            "return F.conv2d(torch.cat([x, maps], dim=1), weight * mask, padding=k // 2)",
        ): "no gradient is asked for",
    },
    "06.information": {
        ("a statement is left out", "if n < 2:"): "raises anyway",
        ("2 becomes 1", "if n < 2:"): "raises anyway",
    },
    "06.read_plane": {("> becomes >=", "if (information > rate + 0.1).any():"): "float noise"},
    "06.bits_back": {("0 becomes -1", "grown_before = net.cumsum(0) - net"): "one alone"},
    "06.flow_log_prob": {
        ("the two sides of - change places", "e = (z - shift) * (-log_scale).exp()"): "squared or without its sign",
        (
            "- is left out",
            "return (-0.5 * (e ** 2 + math.log(2 * math.pi)) - log_scale).sum(dim=-1)",
        ): "the same axis",
    },
    "07.mmd_squared": {
        (
            "prior is detached",
            "return among_themselves(kernel(z, z)) + among_themselves(kernel(prior, prior)) "
            "- 2 * kernel(z, prior).mean()",
        ): "no gradient is asked for",
    },
    "07.diagnose": {
        (change, line): "no close cases"
        for line, changes in {
            "if measured['leak'] > 0.001:": ("> becomes >=", "0.001 becomes 0.002"),
            "if measured['nll'] > measured['nll_without_code'] + 2.5:": ("> becomes >=", "2.5 becomes 5.0"),
            "return 'exploding' if measured['information'] > measured['ceiling'] - 1 else 'over-regularised'": (
                "> becomes >=",
                "1 becomes 2",
            ),
            "return 'collapsed' if measured['information'] < 1 else 'healthy'": ("< becomes <=",),
        }.items()
        for change in changes
    },
    "08.held_out_r2": {
        ("1 becomes 2", "return torch.cat([codes, torch.ones_like(codes[:, :1])], dim=1)"): "twice the constant",
        ("0 becomes -1", "guess = (design(test_codes) @ line)[:, 0]"): "one alone",
    },
    "08.at_matched_information": {("0 becomes -1", "return y[0]"): "one alone"},
    "08.verdict": {("> becomes >=", "answer = 'b' if mean > 0 else 'a'"): "never equal"},
}


def why_equal(task: str, change: str, line: str, contract: str) -> str:
    """The reason in SAME why a mutant answers as the solution does; empty where there is none."""
    if change.endswith(" is detached") and not re.search("ifferentiable|gradient", contract):
        return "no gradient is asked for"
    if change.endswith(" is detached") and re.search(r"len\(|ones_like|^raise ", line):
        return "only its shape"
    if change == "0.0 becomes -0.0":
        return change
    if line.startswith("raise ") and "becomes" in change:
        return "words"
    if change == "the two sides of - change places" and any(
        sign in line for sign in ("** 2", ".abs()", "abs(", ".square()")
    ):
        return "squared or without its sign"
    if change == "the two sides of @ change places" and line.startswith(("rate = data @", "information = data @")):
        return "in any order"
    if change == "two arguments change places" and ("min(" in line or "max(" in line or "kernel(" in line):
        return "in any order"
    return EQUIVALENT.get(task, {}).get((change, line), "")


def defined(path: Path) -> tuple[dict, dict[str, str]]:
    """What a solution imports and defines, without its experiments; and the source of each function."""
    namespace, sources = {"__name__": "solution"}, {}
    for cell in jupytext.read(path, fmt="py:percent").cells:
        if cell.cell_type != "code":
            continue
        code = "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))
        for node in ast.parse(code).body:
            if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)):
                with contextlib.suppress(NameError):  # a helper of an experiment whose data is not made here
                    exec(ast.unparse(node), namespace)
            if isinstance(node, ast.FunctionDef):
                sources[node.name] = ast.unparse(node)
    return namespace, sources


def survivors(task, namespace: dict, source: str) -> tuple[int, list[tuple[str, str]]]:
    """How many mutants there are of a solution, and which of them the judge took for right."""
    tried, alive = 0, []
    for change, line, code in mutants(source, task.function):
        mine = dict(namespace)
        exec(code, mine)
        tried += 1
        if judge(task, _patient(mine[task.function], ""), torch.Generator().manual_seed(0)).status == "right":
            alive.append((change, line))
    return tried, alive


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_no_mutant_of_a_solution_is_taken_for_right_without_a_reason(path, record_property):
    namespace, sources = defined(path)
    lines, unexplained = [f"{'task':<34}mutants  refused  the same, for a reason"], []
    for task in exercise(path.name[:2]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tried, alive = survivors(task, namespace, sources[task.function])
        reasons = [why_equal(task.id, *mutant, namespace[task.function].__doc__) for mutant in alive]
        unexplained += [(task.id, *mutant) for mutant, reason in zip(alive, reasons, strict=True) if not reason]
        assert set(filter(None, reasons)) <= set(SAME)
        said = ", ".join(sorted(set(filter(None, reasons))))
        lines.append(f"{task.id:<34}{tried:>7}{tried - len(alive):>9}  {len(alive)}{': ' * bool(said)}{said}")
    record_property(f"table: mutants of {path.stem}", "\n".join(lines))
    assert unexplained == [], "\n".join(map(str, unexplained))


def test_mutants_are_each_another_program_and_leave_the_first_as_it_was():
    source = "def f(x, y):\n    if x > 0:\n        return (x - y).sum(dim=1), 0.5\n    raise ValueError"
    found = list(mutants(source, "f"))
    assert len({code for _, _, code in found}) == len(found) >= 10
    assert all(ast.unparse(ast.parse(code)) == code != ast.unparse(ast.parse(source)) for _, _, code in found)
    assert ("sum becomes mean", "return (x - y).sum(dim=1), 0.5") in {(change, line) for change, line, _ in found}


def test_every_reason_is_needed():
    used = {reason for answers in EQUIVALENT.values() for reason in answers.values()}
    assert used | {
        "no gradient is asked for",
        "only its shape",
        "0.0 becomes -0.0",
        "words",
        "squared or without its sign",
        "in any order",
    } == set(SAME)
