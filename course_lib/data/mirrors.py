"""Downloading a file from the first mirror that has it."""

import io

from .content import DataFile, Registry, verified
from .errors import DataError, DownloadError, OfflineError, TruncatedFileError

CONNECT_SECONDS, SILENCE_SECONDS = 10, 30
ADVICE = "Or set COURSE_DATA to a folder that holds the files. digits() works without any of this."


def download(registry: Registry, file: DataFile) -> bytes:
    """The file as a mirror sent it, its content verified. Nothing is written to disk.

    Raises OfflineError when no mirror answers, DownloadError when some do and none sends the file.
    """
    failures = []
    for mirror in registry.mirrors:
        try:
            return _fetch(mirror + file.name, file)
        except DataError as failure:
            failures.append(failure)
    tried = "".join(f"\n  {failure}" for failure in failures)
    if all(isinstance(failure, OfflineError) for failure in failures):
        raise OfflineError(
            f"{file.name} is not on this machine and no mirror answers:{tried}\n"
            f"Connect to the network once; the files are kept afterwards. {ADVICE}"
        )
    raise DownloadError(
        f"No mirror sends {file.name}:{tried}\n"
        f"If web pages come instead of data, sign in to the network first; else try again later. {ADVICE}"
    )


def _fetch(url: str, file: DataFile) -> bytes:
    """What one mirror sends, if it is the file; a DataError that names the mirror and its fault otherwise."""
    import pooch
    from requests.exceptions import ChunkedEncodingError, HTTPError, RequestException

    received = io.BytesIO()
    try:
        pooch.HTTPDownloader(timeout=(CONNECT_SECONDS, SILENCE_SECONDS), chunk_size=2**16)(url, received, None)
    except HTTPError as error:
        raise DownloadError(f"{url}: the server answers {error.response.status_code}") from error
    except ChunkedEncodingError as error:
        raise TruncatedFileError(f"{url}: cut off after {received.tell():,} bytes") from error
    except RequestException as error:
        raise OfflineError(f"{url}: no answer ({type(error).__name__})") from error
    verified(received.getvalue(), file, url)
    return received.getvalue()
