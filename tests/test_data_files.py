"""Data files: where they are found, how they are downloaded, and what each fault says.

A tiny data set of this file's own stands in for MNIST, and a server on the loopback address for the mirrors.
"""

import errno
import gzip
import hashlib
import http.server
import io
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from course_lib.data import DataError, mnist, mnist_static, store
from course_lib.data.content import DataFile, Registry, verified
from course_lib.data.errors import (
    CacheError,
    CorruptFileError,
    DataFolderError,
    DiskFullError,
    DownloadError,
    MissingFileError,
    OfflineError,
    TruncatedFileError,
    WebPageError,
)
from course_lib.data.static_mnist import as_text, parse_text

HTML = b"<!DOCTYPE html><html><body>Sign in to continue</body></html>"


def _idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def _tiny_contents() -> dict[str, bytes]:
    """Five training and three test images of 20x20 noise, in four IDX files; each image file tells from the others."""
    rng = np.random.default_rng(0)
    contents = {}
    for part, n in (("train", 5), ("test", 3)):
        contents[f"{part} images"] = _idx(rng.integers(0, 256, (n, 20, 20), dtype=np.uint8))
        contents[f"{part} labels"] = _idx(np.arange(n, dtype=np.uint8))
    return contents


CONTENTS = _tiny_contents()
FILES = {
    role: DataFile(
        f"tiny-{role.replace(' ', '-')}.gz", hashlib.sha256(content).hexdigest(), hashlib.md5(content).hexdigest()
    )
    for role, content in CONTENTS.items()
}
PACKED = {FILES[role].name: gzip.compress(content) for role, content in CONTENTS.items()}
NAMES = sorted(PACKED)
FIRST = FILES["train images"].name


def _registry(*mirrors: str) -> Registry:
    return Registry("tiny", FILES, mirrors)


def _load(*mirrors: str):
    return mnist(_registry(*mirrors), n_validation=2)


def _assert_loaded(splits) -> None:
    pixels = np.frombuffer(CONTENTS["train images"][16:], np.uint8).reshape(5, 1, 20, 20)
    assert np.array_equal(splits.full_train.images.mul(255).round().numpy(), pixels)
    assert [part.labels.tolist() for part in splits] == [[0, 1, 2], [3, 4], [0, 1, 2]]


def _fill(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in PACKED.items():
        (folder / name).write_bytes(raw)
    return folder


def _files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, no COURSE_DATA, and no proxy between the test and its server."""
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path / "cache" / "tiny"


class _Mirror(http.server.BaseHTTPRequestHandler):
    """The first folder of the address names the mirror's behaviour."""

    def do_GET(self):
        _, behaviour, name = self.path.split("/")
        self.server.asked[behaviour] += 1
        getattr(self, behaviour)(PACKED[name])

    def whole(self, raw, announced=None, encoding=None):
        self.send_response(200)
        self.send_header("Content-Length", str(announced or len(raw)))
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.end_headers()
        self.wfile.write(raw)

    def cut(self, raw):
        self.whole(raw[: len(raw) // 2], announced=len(raw))

    def cut_unannounced(self, raw):
        self.whole(raw[: len(raw) // 2])

    def page(self, raw):
        self.whole(HTML)

    def other(self, raw):
        self.whole(gzip.compress(b"another file"))

    def unpacked_on_the_way(self, raw):
        self.whole(raw, encoding="gzip")

    def absent(self, raw):
        self.send_error(404)

    def stall(self, raw):
        self.cut(raw)
        self.wfile.flush()
        self.server.stalled.set()
        self.server.released.wait(30)

    def together(self, raw):
        self.server.both.wait(30)
        self.whole(raw)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A loopback server; `server.mirror("cut")` is the address of a mirror that cuts its transfers."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Mirror) as server:
        server.daemon_threads = True
        server.mirror = lambda behaviour: f"http://127.0.0.1:{server.server_port}/{behaviour}/"
        server.asked = Counter()
        server.stalled, server.released = threading.Event(), threading.Event()
        server.both = threading.Barrier(2)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.released.set()
        server.shutdown()


@pytest.fixture
def dead() -> str:
    """A mirror that refuses connections: its port was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


# The learner's own folder


@pytest.mark.parametrize("inner", ["tiny", "."])
def test_course_data_holds_the_files_or_their_folder(tmp_path, monkeypatch, dead, inner):
    _fill(tmp_path / "own" / inner)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "own"))
    _assert_loaded(_load(dead))


def test_course_data_may_hold_unpacked_files(tmp_path, monkeypatch, dead):
    for role, content in CONTENTS.items():
        (tmp_path / FILES[role].name.removesuffix(".gz")).write_bytes(content)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    _assert_loaded(_load(dead))


def test_the_folder_beside_the_checkout_comes_before_the_mirrors(tmp_path, monkeypatch, server, cache):
    _fill(tmp_path / "shared" / "tiny")
    monkeypatch.setattr(store, "BESIDE_THE_CHECKOUT", tmp_path / "shared")
    _assert_loaded(_load(server.mirror("whole")))
    assert not server.asked and not cache.exists()


def test_course_data_comes_before_the_folder_beside_the_checkout(tmp_path, monkeypatch, dead):
    _fill(tmp_path / "shared" / "tiny")
    monkeypatch.setattr(store, "BESIDE_THE_CHECKOUT", tmp_path / "shared")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataFolderError, match="nowhere is not a folder.*unset it"):
        _load(dead)


def test_an_empty_course_data_counts_as_none(monkeypatch, server):
    monkeypatch.setenv("COURSE_DATA", "")
    _assert_loaded(_load(server.mirror("whole")))


def test_a_file_missing_from_course_data_is_named_and_not_downloaded(tmp_path, monkeypatch, server):
    (_fill(tmp_path / "own") / FIRST).unlink()
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "own"))
    with pytest.raises(MissingFileError, match=f"holds no {FIRST}, neither there nor in tiny/.*unset COURSE_DATA"):
        _load(server.mirror("whole"))
    assert not server.asked


def _flipped(raw: bytes) -> bytes:
    middle = len(raw) // 2
    return raw[:middle] + bytes([raw[middle] ^ 0xFF]) + raw[middle + 1 :]


DAMAGE = {
    "truncated": (PACKED[FIRST][:-20], TruncatedFileError, "cut off after"),
    "empty": (b"", TruncatedFileError, "empty"),
    "flipped byte": (_flipped(PACKED[FIRST]), CorruptFileError, "damaged gzip data"),
    "other content": (gzip.compress(_flipped(CONTENTS["train images"])), CorruptFileError, "not the published"),
    "unpacked and cut": (CONTENTS["train images"][:-1], CorruptFileError, "not the published"),
    "web page": (HTML, WebPageError, "a web page, not data"),
}


@pytest.mark.fault("a damaged data file of the learner's")
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_of_the_learner_is_diagnosed_and_never_touched(tmp_path, monkeypatch, server, cache, damage):
    raw, kind, message = DAMAGE[damage]
    path = _fill(tmp_path / "own") / FIRST
    path.write_bytes(raw)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "own"))
    before = path.stat().st_mtime_ns
    with pytest.raises(kind, match=f"(?s){FIRST}: {message}.*never changed: replace this one") as caught:
        _load(server.mirror("whole"))
    assert type(caught.value) is kind and isinstance(caught.value, DataError)
    assert path.read_bytes() == raw and path.stat().st_mtime_ns == before
    assert not server.asked and not cache.exists()


def test_an_unreadable_file_is_a_data_error(tmp_path, monkeypatch, dead):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    _fill(tmp_path / "own")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "own"))
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=f"{FIRST} cannot be read: Permission denied"):
        _load(dead)


# An archive in the place of a text file


def _archive(**parts: np.ndarray) -> bytes:
    written = io.BytesIO()
    np.savez_compressed(written, **parts)
    return written.getvalue()


def _static(part: str = "test", seed: int = 0) -> tuple[np.ndarray, bytes, DataFile]:
    """Three random images, their archive, and the text file that they are published as."""
    pixels = np.random.default_rng(seed).integers(0, 2, (3, 784), dtype=np.uint8)
    text = "".join(" ".join(map(str, row)) + "\n" for row in pixels).encode()
    file = DataFile("tiny_test.amat", hashlib.sha256(text).hexdigest(), "", "tiny.npz", partial(as_text, part))
    return pixels, _archive(test=np.packbits(pixels, axis=1)), file


def test_a_text_file_and_its_archive_hold_the_same_images():
    pixels, archive, file = _static()
    content = verified(archive, file, "here")
    assert verified(content, file, "here") == content
    assert np.array_equal(parse_text(content).numpy(), pixels.reshape(3, 1, 28, 28))


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (_static(seed=1)[1], "not the published tiny_test.amat"),
        (_archive(train=np.zeros((3, 98), np.uint8)), "one without tiny_test.amat"),
        (_archive(test=np.zeros(3)), "one without tiny_test.amat"),
        (_static()[1][:200], "damaged archive"),
    ],
)
def test_an_archive_with_another_content_is_refused(archive, message):
    with pytest.raises(CorruptFileError, match=f"^here: .*{message}"):
        verified(archive, _static()[2], "here")


def test_static_mnist_says_which_file_course_data_lacks(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    with pytest.raises(MissingFileError, match="holds no binarized_mnist_train.amat, neither there nor in mnist_st"):
        mnist_static()


def test_an_archive_is_found_where_the_text_file_would_be(tmp_path, monkeypatch):
    pixels, archive, file = _static()
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "tiny.npz").write_bytes(archive)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    content = store.read(Registry("tiny", {"test": file}, ()), "test")
    assert np.array_equal(parse_text(content).numpy().ravel(), pixels.ravel())


# The cache and the mirrors


def test_a_download_is_kept_and_not_repeated(server, cache, dead):
    _assert_loaded(_load(server.mirror("whole")))
    assert server.asked == {"whole": 4} and _files_in(cache) == NAMES
    assert all((cache / name).read_bytes() == raw for name, raw in PACKED.items())
    _assert_loaded(_load(dead))


@pytest.mark.parametrize("fault", ["cut", "cut_unannounced", "page", "other", "absent"])
def test_the_next_mirror_is_asked_when_one_fails(server, cache, fault):
    _assert_loaded(_load(server.mirror(fault), server.mirror("whole")))
    assert server.asked == {fault: 4, "whole": 4} and _files_in(cache) == NAMES


def test_the_next_mirror_is_asked_when_one_is_dead(server, dead):
    _assert_loaded(_load(dead, server.mirror("whole")))


def test_later_mirrors_are_left_alone_when_the_first_works(server):
    _load(server.mirror("whole"), server.mirror("page"))
    assert server.asked == {"whole": 4}


def test_a_mirror_may_unpack_on_the_way(server, cache, dead):
    _assert_loaded(_load(server.mirror("unpacked_on_the_way")))
    _assert_loaded(_load(dead))


FAULTS = {
    "cut": "cut off after",
    "cut_unannounced": "cut off after",
    "page": "a web page, not data",
    "other": "not the published",
    "absent": "the server answers 404",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_when_every_mirror_fails_each_is_named_with_its_fault(server, cache, dead, fault):
    with pytest.raises(DownloadError, match="(?s)sign in to the network first.*COURSE_DATA") as caught:
        _load(server.mirror(fault), dead)
    lines = str(caught.value).splitlines()
    assert lines[1].startswith(f"  {server.mirror(fault)}{FIRST}: {FAULTS[fault]}")
    assert lines[2] == f"  {dead}{FIRST}: no answer (ConnectionError)"
    assert not cache.exists()


@pytest.mark.fault("no network, nothing downloaded yet")
def test_offline_with_an_empty_cache_says_so(dead):
    with pytest.raises(
        OfflineError, match="(?s)not on this machine and no mirror answers.*Connect.*COURSE_DATA"
    ) as caught:
        _load(dead, dead)
    assert caught.value.__context__ is None, "the learner sees one message, not a chain of them"


@pytest.mark.fault("no network, a damaged download")
def test_offline_with_a_damaged_cache_leaves_it_for_the_next_call(cache, dead, server):
    (_fill(cache) / FIRST).write_bytes(PACKED[FIRST][:-20])
    with pytest.raises(OfflineError):
        _load(dead)
    _assert_loaded(_load(server.mirror("whole")))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cached_file_alone_is_renewed(server, cache, damage):
    (_fill(cache) / FIRST).write_bytes(DAMAGE[damage][0])
    _assert_loaded(_load(server.mirror("whole")))
    assert server.asked == {"whole": 1}
    assert (cache / FIRST).read_bytes() == PACKED[FIRST] and _files_in(cache) == NAMES


@pytest.mark.fault("the disk is full under a download")
@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT"])
def test_a_full_disk_is_named_and_leaves_nothing_behind(server, cache, monkeypatch, code):
    def fill_up(path, raw):
        with path.open("wb") as half:
            half.write(raw[: len(raw) // 2])
        raise OSError(getattr(errno, code), "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill_up)
        with pytest.raises(DiskFullError, match=f"No room for .*{FIRST}.*free some, or set COURSE_CACHE"):
            _load(server.mirror("whole"))
    assert _files_in(cache) == []
    _assert_loaded(_load(server.mirror("whole")))


@pytest.mark.fault("a cache that cannot be written")
def test_a_cache_that_cannot_be_made_is_named(server, cache):
    cache.parent.write_text("a file where the cache should be")
    with pytest.raises(CacheError, match="cannot be written .*set COURSE_CACHE") as caught:
        _load(server.mirror("whole"))
    assert not isinstance(caught.value, DiskFullError)


# Interruptions and company


def _start(tmp_path: Path, *mirrors: str) -> subprocess.Popen:
    """Another Python that loads the tiny data set from these mirrors."""
    (tmp_path / "registry.pickle").write_bytes(pickle.dumps(_registry(*mirrors)))
    script = "import pickle, sys; from course_lib.data import mnist; mnist(pickle.load(open(sys.argv[1], 'rb')), 2)"
    return subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "registry.pickle")], stderr=subprocess.PIPE)


@pytest.mark.fault("a download is killed")
def test_a_process_killed_while_downloading_leaves_nothing_half_written(tmp_path, server, cache):
    process = _start(tmp_path, server.mirror("stall"))
    assert server.stalled.wait(60)
    process.kill()
    process.communicate()
    assert not cache.exists() or _files_in(cache) == []
    _assert_loaded(_load(server.mirror("whole")))


@pytest.mark.fault("a download is interrupted while it is stored")
def test_an_interrupt_while_storing_leaves_nothing_half_written(server, cache, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            _load(server.mirror("whole"))
    assert _files_in(cache) == []
    _assert_loaded(_load(server.mirror("whole")))
    assert _files_in(cache) == NAMES


@pytest.mark.fault("two downloads at once")
def test_two_processes_may_download_at_once(tmp_path, server, cache, dead):
    # The barrier holds each request until the other process has made it too.
    processes = [_start(tmp_path, server.mirror("together")) for _ in range(2)]
    for process in processes:
        _, complaint = process.communicate(timeout=120)
        assert process.returncode == 0, complaint.decode()
    assert server.asked == {"together": 8} and _files_in(cache) == NAMES
    _assert_loaded(_load(dead))
