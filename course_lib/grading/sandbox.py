"""What a learner's process may not touch: the references, the solutions, the tests, and every file but its own.

On Linux the kernel sees to it (Landlock, from 5.13 on, and seccomp), for everything the process starts as well: also
that it reaches no network, no terminal, and no other process. Elsewhere an audit hook of Python's does, which cannot be
taken off again but sees only what goes through Python; what could go past it (other programs, foreign functions) is
refused.
"""

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from course_lib.grading.syscalls import refuse

ROOT = Path(__file__).resolve().parents[2]
SECRET = tuple(ROOT / name for name in ("course_lib/grading/tasks", "solutions", "tests", ".git"))
DEVICES = Path("/dev")
HARMLESS_DEVICES = tuple(DEVICES / name for name in ("null", "zero", "urandom", "random"))

READ_FILE, READS = 1 << 2, 1 << 2
WRITES_BY_ABI = {1: sum(1 << bit for bit in (1, *range(4, 13))), 2: 1 << 13, 3: 1 << 14}
BIND, CONNECT, ABSTRACT_SOCKETS, SIGNALS = 1, 2, 1, 2
CREATE, ADD, RESTRICT, NO_NEW_PRIVILEGES = 444, 445, 446, 38
WAYS_ROUND = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.startfile",
    "ctypes.dlopen",
    "socket.connect",
)


def confine(own: Path, secret: Sequence[Path] = SECRET) -> bool:
    """From now on this process reads nothing of `secret` and writes nowhere but in `own`; True if the kernel holds it.

    For the calling thread and all that it starts: to be called before there are others. It cannot be undone.
    """
    own, secret = own.resolve(), [path.resolve() for path in secret]
    held = by_landlock(own, secret) and refuse()
    sys.addaudithook(guard(own, secret, strict=not held))
    return held


def guard(own: Path, secret: Sequence[Path], strict: bool):
    """The audit hook: PermissionError for a secret path, for a write outside `own`, and if strict for a way round."""

    def hook(event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
            path, writes = resolved(arguments[0]), changes(arguments[1], arguments[2])
            if within(path, secret):
                raise PermissionError(f"{path} is not for answers to read")
            if writes and not within(path, [own, os.devnull]):
                raise PermissionError(f"{path}: a graded notebook writes only to its temporary folder")
        if strict and event.startswith(WAYS_ROUND):
            raise PermissionError("a graded notebook starts no other programs and opens no connections")

    return hook


def resolved(path: str | bytes | os.PathLike) -> str:
    return os.path.realpath(os.fsdecode(path))


def changes(mode: object, flags: object) -> bool:
    """Whether a file that is opened so may be written to."""
    by_flags = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    return bool(by_flags) or isinstance(mode, str) and any(letter in mode for letter in "wax+")


def within(path: str, folders: Sequence[str | Path]) -> bool:
    return any(path == str(folder) or path.startswith(f"{folder}{os.sep}") for folder in folders)


# Landlock: files below an allowed path may be read, nothing else may


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def by_landlock(own: Path, secret: Sequence[Path]) -> bool:
    """Asks the kernel to hold the rules; False where it cannot."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(CREATE, None, ctypes.c_size_t(0), 1)
    if abi < 1:
        return False
    writes = sum(bits for since, bits in WRITES_BY_ABI.items() if abi >= since)
    rules = _Ruleset(READS | writes, BIND | CONNECT, SIGNALS | ABSTRACT_SOCKETS)
    known = ctypes.c_size_t(24 if abi >= 6 else 16 if abi >= 4 else 8)
    ruleset = libc.syscall(CREATE, ctypes.byref(rules), known, 0)
    if ruleset < 0:
        return False
    try:
        for path in beside(Path("/"), [*secret, DEVICES]):
            _allow(libc, ruleset, path, READS)
        for path in HARMLESS_DEVICES:
            _allow(libc, ruleset, path, READS)
        _allow(libc, ruleset, own, READS | writes)
        _allow(libc, ruleset, Path(os.devnull), READS | 1 << 1)
        libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        return libc.syscall(RESTRICT, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def beside(folder: Path, secret: Sequence[Path]) -> Iterator[Path]:
    """The fewest paths below a folder that cover everything but `secret`; of a link, what it leads to counts."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.is_symlink() or path in secret:
            continue
        if any(path in hidden.parents for hidden in secret):
            yield from beside(path, secret)
        else:
            yield path


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, access: int) -> None:
    """Adds a rule; of a file that is no folder, only what can be done to a file."""
    try:
        parent = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        allowed = access if path.is_dir() else access & (READ_FILE | 1 << 1 | 1 << 14)
        libc.syscall(ADD, ruleset, 1, ctypes.byref(_Beneath(allowed, parent)), 0)
    finally:
        os.close(parent)
