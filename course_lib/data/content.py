"""Published files, and the proof that some bytes are one of them."""

import gzip
import hashlib
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .errors import CorruptFileError, TruncatedFileError, WebPageError


@dataclass(frozen=True)
class DataFile:
    """A published file: its name, and checksums of the uncompressed content, since gzip wrappings differ.

    sha256 is verified at every load; md5, where given, is the one that most other projects quote.
    archive: the name of a zip archive that may lie in its place, and `extract` makes the content from the archive's
    bytes, or raises KeyError, TypeError or ValueError.
    """

    name: str
    sha256: str
    md5: str = ""
    archive: str = ""
    extract: Callable[[bytes], bytes] | None = None


@dataclass(frozen=True)
class Registry:
    """The files of a data set by role, the folder they are kept in, and the addresses that offer them, best first."""

    folder: str
    files: Mapping[str, DataFile]
    mirrors: tuple[str, ...]


def verified(raw: bytes, file: DataFile, origin: str) -> bytes:
    """The content of `raw`, gzip, archive or plain, once its SHA-256 is the published one.

    Raises WebPageError, TruncatedFileError or CorruptFileError; the message begins with `origin`.
    """
    content = _unpacked(raw, file, origin)
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise CorruptFileError(f"{origin}: not the published {file.name} (SHA-256 {found}, expected {file.sha256})")
    return content


def _unpacked(raw: bytes, file: DataFile, origin: str) -> bytes:
    if raw.lstrip()[:1] == b"<":
        raise WebPageError(f"{origin}: a web page, not data")
    if not raw:
        raise TruncatedFileError(f"{origin}: empty")
    if file.extract and raw[:2] == b"PK":
        return _extracted(raw, file, origin)
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except EOFError as error:
        raise TruncatedFileError(f"{origin}: cut off after {len(raw):,} bytes") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise CorruptFileError(f"{origin}: damaged gzip data ({error})") from error


def _extracted(raw: bytes, file: DataFile, origin: str) -> bytes:
    try:
        return file.extract(raw)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, TypeError, ValueError) as error:
        raise CorruptFileError(f"{origin}: damaged archive, or one without {file.name} ({error})") from error
