"""Finding a data file: the learner's folder, the one beside the checkout, the cache, then the mirrors."""

import gzip
import hashlib
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import CorruptFileError, DataFolderError, MissingFileError, TruncatedFileError, WebPageError

VARIABLE = "COURSE_DATA"
BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[3] / "shared" / "data"


@dataclass(frozen=True)
class DataFile:
    """A published file: its name, and checksums of the uncompressed content, since gzip wrappings differ."""

    name: str
    sha256: str
    md5: str


@dataclass(frozen=True)
class Registry:
    """The files of a data set by role, the folder they are kept in, and where they can be downloaded from."""

    folder: str
    files: Mapping[str, DataFile]
    mirrors: tuple[str, ...]


def read(registry: Registry, role: str) -> bytes:
    """The verified, uncompressed content of a file.

    Searched in turn: the folder that COURSE_DATA names (which must then hold it), ../shared/data beside the checkout.
    Raises a DataError.
    """
    file = registry.files[role]
    path = _in_course_data(registry, file) or _under(BESIDE_THE_CHECKOUT, registry, file)
    if path is None:
        raise MissingFileError(f"{file.name} is not on this machine: set {VARIABLE} to the folder that holds it")
    return verified(path.read_bytes(), file, str(path))


def verified(raw: bytes, file: DataFile, origin: str) -> bytes:
    """`raw`, unpacked if it is gzip, once its SHA-256 is the published one.

    Raises WebPageError, TruncatedFileError or CorruptFileError; the message begins with `origin`.
    """
    content = _unpacked(raw, origin)
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise CorruptFileError(f"{origin}: not the published {file.name} (SHA-256 {found}, expected {file.sha256})")
    return content


def _unpacked(raw: bytes, origin: str) -> bytes:
    if raw.lstrip()[:1] == b"<":
        raise WebPageError(f"{origin}: a web page, not data")
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except EOFError as error:
        raise TruncatedFileError(f"{origin}: ends too early, after {len(raw):,} bytes") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise CorruptFileError(f"{origin}: damaged gzip data ({error})") from error


def _in_course_data(registry: Registry, file: DataFile) -> Path | None:
    """The file in the folder that COURSE_DATA names, None where the variable is not set."""
    if not (named := os.environ.get(VARIABLE)):
        return None
    root = Path(named).expanduser()
    if not root.is_dir():
        raise DataFolderError(f"{VARIABLE}={named} is not a folder: correct it, or unset it to search elsewhere")
    if path := _under(root, registry, file):
        return path
    raise MissingFileError(
        f"{VARIABLE}={named} holds no {file.name}, neither there nor in {registry.folder}/: "
        f"put the file there, or unset {VARIABLE} to search elsewhere"
    )


def _under(root: Path, registry: Registry, file: DataFile) -> Path | None:
    """Where the file lies under a folder, packed or not, or None."""
    plain = file.name.removesuffix(".gz")
    places = [folder / name for folder in (root / registry.folder, root) for name in (file.name, plain)]
    return next((path for path in places if path.is_file()), None)
