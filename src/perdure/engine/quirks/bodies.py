"""Bodies of S3's objects lie in blobs if they are large, and are never read as a whole.

moto keeps a body in a temporary file that is read whole for every use.  Here a large body
that came in blobs (``Call.body``) stays a ``Body`` on its way into an object, through a
multipart upload, a copy or a range, and out again.  Who asks moto for ``FakeKey.value``
besides, a Lambda's code or a query, still gets bytes.

    value          bytes, or the body where ``_kept`` says so; a small one is kept as moto does
    etag, checksum computed piece by piece
    complete       the list of the parts' blobs, not their bytes one behind the other
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import importlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from perdure.engine.bodies import BLOBS, INLINE_BYTES
from perdure.engine.imports import after_import
from perdure.persistence.body import Body, BodyFile, Part

# SHA-256 is moto's answer to every name it does not know.
HASHES = {"SHA1": hashlib.sha1}


class _Kept(threading.local):
    """Whether ``FakeKey.value`` is a body instead of bytes, for this thread."""

    depth = 0


_KEPT = _Kept()


def install() -> None:
    """Put bodies in the place of moto's temporary files."""
    after_import("moto.s3.models", _models)
    after_import("moto.s3.responses", _responses)


def _models(module: Any) -> None:
    _value(module.FakeKey)
    _etag(module.FakeKey)
    module.compute_checksum = _checksum(module.compute_checksum)
    backend = module.S3Backend
    backend.put_object = _whole(backend.put_object)
    for name in ("upload_part", "upload_part_copy"):
        setattr(backend, name, _of_an_upload(module, getattr(backend, name)))
    keep = ((module.FakeKey, "__getstate__"), (backend, "copy_object"))
    for owner, name in (*keep, (backend, "upload_part_copy")):
        setattr(owner, name, _keeping(getattr(owner, name)))
    set_part = module.FakeMultipart.set_part

    def set_whole_part(upload: Any, part_id: int, value: Any) -> Any:
        _check(value)
        return set_part(upload, part_id, value)

    module.FakeMultipart.set_part = set_whole_part
    complete = module.FakeMultipart.complete

    def complete_parts(upload: Any, body: Any) -> Any:
        if not any(type(part._value_buffer) is BodyFile for part in upload.parts.values()):
            return complete(upload, body)
        return _complete(module, upload, body)

    module.FakeMultipart.complete = complete_parts


def _responses(module: Any) -> None:
    response = module.S3Response
    module.compute_checksum = _checksum(module.compute_checksum)
    for name in ("get_object", "copy_object"):
        setattr(response, name, _keeping(getattr(response, name)))
    of_bytes = response._get_checksum

    def get_checksum(response: Any, headers: dict[str, Any]) -> Any:
        raw = response.raw_body
        algorithm = response.headers.get("x-amz-sdk-checksum-algorithm", "")
        if not isinstance(raw, Body) or not algorithm:
            return of_bytes(response, headers)
        name = f"x-amz-checksum-{algorithm.lower()}"
        # moto looks for a trailer in the body; the gateway has made a header of it.
        value = response.headers.get(name) or checksum_of(raw, algorithm).decode()
        headers[name] = value
        return algorithm, value

    response._get_checksum = get_checksum


def _check(value: Any) -> None:
    """See that a body is there: an object with a part that is missing could not be listed."""
    if isinstance(value, Body):
        value.check()


def _whole(put: Callable[..., Any]) -> Callable[..., Any]:
    """``put_object`` that puts, or copies, no body that is damaged."""

    @functools.wraps(put)
    def put_object(store: Any, *arguments: Any, **named: Any) -> Any:
        for value in (*arguments, *named.values()):
            _check(value)
        return put(store, *arguments, **named)

    return put_object


def _of_an_upload(module: Any, method: Callable[..., Any]) -> Callable[..., Any]:
    """A part of no upload is refused as S3 does it; in moto it is a ``KeyError``."""

    @functools.wraps(method)
    def of_an_upload(
        store: Any, bucket_name: str, multipart_id: str, *rest: Any, **named: Any
    ) -> Any:
        if multipart_id not in store.get_bucket(bucket_name).multiparts:
            raise module.NoSuchUpload(upload_id=multipart_id)
        return method(store, bucket_name, multipart_id, *rest, **named)

    return of_an_upload


@contextmanager
def _kept() -> Iterator[None]:
    _KEPT.depth += 1
    try:
        yield
    finally:
        _KEPT.depth -= 1


def _keeping(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that hands bodies on without looking into them."""

    @functools.wraps(method)
    def keeping(*arguments: Any, **named: Any) -> Any:
        with _kept():
            return method(*arguments, **named)

    return keeping


def _value(key_class: Any) -> None:
    read, write = key_class.value.fget, key_class.value.fset

    def get(key: Any) -> Any:
        held = key._value_buffer
        if type(held) is not BodyFile:
            return read(key)
        return held.body if _KEPT.depth else held.body.read_all()

    def put(key: Any, value: Any) -> None:
        if type(key._value_buffer) is BodyFile:
            key._value_buffer = tempfile.SpooledTemporaryFile(key._max_buffer_size)  # noqa: SIM115 - the key holds it
        if not isinstance(value, Body):
            write(key, value)
        elif len(value) <= INLINE_BYTES:
            write(key, value.read_all())
        else:
            key._value_buffer.close()
            key._value_buffer = BodyFile(value)
            key.contentsize = len(value)

    key_class.value = property(get, put)


def _etag(key_class: Any) -> None:
    of_file = key_class.etag.fget

    def etag(key: Any) -> Any:
        if key._etag is None and type(key._value_buffer) is BodyFile:
            key._etag = key._value_buffer.body.md5()
        return of_file(key)

    key_class.etag = property(etag)


def _complete(module: Any, upload: Any, body: Any) -> tuple[Body, str, Any]:
    """``FakeMultipart.complete``, with the same errors in the same order."""
    algorithm = upload.metadata.get("x-amz-checksum-algorithm")
    builder = module.MultipartChecksumBuilder(algorithm, upload.metadata.get("x-amz-checksum-type"))
    is_composite = builder.checksum_type == "COMPOSITE"
    parts: list[Part] = []
    digests, count, last = hashlib.md5(usedforsecurity=False), 0, None
    for number, etag in body:
        part = upload.parts.get(number)
        found = None if part is None else part.etag.replace('"', "")
        if part is None or found != etag.replace('"', ""):
            raise module.InvalidPart
        if last is not None and last.contentsize < module.S3_UPLOAD_PART_MIN_SIZE:
            raise module.EntityTooSmall
        digests.update(bytes.fromhex(found))
        with _kept():
            value = part.value
        if is_composite:
            builder.addPart(value)
        parts += value.parts if isinstance(value, Body) else [value]
        last, count = part, count + 1
    if count == 0:
        raise module.MalformedXML
    joined = BLOBS.body(part for part in parts if part)
    if is_composite:
        checksum = builder.build()
    else:
        value = checksum_of(joined, builder.checksum_algorithm).decode()
        checksum = builder.checksum_type, value, 1
    return joined, f"{digests.hexdigest()}-{count}", checksum


def _checksum(of_bytes: Callable[..., bytes]) -> Callable[..., bytes]:
    """``compute_checksum`` of a body, too."""

    def compute_checksum(body: Any, algorithm: str, encode_base64: bool = True) -> bytes:  # noqa: FBT001, FBT002 - moto's own
        if isinstance(body, Body):
            return checksum_of(body, algorithm, encode_base64=encode_base64)
        return of_bytes(body, algorithm, encode_base64)

    return compute_checksum


def checksum_of(body: Body, algorithm: str, *, encode_base64: bool = True) -> bytes:
    """What ``compute_checksum`` says of the same bytes, without them in memory."""
    if algorithm not in ("CRC32", "CRC32C", "CRC64NVME"):
        seen = HASHES.get(algorithm, hashlib.sha256)(usedforsecurity=False)
        for data in body.chunks():
            seen.update(data)
        digest = seen.digest()
    else:
        # Where a library is missing moto says CRC-32.
        update, size = crc_of(algorithm) or (binascii.crc32, 4)
        value = 0
        for data in body.chunks():
            value = update(data, value)
        digest = value.to_bytes(size, "big")
    return base64.b64encode(digest) if encode_base64 else digest


def crc_of(algorithm: str) -> tuple[Callable[[bytes, int], int], int] | None:
    """What adds bytes to such a checksum, and its size; None without its library."""
    try:
        if algorithm == "CRC32C":
            return importlib.import_module("crc32c").crc32c, 4
        if algorithm == "CRC64NVME":
            return importlib.import_module("awscrt.checksums").crc64nvme, 8
    except ImportError:
        pass
    return None
