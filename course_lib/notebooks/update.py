"""python course.py update: takes the course's newest version over a learner's checkout and loses none of their work."""

import shutil
import subprocess
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = "exercises/mine"


class UpdateError(Exception):
    """Why nothing was changed, and what to do."""


def main(argv: list[str], root: Path = ROOT) -> int:
    """Updates; 0 when the checkout is new, 1 when it was left as it is, 2 for arguments: there are none."""
    if argv:
        print("update takes no arguments: python course.py update")
        return 2
    try:
        print("\n".join(update(root)))
    except UpdateError as error:
        print(error)
        return 1
    return 0


def update(root: Path) -> list[str]:
    """Moves to the newest version. What a learner changed and the course changes too is copied aside first.

    Returns what was done, a line each. Raises UpdateError with the checkout as it was.
    """
    ahead = newest(root)
    if git(root, "rev-list", "--count", f"{ahead}..HEAD") != "0":
        raise UpdateError(
            "This checkout has commits of its own, so it is left as it is. Join the two with: git pull --no-rebase"
        )
    if git(root, "rev-list", "--count", f"HEAD..{ahead}") == "0":
        return ["This is the newest version."]
    theirs = set(lines(git(root, "diff", "--name-only", "HEAD", ahead)))
    own = set(lines(git(root, "diff", "--name-only", "HEAD")))
    copies = {name: aside(root, name) for name in sorted(own & theirs) if (root / name).exists()}
    try:
        git(root, "checkout", "HEAD", "--", *sorted(own & theirs))
        git(root, "merge", "--ff-only", ahead)
    except UpdateError:
        for name, copy in copies.items():
            shutil.copy2(copy, root / name)
        raise
    kept = [f"{name} is new; yours is kept as {copy.relative_to(root).as_posix()}" for name, copy in copies.items()]
    return [f"Updated to {git(root, 'log', '-1', '--format=%h, %cs')}.", *kept]


def newest(root: Path) -> str:
    """The commit that the course has reached where it was cloned from."""
    if shutil.which("git") is None:
        raise UpdateError("Updating needs git, and there is none. Install it from https://git-scm.com")
    if not (root / ".git").exists():
        raise UpdateError(
            "This folder was downloaded, not cloned, and is left as it is. Unpack the new download beside it, never "
            f"over it, and copy your notebooks into its {KEPT} folder: they run and are graded there like any other."
        )
    try:
        git(root, "fetch", "--quiet")
    except UpdateError as error:
        raise UpdateError(f"The newest version cannot be reached, so nothing was changed. git says: {error}") from None
    try:
        return git(root, "rev-parse", "@{upstream}")
    except UpdateError:
        raise UpdateError(
            "git does not know where this branch comes from. Say so once: git branch --set-upstream-to origin/main"
        ) from None


def aside(root: Path, name: str) -> Path:
    """A copy of a learner's file under `KEPT`, with the time in its name so that it replaces none."""
    file = root / name
    stamp = datetime.fromtimestamp(file.stat().st_mtime).strftime("%Y-%m-%d_%H.%M.%S")
    copy = root / KEPT / f"{file.stem}.{stamp}{file.suffix}"
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copy2(file, copy)
        if copy.read_bytes() != file.read_bytes():
            raise OSError("the copy differs")
    except OSError as error:
        copy.unlink(missing_ok=True)
        raise UpdateError(f"{name} could not be copied aside ({error}), so nothing was changed.") from error
    return copy


def git(root: Path, *arguments: str) -> str:
    """What git prints; UpdateError with its words where it fails."""
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise UpdateError(done.stderr.strip() or f"git {arguments[0]} failed")
    return done.stdout.strip()


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]
