"""Makes the course's environment, then hands the verb on: python course.py [--cpu] VERB ARGS...

Needs the standard library only. It must still parse on Python 3.6, to be able to say that a newer Python is needed.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

OLDEST_PYTHON = (3, 11)
# The environment takes 1.7 GB; pip holds what it has downloaded beside it while it unpacks.
NEEDED_GIGABYTES = 3
NVIDIA_NOTE = " (on Linux 9 GB with NVIDIA's libraries, which `--cpu` leaves out)"
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
OLD = ROOT / ".venv.old"
LOCK = ROOT / ".venv.lock"
LOG = ROOT / ".venv.log"
STAMP = ".course-stamp.json"

NETWORK_SIGNS = re.compile(
    r"NewConnectionError|Failed to establish a new connection|name resolution|getaddrinfo failed|nodename nor servname"
    r"|Network is unreachable|ConnectTimeoutError|ReadTimeoutError|Read timed out|ProxyError|Connection refused"
    r"|Connection aborted|Connection reset|RemoteDisconnected|SSLError"
)
DISK_SIGNS = re.compile(r"No space left on device|Errno 28\b|WinError 112\b|Disk quota exceeded|Errno 122\b")
MISSING_SIGN = re.compile(r"No matching distribution found for (\S+)")
# pip looks for it first, and it runs on every machine: an index without it is none.
BUILD_TOOL = "hatchling"


class CourseError(Exception):
    """What went wrong and what to do, in one or two sentences for the learner."""


class Offline(CourseError):
    """The package index could not be reached."""


def main(words):
    """Run one command line and return its exit code."""
    try:
        require_python(sys.version_info)
        words, cpu = take_cpu_option(words)
        from course_lib.__main__ import VERBS
        from course_lib.__main__ import main as dispatch

        if not words or words[0] not in VERBS:
            return dispatch(words)
        return hand_over(choose_environment(cpu), words)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Nothing half-made is left behind.", file=sys.stderr)
        return 130


def require_python(version):
    """Raise CourseError if `version` is older than the course can run on."""
    if tuple(version[:2]) < OLDEST_PYTHON:
        raise CourseError(
            "The course needs Python {}.{} or newer, you have {}.{}.{}. "
            "Install a newer one from https://www.python.org/downloads/ and start course.py with it.".format(
                *(OLDEST_PYTHON + tuple(version[:3]))
            )
        )


def take_cpu_option(words):
    """Return the words without `--cpu`, and whether it was there."""
    return [word for word in words if word != "--cpu"], "--cpu" in words


def choose_environment(cpu):
    """Return the Python to run with: the active environment's if that fits, else that of `.venv`, made if needed."""
    if environment_is_active():
        difference = first_difference(project_requirements(), pinned_versions())
        if difference is None:
            return Path(sys.executable)
        say("The active environment has {}, so .venv is used instead.".format(difference))
    prepare_environment(cpu)
    return python_of(ENVIRONMENT)


def hand_over(python, words):
    """Run `python -m course_lib WORDS`, in place of this process where the system can, and return its exit code."""
    command = [str(python), "-m", "course_lib"] + list(words)
    environ = dict(os.environ, PYTHONPATH=search_path(python))
    if os.name != "nt":
        sys.stdout.flush()
        os.execve(command[0], command, environ)
    with ignored_signals():
        return subprocess.call(command, env=environ)


def search_path(python):
    """Return a PYTHONPATH that leads to the checkout; whatever stood there before could shadow .venv's packages."""
    if python_of(ENVIRONMENT) == python:
        return str(ROOT)
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


# The active environment.


def environment_is_active():
    """Tell whether this Python belongs to a virtual or a conda environment."""
    return sys.prefix != sys.base_prefix or Path(sys.prefix, "conda-meta").is_dir()


def project_requirements():
    """Return the requirement strings of pyproject.toml."""
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]


def pinned_versions():
    """Return {canonical name: version} from constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonical(name): version for name, version in pins}


def canonical(name):
    """Return a distribution's name in the one spelling that compares equal (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def first_difference(requirements, pinned):
    """Return the first package that is missing or differs from its pin, in words, or None. `+cpu` and the like pass."""
    try:
        for name, version in installed_closure(requirements):
            wanted = pinned.get(name)
            if version is None:
                return "no {}".format(name)
            if wanted is not None and version.split("+")[0] != wanted:
                return "{} {} where the course needs {}".format(name, version, wanted)
    except ImportError:
        return "no packaging"
    return None


def installed_closure(requirements):
    """Yield (name, installed version or None) for the requirements and, in turn, all that they require here."""
    from packaging.requirements import Requirement

    waiting, seen = [(Requirement(text), "") for text in requirements], set()
    while waiting:
        requirement, extra = waiting.pop(0)
        name = canonical(requirement.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        version, needed = installed(name)
        if extra == "":
            yield name, version
        for child in map(Requirement, needed):
            if child.marker is None or child.marker.evaluate({"extra": extra}):
                waiting += [(child, kind) for kind in {""} | child.extras]


def installed(name):
    """Return (version, requirement strings) of an installed distribution, (None, []) if there is none."""
    from importlib import metadata

    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None, []
    return found.version, found.requires or []


# The environment of the checkout. Complete means stamped: the stamp is written last.


def prepare_environment(cpu):
    """Make `.venv` complete and current; where that fails for lack of network, an older complete one is used."""
    if is_current(cpu) and not OLD.exists():
        return
    with locked():
        recover()
        if is_current(cpu):
            return
        try:
            rebuild(cpu or read_stamp().get("cpu", False))
        except Offline:
            if not works(ENVIRONMENT):
                raise
            say("There is no network to bring .venv up to date, so the older one is used; this version may need more.")


def is_current(cpu):
    """Tell whether `.venv` was completed from the present files, and with CPU wheels if these are asked for."""
    stamp = read_stamp()
    return stamp.get("key") == stamp_key() and (stamp["cpu"] or not cpu) and python_of(ENVIRONMENT).exists()


def stamp_key():
    """Return a hash of all that `.venv` is made from. Its place is part of it: an environment cannot be moved."""
    made_from = "{}.{} {}".format(sys.version_info[0], sys.version_info[1], ENVIRONMENT).encode()
    for name in ("pyproject.toml", "constraints.txt"):
        made_from += b"\0" + (ROOT / name).read_bytes().replace(b"\r\n", b"\n")
    return hashlib.sha256(made_from).hexdigest()


def read_stamp():
    """Return the stamp of `.venv`, {} if it was never completed."""
    try:
        return json.loads((ENVIRONMENT / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def write_stamp(cpu):
    """Declare `.venv` complete."""
    text = json.dumps({"key": stamp_key(), "cpu": cpu})
    fresh = ENVIRONMENT / (STAMP + ".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(ENVIRONMENT / STAMP)


def python_of(environment):
    """Return the path of an environment's Python."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def works(environment):
    """Tell whether an environment's Python starts and finds the course's packages."""
    command = [str(python_of(environment)), "-c", "import importlib.metadata as m; m.version('torch')"]
    try:
        return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def rebuild(cpu):
    """Make `.venv` anew. On failure or Ctrl-C the former one is back in its place."""
    check_before_building()
    started = time.time()
    say("Making the environment in .venv. This takes a few minutes, once.")
    try:
        with stop_signals_interrupt():
            if ENVIRONMENT.exists():
                rename(ENVIRONMENT, OLD)
            for command in build_commands(cpu):
                build_step(command)
            write_stamp(cpu)
    finally:
        with ignored_signals():
            recover()
    say("The environment is ready after {:.0f} s.".format(time.time() - started))


def recover():
    """Bring `.venv` to its last complete state, from wherever a build was interrupted; without one, remove the rest."""
    if OLD.exists() and not read_stamp():
        remove(ENVIRONMENT)
        rename(OLD, ENVIRONMENT)
    if ENVIRONMENT.exists() and not read_stamp():
        remove(ENVIRONMENT)
    shutil.rmtree(str(OLD), ignore_errors=True)


def check_before_building():
    """Raise CourseError if the venv module or the space on the disk is missing."""
    from importlib.util import find_spec

    if find_spec("venv") is None or find_spec("ensurepip") is None:
        raise CourseError(
            "This Python cannot make environments: its venv or ensurepip module is missing. "
            "On Debian or Ubuntu, run `sudo apt install python3-venv` and try again."
        )
    free = shutil.disk_usage(str(ROOT)).free / 1e9
    if free < NEEDED_GIGABYTES:
        raise disk_full("only {:.1f} GB are free".format(free))


def disk_full(detail):
    """Return the error for too little space."""
    return CourseError(
        "The disk is full: {}, and making the environment takes {} GB{}. "
        "Free some space and run the same command again.".format(detail, NEEDED_GIGABYTES, NVIDIA_NOTE)
    )


def build_commands(cpu):
    """Return the commands that make `.venv`; the interpreter is the base one, as `.venv`'s own may be moved aside."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    pip = [str(python_of(ENVIRONMENT)), "-m", "pip", "install", "--no-input", "--progress-bar", "off"]
    pip += ["--disable-pip-version-check", "-c", "constraints.txt", "-e", "."]
    return [[base, "-m", "venv", str(ENVIRONMENT)], pip + (["--extra-index-url", CPU_WHEELS] if cpu else [])]


def build_step(command):
    """Run one build command quietly; raise what `explain` makes of its output if it fails."""
    status, lines = run_quietly(command)
    if status != 0:
        with contextlib.suppress(OSError):
            LOG.write_text("\n".join(lines) + "\n", encoding="utf-8")
        raise explain("\n".join(lines))


def run_quietly(command):
    """Run a command with one line of progress; return (exit code, lines of output)."""
    lines = []
    with process_group(command) as process:
        for line in process.stdout:
            lines.append(line.rstrip())
            show_progress(lines[-1])
        status = process.wait()
    show_progress("")
    return status, lines


@contextlib.contextmanager
def process_group(command):
    """Start a command in a process group of its own, so that all of it can be stopped; stop it when interrupted."""
    # The lock goes to the children too: after a kill -9 the next run waits until they have ended.
    group = {"creationflags": 0x200} if os.name == "nt" else {"start_new_session": True, "pass_fds": LOCK_FILES}
    process = subprocess.Popen(
        command,
        cwd=str(ROOT),
        env=build_environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        **group,
    )
    try:
        yield process
    except BaseException:
        with ignored_signals():
            stop_group(process)
        raise


def build_environ():
    """Return the variables pip runs with; the learner's own module paths must not count as installed."""
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return dict(environ, PIP_USER="0", PYTHONIOENCODING="utf-8")


def stop_group(process):
    """End a process and all its children, kindly first."""
    if os.name == "nt":
        subprocess.call(["taskkill", "/T", "/F", "/PID", str(process.pid)], stdout=subprocess.DEVNULL)
    else:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(timeout=3)
    process.wait()


def explain(output):
    """Return the error that pip's output speaks of, with what to do about it."""
    if DISK_SIGNS.search(output):
        return disk_full("pip could not write its files")
    missing = MISSING_SIGN.search(output)
    if NETWORK_SIGNS.search(output) or (missing and missing.group(1).startswith(BUILD_TOOL)):
        return Offline(
            "There is no network, or pip's package index does not answer, and the course's packages are not installed "
            "yet. Connect once and run the same command again; later it works offline. {}".format(log_note())
        )
    if missing:
        return CourseError(
            "pip found no {} for this machine and its Python {}.{}; Python {}.{} is the one tested. {}".format(
                *((missing.group(1),) + sys.version_info[:2] + OLDEST_PYTHON + (log_note(),))
            )
        )
    return CourseError("The environment could not be made. {}".format(log_note()))


def log_note():
    """Return where to read the full output."""
    return "The full output is in {}.".format(LOG)


# Files, signals and the screen.

LOCK_FILES = []


@contextlib.contextmanager
def locked():
    """Let one course.py at a time change `.venv`; raise CourseError where the checkout cannot be written."""
    try:
        file = open(str(LOCK), "w")
    except OSError as error:
        raise CourseError(
            "Cannot write in {} ({}). Copy the course to a folder of your own and run it there, "
            "or activate an environment that satisfies constraints.txt.".format(ROOT, error.strerror)
        )
    with file:
        if not try_lock(file):
            say("Another course.py is at work on .venv; waiting for it to finish.")
            while not try_lock(file):
                time.sleep(0.5)
        LOCK_FILES[:] = [file.fileno()]
        try:
            yield
        finally:
            LOCK_FILES[:] = []


def try_lock(file):
    """Lock a file that is open and return whether it is ours now; where files cannot be locked, it always is."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def remove(path):
    """Remove a folder, or a link to one, if it is there."""
    try:
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            shutil.rmtree(str(path))
    except OSError as error:
        raise in_use(path, error)


def rename(path, target):
    """Rename a folder."""
    try:
        path.rename(target)
    except OSError as error:
        raise in_use(path, error)


def in_use(path, error):
    """Return the error for a folder that the system will not let go."""
    return CourseError(
        "Cannot move or remove {} ({}). Close JupyterLab and what else uses it, deactivate it, "
        "and run the same command again.".format(path, error.strerror)
    )


@contextlib.contextmanager
def handling(action, names):
    """Handle the named signals, those that the system knows, by `action` inside the block."""
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    former = {number: signal.signal(number, action) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def ignored_signals():
    """Return a block in which a second Ctrl-C does not disturb the clearing up after the first."""
    return handling(signal.SIG_IGN, ["SIGINT", "SIGTERM", "SIGHUP"])


def stop_signals_interrupt():
    """Return a block in which an end from outside, or a closed terminal, is cleared up after just as Ctrl-C is."""
    return handling(signal.default_int_handler, ["SIGINT", "SIGTERM", "SIGHUP"])


def show_progress(line):
    """Show a line of pip's output on the one progress line, if there is a screen."""
    if sys.stdout.isatty():
        width = min(shutil.get_terminal_size().columns, 100) - 1
        print("\r" + line.strip()[:width].ljust(width), end="\r", flush=True)


def say(sentence):
    """Print a sentence at once."""
    print(sentence, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
