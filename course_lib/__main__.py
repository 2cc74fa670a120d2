"""The course's verbs: python course.py VERB ARGS..., or python -m course_lib VERB ARGS... in a complete environment.

course.py reads VERBS before any package is installed, so what a verb needs is imported when it runs.
"""

import argparse
import errno
import importlib
import os
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIRST_PORT = 8888
START_PAGE = "/lab/tree/chapters/00_start_here.ipynb"
CPU_NOTE = "--cpu makes the environment without NVIDIA's libraries."


def main(argv: list[str]) -> int:
    """Run one verb and return its exit code; without a verb list them, and do so too for one that does not exist."""
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    if argv[0] not in VERBS:
        print(f"There is no verb {argv[0]!r}.\n\n{usage()}", file=sys.stderr)
        return 2
    return VERBS[argv[0]][1](argv[1:])


def usage() -> str:
    """Return the list of verbs, a line each."""
    lines = [f"  {verb:8} {purpose}" for verb, (purpose, _) in VERBS.items()]
    return "usage: python course.py [--cpu] VERB [ARGS...]\n\n" + "\n".join(lines) + "\n\n" + CPU_NOTE


def elsewhere(module: str):
    """Return a verb that `module.main(argv) -> int` carries out, imported when the verb is used."""
    return lambda argv: importlib.import_module(module).main(argv)


def lab(argv: list[str]) -> int:
    """Open JupyterLab on chapter 00 with the checkout as its root; what the parser does not know goes to JupyterLab."""
    parser = argparse.ArgumentParser(prog="course.py lab", description="Open JupyterLab on chapter 00.")
    parser.add_argument("--port", type=int, help=f"the port to serve on (else the first free one from {FIRST_PORT})")
    parser.add_argument("--no-browser", action="store_true", help="print the address and open no browser")
    options, others = parser.parse_known_args(argv)
    port = first_free_port(options.port or FIRST_PORT)
    if options.port not in (None, port):
        print(taken_message(options.port, port), file=sys.stderr)
        return 1
    print(f"JupyterLab starts on port {port}. Press Ctrl-C twice here to end it.", flush=True)
    return run_jupyterlab(port, (["--no-browser"] if options.no_browser else []) + others)


def run_jupyterlab(port: int, options: list[str]) -> int:
    """Serve the checkout on `port` until the server is stopped; return its exit code."""
    from jupyterlab.labapp import main as jupyterlab

    settings = [f"--ServerApp.root_dir={ROOT}", f"--LabApp.default_url={START_PAGE}", "--ServerApp.port_retries=0"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        settings.append("--allow-root")
    os.chdir(ROOT)
    return jupyterlab([f"--port={port}", *settings, *options]) or 0


def first_free_port(first: int) -> int:
    """Return the first port from `first` on that nobody listens on; raises SystemExit where there is none."""
    for port in range(first, min(first + 100, 65536)):
        if is_free(port):
            return port
    raise SystemExit(f"There is no free port from {first} on. Choose another with `python course.py lab --port N`.")


def is_free(port: int) -> bool:
    """Tell whether this user can listen on `port` of the local machine, over each kind of address it has."""
    addresses = {entry[0::4] for entry in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM)}
    return all(can_listen(family, address) for family, address in addresses)


def can_listen(family: int, address: tuple) -> bool:
    """Tell whether nobody holds `address`; one of a kind that this machine does not have is no hindrance."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            if os.name != "nt":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        return error.errno not in (errno.EADDRINUSE, errno.EACCES)
    return True


def taken_message(asked: int, free: int) -> str:
    """Return what to do about a port that is in use."""
    return f"Port {asked} is taken or reserved. Port {free} is free: python course.py lab --port {free}"


def test(argv: list[str]) -> int:
    """Run pytest on the tests and on every notebook, in parallel by file; `argv` goes on to pytest."""
    # One thread a process: the workers share the cores, and sums come out the same on every machine.
    # What the tests solve, no learner has solved.
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", COURSE_PROGRESS="off")
    os.chdir(ROOT)
    import pytest

    workers = ["-n", str(worker_count()), "--dist", "loadfile"]
    notebooks = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", "120"]
    return int(pytest.main([*workers, *notebooks, "--durations=10", "--durations-min=0", *argv]))


def worker_count() -> int:
    """Return the number of test processes: one a core, at least 2, at most 8, since each holds a PyTorch in memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(cores, 2), 8)


VERBS = {
    "lab": ("open JupyterLab on chapter 00   [--port N] [--no-browser]", lab),
    "test": ("run every test and every notebook   [pytest's arguments, such as -k NAME or a path]", test),
    "grade": ("grade exercise notebooks   PATH...", elsewhere("course_lib.grading.cli")),
    "progress": ("show which tasks are solved; kept on this computer alone", elsewhere("course_lib.grading.progress")),
    "update": ("take over the newest version; what you changed is kept", elsewhere("course_lib.notebooks.update")),
    "refresh": ("run chapters and store their outputs", elsewhere("course_lib.notebooks.refresh")),
    "train": ("train the models that the chapters show", elsewhere("course_lib.zoo.train")),
    "measure": ("run the experiments behind the ledger again", elsewhere("course_lib.experiments.run")),
    "bench": ("compare speed and memory, side by side   [NAME...]", elsewhere("course_lib.benchmarks.run")),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
