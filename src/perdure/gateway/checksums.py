"""Whether the bytes of an object are those its client sent.

S3's clients send a checksum with an object, in a header or behind the last chunk, and S3
refuses a body that it does not fit.  CRC64NVME is computed by awscrt, which doubles the
time botocore takes to import and so is no dependency: where it is not installed, such a
checksum is stored as it was said, and not compared.

Source: docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from perdure.engine.quirks.bodies import crc_of
from perdure.errors import RequestError

PREFIX = "x-amz-checksum-"
MD5 = "content-md5"


class Digest(Protocol):
    """What grows with the bytes."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""

    def digest(self) -> bytes:
        """Of all of them."""


class _Crc:
    def __init__(self, add: Callable[[bytes, int], int], size: int) -> None:
        self._add, self._size, self._value = add, size, 0

    def update(self, data: bytes, /) -> None:
        self._value = self._add(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def _begin(name: str) -> Digest | None:
    """What computes a checksum by the name of its header; None = nothing here can."""
    if name == MD5:
        return hashlib.md5(usedforsecurity=False)
    algorithm = name.removeprefix(PREFIX)
    if algorithm in ("sha1", "sha256"):
        return hashlib.new(algorithm, usedforsecurity=False)
    if algorithm == "crc32":
        return _Crc(binascii.crc32, 4)
    found = crc_of(algorithm.upper())
    return None if found is None else _Crc(*found)


class Checksums:
    """The checksums of one body, computed while it arrives."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        """Expect what the headers say, or announce for the trailers."""
        announced = [name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",")]
        names = [name for name in (*headers, *announced) if name == MD5 or name.startswith(PREFIX)]
        found = {name: _begin(name) for name in names}
        self._digests = {name: digest for name, digest in found.items() if digest is not None}

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        for digest in self._digests.values():
            digest.update(data)

    def refuse_wrong(self, headers: Iterable[tuple[str, str]]) -> None:
        """Compare with what headers and trailers say.

        Raises:
            RequestError: One is another.
        """
        for name, said in headers:
            digest = self._digests.get(name)
            if digest is None:
                continue
            if base64.b64encode(digest.digest()).decode() == said.strip():
                continue
            if name == MD5:
                text = "The Content-MD5 you specified did not match what we received."
            else:
                kind = name.removeprefix(PREFIX).upper()
                text = f"The {kind} you specified did not match the calculated checksum."
            raise RequestError("BadDigest", text, status=400)


def refuse_wrong(headers: list[tuple[str, str]], body: bytes) -> None:
    """``Checksums.refuse_wrong`` of a body that is in memory."""
    if any(name == MD5 or name.startswith(PREFIX) for name, _ in headers):
        checksums = Checksums(dict(headers))
        checksums.update(body)
        checksums.refuse_wrong(headers)
