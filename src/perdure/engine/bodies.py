"""Where the bodies of this process' objects lie: one store of blobs, or none.

A server sets it before anything is loaded.  Without one, as in tests of the engine alone, no
body comes in blobs, and none can be loaded that does.
"""

from __future__ import annotations

from collections.abc import Iterable

from perdure.persistence.blobs import Blob, BlobStore
from perdure.persistence.body import Body, Part
from perdure.persistence.keys import Lsn

# A smaller body is kept in the object itself, as moto does.
INLINE_BYTES = 256 << 10


class Blobs:
    """What the engine does with blobs."""

    store: BlobStore | None = None

    def body(self, parts: Iterable[Part]) -> Body:
        """A body made of ``parts``; ``LookupError`` where no blobs are kept."""
        if self.store is None:
            raise LookupError("its bodies are blobs, and no folder of blobs is open")
        return Body(self.store, parts)

    def recorded(self, blobs: Iterable[Blob], lsn: Lsn) -> None:
        """Note that a record names blobs."""
        if self.store is not None:
            self.store.recorded((blob.name for blob in blobs), lsn)

    def md5_of(self, blobs: tuple[Blob, ...]) -> str | None:
        """The MD5 of a body made of these, if it is known without reading them."""
        if self.store is None or len(blobs) != 1:
            return None
        return self.store.md5_of(blobs[0].name)

    def note_md5(self, blobs: tuple[Blob, ...], digest: str | None) -> None:
        """Note what ``md5_of`` said in the process that wrote the journal."""
        if self.store is not None and digest is not None and len(blobs) == 1:
            self.store.note_md5(blobs[0].name, digest)

    def check(self, blobs: Iterable[Blob]) -> None:
        """See that each is there and as long as it should be; raises as ``BlobStore.check``."""
        if self.store is not None:
            for blob in blobs:
                self.store.check(blob)

    def pend(self, blobs: Iterable[Blob]) -> None:
        """Note blobs that may be in the page cache only."""
        if self.store is not None:
            self.store.pend(blob.name for blob in blobs)


BLOBS = Blobs()
