"""S3: the objects of a bucket, as rows with their JSON.

moto keeps ``FakeBucket.keys[name]``, a list of versions.  A row is found by the name; its
value is that list, of each version what makes it differ from any other:

    [{"name": "a.txt", …, "_etag": "…", "_value_buffer": {"!": "file", "text": "hello", …}}]

So an object whose body lies in blobs has no row, nor has a delete marker: whoever sweeps
blobs goes by what graphs name.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from perdure.engine.collections.forms import Forms
from perdure.engine.collections.named import Named, OfDict

KEYS = "keys"
KIND = "s3.objects"
_OWNER = "75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a"
_PRIVATE = {
    "!": "FakeAcl",
    "grants": [
        {
            "!": "FakeGrant",
            "grantees": [{"!": "FakeGrantee", "id": _OWNER, "uri": "", "display_name": ""}],
            "permissions": ["FULL_CONTROL"],
        }
    ],
}
_RESTORING = [
    {"!": "tuple", "of": [None, "IN_PROGRESS"]},
    {"!": "tuple", "of": ["IN_PROGRESS", "RESTORED"]},
]
# In the order in which ``FakeKey.__init__`` sets them; ... = each has its own.
_USUAL: dict[str, Any] = {
    "_transitions": _RESTORING,
    "_status": None,
    "_tick": 0,
    "_time_progressed": ...,
    "model_name": "s3::keyrestore",
    "name": ...,
    "account_id": ...,
    "region_name": ...,
    "partition": "aws",
    "last_modified": ...,
    "acl": _PRIVATE,
    "website_redirect_location": None,
    "checksum_algorithm": None,
    "_storage_class": "STANDARD",
    "_metadata": {
        "!": "LowercaseDict",
        "store": {"content-type": "binary/octet-stream"},
    },
    "_expiry": None,
    "_etag": ...,
    "_version_id": None,
    "_is_versioned": False,
    "multipart": None,
    "bucket_name": ...,
    "_max_buffer_size": 5241856,
    "_value_buffer": ...,
    "disposed": False,
    "contentsize": ...,
    "lock": {"!": "lock"},
    "encryption": None,
    "kms_key_id": None,
    "bucket_key_enabled": None,
    "lock_mode": None,
    "lock_legal_status": None,
    "lock_until": None,
    "checksum_value": None,
    "checksum_type": None,
    "checksum_parts": None,
}
FORMS = Forms(
    "moto.s3.models:FakeKey",
    _USUAL,
    parts={
        "FakeAcl": "moto.s3.models:FakeAcl",
        "FakeGrant": "moto.s3.models:FakeGrant",
        "FakeGrantee": "moto.s3.models:FakeGrantee",
        "LowercaseDict": "moto.utilities.utils:LowercaseDict",
    },
    # A put gives an object its bucket's own.
    values=frozenset({"FakeAcl", "FakeGrant", "FakeGrantee"}),
)


@cache
def objects_class() -> type:
    """The class of such collections; imports moto's S3."""
    from moto.s3.utils import _VersionedKeyStore

    base: Any = object if TYPE_CHECKING else _VersionedKeyStore

    class Objects(Named, base, OfDict):  # type: ignore[misc]
        """All objects of a bucket, by name."""

        kind = KIND
        forms = FORMS
        moto_class = _VersionedKeyStore

        def name_by(self, holder: Any) -> str:
            return str(holder.name)

        def bare(self) -> Any:
            return _VersionedKeyStore()

        def _self_iterable(self) -> dict[str, Any]:
            # moto's copies past all methods.
            self.bring_all()
            return dict(dict.items(self))

    return Objects


def adopt(bucket: Any) -> None:
    """Let a bucket's objects be a collection, if they are what moto makes."""
    cls: Any = objects_class()
    held = bucket.__dict__.get(KEYS)
    if type(held) is cls.moto_class:
        made = cls()
        made.adopt(held)
        held = bucket.__dict__[KEYS] = made
    if type(held) is cls:
        held.holder = bucket
