"""Downloads that can be cut off: resumed by range, checked, renamed into place when whole.

What has arrived stands beside the target under the name ``….part`` and is continued by the next
call. The target itself appears only with the right checksum.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import shutil
import ssl
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ..core.errors import DataError
from ..core.files import atomic_path
from .files import FileSet, file_hash, tree_digest, verify_files

logger = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes that there will be, if known."""
_BLOCK = 1 << 16


def download(
    address: str,
    target: str | Path,
    checksum: str | None = None,
    progress: Progress | None = None,
    attempts: int = 3,
    timeout: float = 30.0,
) -> Path:
    """Fetch one file over HTTP.

    Args:
        address: an http or https address.
        target: where the file shall stand; its folder is made.
        checksum: ``md5:…`` or ``sha256:…``.
        progress: told how far it is.
        attempts: connections to try before giving up.
        timeout: seconds without a byte after which a connection counts as lost.

    Returns:
        ``target``.

    Raises:
        DataError: the address cannot be reached, the connection broke (what arrived is kept),
            the file cannot be written, or the checksum is wrong (what arrived is removed).
    """
    if not address.startswith(("http://", "https://")):
        raise DataError(f"Expected an http or https address, got {address!r}.")
    target = Path(target)
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        resumed = _receive(address, part, progress, attempts, timeout)
        if resumed and not _matches(part, checksum):
            logger.info("%s: the resumed file has a wrong checksum, starting again", address)
            part.unlink()
            _receive(address, part, progress, attempts, timeout)
        if not _matches(part, checksum):
            method = str(checksum).partition(":")[0]
            found = file_hash(part, method)
            part.unlink()
            raise DataError(
                f"{address} arrived with a wrong checksum: expected {checksum}, got {method}:{found}.",
                "the file on the server has changed or the connection alters it; get the file by another way",
            )
        with part.open("rb") as handle:
            os.fsync(handle.fileno())
        part.replace(target)
    except OSError as error:
        raise DataError(f"Cannot write {target}: {error.strerror or error}.", "free space or another folder") from error
    return target


def fetch(wanted: FileSet, root: str | Path, show_progress: bool = True) -> Path:
    """Download what a set lacks into its folder below ``root``, and check it.

    Args:
        wanted: the set; needs a :attr:`FileSet.source`.
        root: the data directory.
        show_progress: draw a bar on the terminal.

    Returns:
        The set's folder.

    Raises:
        DataError: no public address, or what :func:`download` raises at the last of them.
    """
    folder = Path(root) / wanted.name
    if wanted.source is None:
        raise DataError(
            f"{wanted.title} has no public address to download from.",
            wanted.advice or f"put {wanted.layout} into {folder}",
        )
    if wanted.source.archive:
        paths = {file.name: folder / file.name for file in wanted.files}
        there = all(path.is_file() for path in paths.values())
        if not there or (wanted.digest is not None and tree_digest(paths) != wanted.digest):
            archive = folder / "archive.zip"
            _from_any(wanted.source.addresses, archive, None, show_progress)
            _unpack(wanted, archive, folder)
            archive.unlink()
    else:
        for file in wanted.files:
            path = folder / file.name
            if path.is_file() and _matches(path, file.checksum):
                continue
            places = tuple(f"{base.rstrip('/')}/{file.name}" for base in wanted.source.addresses)
            _from_any(places, path, file.checksum, show_progress)
    verify_files(wanted, {file.name: folder / file.name for file in wanted.files})
    return folder


def _from_any(addresses: tuple[str, ...], target: Path, checksum: str | None, show_progress: bool) -> None:
    for position, address in enumerate(addresses):
        try:
            with _bar(target.name, show_progress) as progress:
                download(address, target, checksum, progress)
            return
        except DataError as error:
            if position == len(addresses) - 1:
                raise
            logger.warning("%s; trying %s", error, addresses[position + 1])


def _receive(address: str, part: Path, progress: Progress | None, attempts: int, timeout: float) -> bool:
    """Fill ``part``; true where some of it was there before this call."""
    resumed = part.exists() and part.stat().st_size > 0
    reason = "no attempt was made"
    for _ in range(attempts):
        start = part.stat().st_size if part.exists() else 0
        request = urllib.request.Request(address, headers={"Range": f"bytes={start}-"} if start else {})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                total = _store(answer, part, start, progress)
            if total is None or part.stat().st_size == total:
                return resumed
            reason = f"the connection ended after {part.stat().st_size} of {total} bytes"
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 416:  # nothing lies beyond what is there: it is whole, or belongs to another file
                    if error.headers.get("Content-Range", "").rpartition("/")[2] == str(start):
                        return resumed
                    part.unlink()
                    resumed = False
                reason = f"the server answered {error.code} {error.reason}"
                if error.code in (401, 403, 404, 410):  # asking again gives the same answer
                    break
        except urllib.error.URLError as error:
            reason = str(error.reason)
        except (http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
            reason = str(error) or type(error).__name__
    kept = part.stat().st_size if part.exists() else 0
    again = f"{kept} bytes are kept in {part}; the same command continues there" if kept else "check the connection"
    raise DataError(f"Cannot download {address}: {reason}.", again)


def _store(answer: Any, part: Path, start: int, progress: Progress | None) -> int | None:
    """Write the body behind ``start``, or from the beginning where the server sends it all."""
    continued = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
    if answer.status == 206 and not continued:
        raise http.client.HTTPException(f"the server sent another range: {answer.headers.get('Content-Range')}")
    length = answer.headers.get("Content-Length")
    done = start if continued else 0
    total = None if length is None else done + int(length)
    with part.open("ab" if continued else "wb") as handle:
        while block := answer.read(_BLOCK):
            handle.write(block)
            done += len(block)
            if progress is not None:
                progress(done, total)
    return total


def _matches(path: Path, checksum: str | None) -> bool:
    if checksum is None:
        return True
    method, _, expected = checksum.partition(":")
    return file_hash(path, method) == expected


def _unpack(wanted: FileSet, archive: Path, folder: Path) -> None:
    """Take the wanted files out of a zip file, wherever in it their names stand."""
    names = {file.name for file in wanted.files}
    try:
        with zipfile.ZipFile(archive) as content:
            for member in content.infolist():
                parts = PurePosixPath(member.filename).parts
                tails = ("/".join(parts[i:]) for i in range(len(parts)))
                name = next((tail for tail in tails if tail in names), None)
                if name is not None and not member.is_dir():
                    with content.open(member) as source, atomic_path(folder / name) as target:
                        _copy(source, target)
                    names.discard(name)
    except (zipfile.BadZipFile, EOFError) as error:
        archive.unlink(missing_ok=True)
        raise DataError(f"{wanted.title}: the downloaded archive cannot be read: {error}.", "download again") from error
    if names:
        raise DataError(f"{wanted.title}: the archive lacks {len(names)} files, among them {sorted(names)[0]}.")


def _copy(source: IO[bytes], target: Path) -> None:
    with target.open("wb") as handle:
        shutil.copyfileobj(source, handle)


@contextlib.contextmanager
def _bar(name: str, show: bool) -> Iterator[Progress | None]:
    if not show:
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    with Bars(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()) as bars:
        line = bars.add_task(name, total=None)

        def advance(done: int, total: int | None) -> None:
            bars.update(line, completed=done, total=total)

        yield advance
