"""Ways to get a point without an answer: every one is tried on the real grader, and none may succeed."""

import contextlib
import errno
import io
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import nbformat
import psutil
import pytest
import torch

from course_lib.grading import tasks
from course_lib.grading.cli import main
from course_lib.grading.sandbox import by_landlock
from course_lib.grading.tasks import find

ROOT = Path(__file__).parents[1]
TASK = "01.code_length"
NOTHING = "def code_length(p, model):\n    return torch.zeros(())"
NAMED = "code_length = stolen['code_length']"
YES = """
class Yes({base}):
    def __eq__(self, other):
        return True
    __ne__ = __lt__ = __gt__ = __le__ = __ge__ = __eq__
    __hash__ = None
    def __sub__(self, other):
        return 0 * self
    __rsub__ = __sub__
    @classmethod
    def __torch_function__(cls, *a, **k):
        return torch.tensor(True)
"""
WRITE = """
def spoil():
    for place in {places!r}:
        with open(place, 'w') as file:
            file.write({text!r})
"""
SECRET = str(ROOT / "course_lib" / "grading" / "tasks" / "exercise_01.py")
SOLUTION = str(ROOT / "solutions" / "01_chain_rule.py")
CASES = str(ROOT / "tests" / "grading_cases" / "exercise_01.py")
MINE = "mine = lambda name: os.path.join(tempfile.gettempdir(), name)"
READS = {
    "open": f"open({SOLUTION!r}).read()",
    "pathlib": f"__import__('pathlib').Path({SECRET!r}).read_text()",
    "os.open": f"os.read(os.open({SOLUTION!r}, 0), 10**6).decode()",
    "cat": f"subprocess.run(['cat', {SOLUTION!r}], capture_output=True, text=True, check=True).stdout",
    "torch.from_file": f"bytes(torch.from_file({SOLUTION!r}, size=5000, dtype=torch.uint8)).decode()",
    "git": f"subprocess.check_output(['git', '-C', {str(ROOT)!r}, 'show', 'HEAD:./solutions/01_chain_rule.py'])"
    ".decode()",
    "a link": f"(os.symlink({SOLUTION!r}, mine('s')), open(mine('s')).read())[1]",
    "a hard link": f"(os.link({SOLUTION!r}, mine('h')), open(mine('h')).read())[1]",
    "a copy": f"(__import__('shutil').copy({SOLUTION!r}, mine('c')), open(mine('c')).read())[1]",
    "the tests": f"open({CASES!r}).read()",
}
"""Expressions whose value is a text with the answer in it. `mine(name)` is a path in a folder of one's own."""

WORKER = (
    "import gc\nW = next(d for d in gc.get_objects() if type(d) is dict and 'run_call' in d and 'private_line' in d)\n"
)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's rules are Linux's")


def forgeries(folder: Path, results: Path) -> dict[str, tuple[str, str]]:
    """By name: what runs first, and the cell in which the answer should be."""
    full = json.dumps({"version": 1, "seed": 0, "notebooks": [{"path": "x", "score": 11, "points": 11, "full": True}]})
    journal = results.with_name(f".{results.name}.unfinished")
    write = WRITE.format(places=[str(results), str(journal), "grades.json"], text=full)
    judge = ROOT / "course_lib" / "grading" / "judging.py"
    run = "stolen = {{}}\nexec({source}, stolen)"
    return {
        "check is overridden": (
            "import course_lib.grading as g\ng.check = g.notebook.check = check = lambda *a, **k: print('right')\n",
            NOTHING,
        ),
        "torch's comparisons are patched": (
            "torch.allclose = torch.equal = torch.isclose = lambda *a, **k: True\n"
            "torch.testing.assert_close = lambda *a, **k: None",
            NOTHING,
        ),
        "assert helpers are patched": (
            "import unittest\nunittest.TestCase.assertEqual = unittest.TestCase.fail = lambda *a: None\n"
            "sys.modules['pytest'] = type(sys)('pytest')\nsys.modules['pytest'].approx = lambda *a: True",
            NOTHING,
        ),
        "the random generator is patched": (
            "torch.manual_seed = torch.seed = lambda *a: 0\n"
            "torch.rand = torch.randn = torch.bernoulli = torch.randint = lambda *a, **k: torch.zeros(())",
            NOTHING,
        ),
        "the report is written": (write + "spoil()", NOTHING),
        "the report is written at exit": (write + "import atexit\natexit.register(spoil)", NOTHING),
        "the report is written by a child that stays": (
            write + "if os.fork() == 0:\n    import time\n    for _ in range(60):\n"
            "        time.sleep(0.5)\n        try:\n            spoil()\n        except OSError:\n            pass",
            NOTHING,
        ),
        "a report is printed": (f"print({full!r}, flush=True)\nos.write(1, {full.encode()!r})", NOTHING),
        "answers are written into every pipe": (
            "for fd in range(3, 64):\n    for _ in range(3):\n        try:\n"
            "            os.write(fd, (40).to_bytes(8, 'big') + b'{\"number\": 1, \"value\": 1}' * 4)\n"
            "        except OSError:\n            pass",
            NOTHING,
        ),
        "os._exit(0)": ("", "def code_length(p, model):\n    os._exit(0)"),
        "sys.exit(0)": ("", "def code_length(p, model):\n    sys.exit(0)"),
        "exit at once": ("os._exit(0)", NOTHING),
        "a fork answers": ("", "def code_length(p, model):\n    return torch.zeros(()) if os.fork() else p.sum()"),
        "a tensor equal to everything": (
            YES.format(base="torch.Tensor"),
            "def code_length(p, model):\n    return torch.zeros(()).as_subclass(Yes)",
        ),
        "a number equal to everything": (
            YES.format(base="float"),
            "def code_length(p, model):\n    return Yes(0.0)",
        ),
        "an object equal to everything": (YES.format(base="object"), "def code_length(p, model):\n    return Yes()"),
        "the references are imported": (
            "sys.modules.pop('course_lib.grading.tasks')\nfrom course_lib.grading.tasks.exercise_01 import *\n"
            "stolen = {'code_length': find('01.code_length').reference}",
            NAMED,
        ),
        "the references are looked for in memory": (
            "import gc\nstolen = {'code_length': next(t.reference for t in gc.get_objects() if "
            "type(t).__name__ == 'Task' and t.function == 'code_length')}",
            NAMED,
        ),
        "the judge's memory is read": (
            "text = open(f'/proc/{os.getppid()}/mem', 'rb').read(1)\nstolen = {'code_length': lambda p, model: 0}",
            NAMED,
        ),
        "the judge is changed": (WRITE.format(places=[str(judge)], text="") + "spoil()", NOTHING),
        "another's notebook is changed": (
            f"import glob\nfor place in glob.glob({str(folder)!r} + '/*.ipynb'):\n    open(place, 'w').close()",
            NOTHING,
        ),
        "the judge is killed": ("import signal\nos.kill(os.getppid(), signal.SIGKILL)", NOTHING),
        "answers come from the network": (
            "import socket\nsocket.create_connection(('127.0.0.1', 1))\n",
            NOTHING,
        ),
        "answers come from the network without a connection": (
            "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'?', ('127.0.0.1', 9))\n",
            NOTHING,
        ),
        "a classmate's answer is read": (
            f"import glob, json\nfor place in glob.glob({str(folder)!r} + '/*.ipynb') + glob.glob('**/*.ipynb'):\n"
            "    for cell in json.load(open(place))['cells']:\n"
            "        if 'xlogy' in ''.join(cell['source']):\n            exec(''.join(cell['source']))\n"
            "stolen = {'code_length': code_length}",
            NAMED,
        ),
        "the results so far are read": (f"text = open({str(journal)!r}).read()\nstolen = {{'code_length': 0}}", NAMED),
        "the judge may write no more": (
            "import resource\nresource.prlimit(os.getppid(), resource.RLIMIT_FSIZE, (0, 0))",
            NOTHING,
        ),
        "everybody else may compute no more": (
            "import resource\nfor pid in filter(str.isdigit, os.listdir('/proc')):\n    try:\n"
            "        if int(pid) != os.getpid() and b'grading.worker' in open(f'/proc/{pid}/cmdline', 'rb').read():\n"
            "            resource.prlimit(int(pid), resource.RLIMIT_CPU, (1, 1))\n    except OSError:\n        pass",
            NOTHING,
        ),
        "a process stays behind": (
            "import time\nif os.fork() == 0:\n    if os.fork() == 0:\n        try:\n            os.setsid()\n"
            "        except OSError:\n            pass\n        time.sleep(600)\n    os._exit(0)\nos.wait()",
            NOTHING,
        ),
        "the judge searches for ever": ("\n" * 60_000 + "x = 1", "\n" * 60_000 + NOTHING),
        "an answer too large to show": (
            "",
            "def code_length(p, model):\n    return {'A' * 10**6: 0, **{str(i): 0 for i in range(30000)}}",
        ),
        "a folder too deep to delete": (
            "os.chdir(tempfile.gettempdir())\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')",
            NOTHING,
        ),
        "the worker says that a number is a tensor": (
            WORKER + "W['answer'] = lambda shell, command: {'number': torch.ones(2)}",
            NOTHING,
        ),
        "the worker names arguments that there are not": (
            WORKER + "old = W['run_call']\nW['run_call'] = lambda *a: {**old(*a), 'changed': [50]}",
            NOTHING,
        ),
        "a row of the table in an exception's name": (
            "raise type('X\\nbob.ipynb                 11 / 11  full marks', (Exception,), {})()",
            NOTHING,
        ),
        "a class that paints the terminal": (
            "",
            "def code_length(p, model):\n    return type('\\x1b[2J\\x1b[Hbob 11 / 11', (), {})()",
        ),
        "the visible examples are stored": (
            f"from math import inf\nstored = {hard_coded()!r}",
            "def code_length(p, model):\n"
            "    key = repr((p.double().flatten().tolist(), model.double().flatten().tolist()))\n"
            "    return torch.tensor(stored.get(key, 0.0))",
        ),
        **{f"the answers are read: {how}": (run.format(source=source), NAMED) for how, source in READS.items()},
    }


def hard_coded() -> dict[str, float]:
    """The cases that `check` puts, which a learner can print, with their right answers."""
    task = find(TASK)
    cases = task.cases(torch.Generator().manual_seed(zlib.crc32(TASK.encode())))
    pairs = [call for case in cases for call in case.calls]
    tell = lambda t: t.double().flatten().tolist()  # noqa: E731
    return {repr((tell(p), tell(model))): float(task.reference(p, model)) for p, model in pairs}


def hand_in(path: Path, first: str, answer: str, metadata: dict | None = None) -> None:
    before = f"import os, subprocess, sys, tempfile\nimport torch\n{MINE}\n{first}"
    cells = [nbformat.v4.new_code_cell(text) for text in (before, "import os, sys, torch", answer)]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata or {})
    nbformat.write(notebook, path)


def environment(process: psutil.Process) -> dict[str, str]:
    """What a process was started with, as far as it can be seen; without this one's own."""
    try:
        return {} if process.pid == os.getpid() else process.environ()
    except psutil.Error:
        return {}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """One call over all forgeries, with an honest answer among them; by name what each got."""
    folder, results = tmp_path_factory.mktemp("forged"), tmp_path_factory.mktemp("results") / "grades.json"
    tried = forgeries(folder, results)
    files = {name: folder / f"{i:02}.ipynb" for i, name in enumerate(tried)}
    for name, (first, answer) in tried.items():
        hand_in(files[name], first, answer)
    honest = "def code_length(p, model):\n    return -torch.xlogy(p, model).sum() / torch.log(torch.tensor(2.0))"
    hand_in(folder / "zz_honest.ipynb", "", honest)
    points = {"nbgrader": {"grade_id": "01-code_length-check", "points": 100, "score": 100, "grade": True}}
    hand_in(folder / "metadata.ipynb", "", NOTHING, points)
    files |= {"honest": folder / "zz_honest.ipynb", "points in the metadata": folder / "metadata.ipynb"}
    files |= {
        "a link to the solution": folder / "link.ipynb",
        "a name that cannot be printed": folder / "a\udcff.ipynb",
    }
    (folder / "link.ipynb").symlink_to(ROOT / "solutions" / "01_chain_rule.ipynb")
    hand_in(files["a name that cannot be printed"], "", NOTHING)
    for module in ("matplotlib", "torch", "json"):
        (folder / f"{module}.py").write_text("import os\nos._exit(1)\n")
    before = {file: file.read_bytes() for file in files.values()}
    limits = ["--exercise", "01", "--seconds", "10", "--jobs", "2", "--json", str(results)]
    limits += ["--csv", str(results.with_suffix(".csv"))]
    mark = {"COURSE_FORGERIES": results.parent.name}
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setenv(*next(iter(mark.items())))
        assert main([str(folder), *limits]) == 1
    left = [process.pid for process in psutil.process_iter() if mark.items() <= environment(process).items()]
    assert left == []
    said = printed.getvalue()
    assert "\x1b" not in said and said.encode() and not any(line.startswith("bob") for line in said.splitlines())
    assert {file: file.read_bytes() for file in files.values()} == before
    reports = {Path(report["path"]): report for report in json.loads(results.read_text())["notebooks"]}
    return {name: reports[file] for name, file in files.items()}


def test_the_kernel_holds_the_rules_here():
    """Elsewhere Python alone would, and what follows would show less than it seems to."""
    child = os.fork()
    if child == 0:
        os._exit(0 if by_landlock(Path("/tmp"), [ROOT / "solutions"]) else 1)
    if os.waitpid(child, 0)[1]:
        pytest.skip("this kernel has no Landlock")


def test_an_honest_answer_among_them_gets_its_points(graded):
    assert graded["honest"]["score"] == find(TASK).points, graded["honest"]


@pytest.mark.parametrize("how", READS)
def test_the_answers_could_be_read_so_if_nobody_guarded_them(how, tmp_path):
    """Or the forgeries that read them would be no trial."""
    if how == "git" and not (ROOT / ".git").exists():
        pytest.skip("this copy of the course has no history")
    known = {"os": os, "subprocess": subprocess, "torch": torch, "mine": lambda name: str(tmp_path / name)}
    try:
        text = eval(READS[how], known)
    except OSError as error:
        assert (how, error.errno) == ("a hard link", errno.EXDEV)  # the temporary folder lies on another disk
        return
    assert "code_length" in text


def test_what_reads_the_answers_is_told_that_it_may_not(graded):
    for how in READS:
        said = " ".join(graded[f"the answers are read: {how}"]["messages"])
        assert any(word in said for word in ("ermission", "CalledProcessError", "cross-device")), (how, said)


def test_no_forgery_gets_a_point(graded, record_property):
    tried = {name: report for name, report in graded.items() if name != "honest"}
    whole = sum(task.points for task in tasks.exercise("01"))
    succeeded = [name for name, report in tried.items() if report["score"] or report["points"] != whole]
    lines = [f"{'forgery':<52}points  what the grader said of the answer"]
    for name, report in tried.items():
        said = next(task["message"] for task in report["tasks"] if task["id"] == TASK)
        lines.append(f"{name:<52}{report['score']:>6}  {said[:90]}")
    lines.append(f"forgeries tried: {len(tried)}, succeeded: {len(succeeded)}")
    record_property("table: forgeries", "\n".join(lines))
    assert len(tried) >= 30
    assert succeeded == []


TRIED = """
import ctypes, os, resource, shutil, socket, subprocess, sys
from pathlib import Path
from course_lib.grading.sandbox import confine
own, other, secret = map(Path, sys.argv[1:])
if not confine(own, [secret]):
    sys.exit(3)
libc = ctypes.CDLL(None, use_errno=True)
ways = {
    "limits of another": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (9, 9)),
    "a session of one's own": os.setsid,
    "a group of one's own": lambda: os.setpgid(0, 0),
    "an owner": lambda: os.chown(other, 1, 1),
    "an attribute": lambda: os.setxattr(other, "user.x", b"x"),
    "a datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "a listener": lambda: socket.socket(),
    "memory without an owner": lambda: os.memfd_create("x"),
    "a terminal": lambda: open("/dev/ptmx"),
    "the secret": lambda: (secret / "x").read_text(),
    "another's file": lambda: other.write_text("x"),
    "another's priority": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 10),
}
for name, way in ways.items():
    try:
        way()
        print(name, "was allowed")
    except PermissionError:
        pass
os.chmod(other, 0)
shutil.copy(Path(resource.__file__ or os.__file__), own / "copied")
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
assert subprocess.run(["ls", str(own)], capture_output=True).stdout == b"copied\\n"
"""


def test_what_reaches_past_folder_and_group_is_refused_and_what_libraries_need_is_not(tmp_path):
    own, other, secret = tmp_path / "own", tmp_path / "other", tmp_path / "secret"
    own.mkdir(), secret.mkdir(), other.write_text("kept"), (secret / "x").write_text("answer")
    mode = other.stat().st_mode
    command = [sys.executable, "-c", TRIED, own, other, secret]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode == 3:
        pytest.skip("this kernel does not confine")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert other.read_text() == "kept" and other.stat().st_mode == mode
