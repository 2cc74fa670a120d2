"""Where a data file is found: the learner's folder, the one beside the checkout, the cache, the mirrors."""

import errno
import os
import tempfile
from pathlib import Path

from .content import DataFile, Registry, verified
from .errors import CacheError, DataError, DataFolderError, DiskFullError, MissingFileError
from .mirrors import download

BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[3] / "shared" / "data"


def read(registry: Registry, role: str) -> bytes:
    """The verified, uncompressed content of a file.

    Searched in turn: the folder that COURSE_DATA names (which must then hold it), ../shared/data beside the checkout,
    the cache, the mirrors. The first two belong to the learner and are never changed; a damaged cache is renewed.
    Raises a DataError that says what to do.
    """
    file = registry.files[role]
    path = _in_course_data(registry, file) or _under(BESIDE_THE_CHECKOUT, registry, file)
    if path is not None:
        return _read_own(path, file)
    cached = cache_folder() / registry.folder / file.name
    content = _read_cached(cached, file)
    return _renew(cached, registry, file) if content is None else content


def cache_folder() -> Path:
    """Where downloads are kept: COURSE_CACHE, or the user's cache folder."""
    import pooch

    return Path(os.environ.get("COURSE_CACHE") or pooch.os_cache("course-lib")).expanduser()


def _in_course_data(registry: Registry, file: DataFile) -> Path | None:
    """The file in the folder that COURSE_DATA names, None where the variable is not set."""
    if not (named := os.environ.get("COURSE_DATA")):
        return None
    root = Path(named).expanduser()
    if not root.is_dir():
        raise DataFolderError(f"COURSE_DATA={named} is not a folder: correct it, or unset it to search elsewhere.")
    if path := _under(root, registry, file):
        return path
    raise MissingFileError(
        f"COURSE_DATA={named} holds no {file.name}, neither there nor in {registry.folder}/: "
        "put the file there, or unset COURSE_DATA to search elsewhere."
    )


def _under(root: Path, registry: Registry, file: DataFile) -> Path | None:
    """Where the file, packed or not, or the archive that may stand for it lies under a folder, or None."""
    names = [name for name in (file.name, file.name.removesuffix(".gz"), file.archive) if name]
    places = [folder / name for folder in (root / registry.folder, root) for name in names]
    return next((path for path in places if path.is_file()), None)


def _read_own(path: Path, file: DataFile) -> bytes:
    """The content of a file that belongs to the learner, or what is wrong with it."""
    try:
        return verified(path.read_bytes(), file, str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except DataError as error:
        raise type(error)(
            f"{error}.\nYour own files are never changed: replace this one with a good copy, or move it "
            "away and unset COURSE_DATA, and the course downloads its own."
        ) from error


def _read_cached(path: Path, file: DataFile) -> bytes | None:
    """The content of a cached file, None where there is none or a damaged one."""
    try:
        return verified(path.read_bytes(), file, str(path))
    except (OSError, DataError):
        return None


def _renew(path: Path, registry: Registry, file: DataFile) -> bytes:
    """The content of a file, downloaded and kept in the cache."""
    raw = download(registry, file)
    _keep(raw, path)
    return verified(raw, file, str(path))


def _keep(raw: bytes, path: Path) -> None:
    """Write a cached file whole or not at all: beside its place first, then moved there in one step."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent) as folder:
            part = Path(folder) / path.name
            part.write_bytes(raw)
            os.replace(part, path)
    except OSError as error:
        advice = "set COURSE_CACHE to a folder on another disk."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"No room for {path} ({len(raw):,} bytes): free some, or {advice}") from error
        raise CacheError(f"{path} cannot be written ({error.strerror}): mend that, or {advice}") from error
