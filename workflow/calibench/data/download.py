"""Download a file and check it; without a network the error says what to do by hand."""

import hashlib
import http.client
import logging
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from calibench.errors import UserError
from calibench.files import atomic_path

log = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds without a byte
SLOWEST = 10_000  # bytes per second; a slower download is stopped
DIGITS = {"sha256": 64, "md5": 32}


def _split_checksum(checksum: str) -> tuple[str, str]:
    kind, _, value = checksum.lower().rpartition(":")
    kind = kind or "sha256"
    if len(value) != DIGITS.get(kind) or not set(value) <= set("0123456789abcdef"):
        raise UserError(f"checksum '{checksum}' must be sha256:<64 hex digits> or md5:<32 hex digits>")
    return kind, value


def matches(path: Path, checksum: str) -> bool:
    """Whether a file exists and has the checksum."""
    kind, value = _split_checksum(checksum)
    if not path.is_file():
        return False
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest() == value


def _read_blocks(url: str, timeout: float) -> Iterator[bytes]:
    """The content of an address in blocks; all errors come from the network, none from the disk."""
    begun, size = time.monotonic(), 0
    request = urllib.request.Request(url, headers={"User-Agent": "calibench"})
    with urllib.request.urlopen(request, timeout=timeout) as source:
        while block := source.read(1 << 18):
            yield block
            size += len(block)
            seconds = time.monotonic() - begun
            if seconds > timeout and size < SLOWEST * seconds:
                raise TimeoutError(f"{size} bytes in {seconds:.0f} s")
        expected = source.headers.get("Content-Length")
        if expected is not None and int(expected) != size:
            raise ConnectionError(f"the connection broke after {size} of {expected} bytes")


def _network_errors(url: str, blocks: Iterator[bytes], by_hand: str) -> Iterator[bytes]:
    """The same blocks; an error of the network becomes one sentence."""
    try:
        yield from blocks
    except urllib.error.HTTPError as error:
        raise UserError(f"{url} answers {error.code} {error.reason}; check the address; {by_hand}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
        raise UserError(f"cannot download {url}: the network failed ({reason}); {by_hand}") from error


def download(url: str, part: Path, kind: str, timeout: float, by_hand: str) -> str:
    """Download an address into the file ``part``, which the caller removes if this fails.

    Args:
        url: http or https.
        part: file to write.
        kind: name of the hash.
        timeout: seconds without a byte.
        by_hand: end of the error message: what to do without a network.

    Returns:
        The hash of the file, hexadecimal.

    Raises:
        UserError: the network fails, before or during the transfer.
        OSError: the disk fails.
    """
    digest = hashlib.new(kind, usedforsecurity=False)
    with open(part, "wb") as target:
        for block in _network_errors(url, _read_blocks(url, timeout), by_hand):
            target.write(block)
            digest.update(block)
    return digest.hexdigest()


def fetch(url: str, path: Path, checksum: str, timeout: float = TIMEOUT) -> None:
    """Download ``url`` to ``path`` unless it is there already; the file appears only if its checksum is right.

    UserError without a network, without an answer within ``timeout`` seconds, or with a wrong checksum.
    """
    kind, value = _split_checksum(checksum)
    if urllib.parse.urlparse(url).scheme not in ("http", "https"):
        raise UserError(f"'{url}' is not an http or https address")
    if matches(path, checksum):
        log.info("%s exists already", path)
        return
    by_hand = f"without a network, download it elsewhere and put it at {path}"
    with atomic_path(path) as part:
        found = download(url, part, kind, timeout, by_hand)
        if found != value:
            raise UserError(
                f"{url}: {kind} is {found}, expected {value}; the file has changed or is damaged, and was not kept"
            )
    log.info("%s downloaded", path)
