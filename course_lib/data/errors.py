"""What can go wrong with a data file; every message says what to do next."""


class DataError(RuntimeError):
    """Data could not be had. The subclasses say why."""


class DataFolderError(DataError):
    """`COURSE_DATA` names something that is not a folder."""


class MissingFileError(DataError):
    """The folder that `COURSE_DATA` names lacks a file."""


class TruncatedFileError(DataError):
    """A file ends before its content does."""


class CorruptFileError(DataError):
    """A file is whole but its content is not the published one."""


class WebPageError(CorruptFileError):
    """A web page stands where data should."""


class FormatError(DataError):
    """Bytes that do not follow the IDX format."""


class OfflineError(DataError):
    """Nothing is stored here and no mirror answers."""


class DownloadError(DataError):
    """Mirrors answer, but none of them sends the file."""


class CacheError(DataError):
    """The downloaded file cannot be stored."""


class DiskFullError(CacheError):
    """The disk has no room for the downloaded file."""
