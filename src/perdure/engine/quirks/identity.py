"""Region, account and access key as the gateway classified them.

moto derives them again from host, user agent and headers, differently per service
and without presigned URLs; and it looks every key up in the IAM stores of all
accounts, which creates six of them per request.  The dispatcher hands them over
in the WSGI environment instead.

``last_used`` of a key is noted here and written into IAM when IAM is next called
or saved: else every call of a user with a key would change the IAM store.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import BaseResponse

from perdure.engine.imports import after_import
from perdure.engine.process import ACCOUNTS_BY_KEY, VISITS
from perdure.engine.stores import STORES, QuarantinedError
from perdure.persistence.keys import StoreKey

ACCOUNT, REGION, KEY = "perdure.account", "perdure.region", "perdure.key"


def install() -> None:
    """Hand over what the gateway knows."""
    BaseResponse.get_region_from_url = _region
    BaseResponse.get_current_account = _account
    BaseResponse.get_access_key = _access_key
    after_import("moto.iam.models", _watch_keys)
    after_import("moto.emr.responses", _emr)
    after_import("moto.s3.responses", _s3)


def _region(_: Any, request: Any, __: str) -> str:
    return str(request.environ[REGION])


def _account(response: Any) -> str:
    return str(response.normalized_request.environ[ACCOUNT])


def _access_key(response: Any) -> str:
    return str(response.normalized_request.environ[KEY])


def _emr(module: Any) -> None:
    del module.ElasticMapReduceResponse.get_region_from_url


def _s3(module: Any) -> None:
    """S3 takes the region from the Authorization header only, so presigned URLs lose it."""
    original = module.S3Response.setup_class

    def setup_class(response: Any, request: Any, *arguments: Any, **named: Any) -> None:
        original(response, request, *arguments, **named)
        response.region = request.environ[REGION]

    module.S3Response.setup_class = setup_class


def _watch_keys(module: Any) -> None:
    create = module.AccessKey.__init__

    def init(key: Any, user_name: Any, prefix: str, account_id: str, **named: Any) -> None:
        create(key, user_name, prefix=prefix, account_id=account_id, **named)
        ACCOUNTS_BY_KEY[key.access_key_id] = account_id

    def note_visit(*, account_id: str, access_key: str, service: str, region: str) -> None:
        del account_id  # the key knows it
        if access_key in ACCOUNTS_BY_KEY:
            VISITS[access_key] = (module.utcnow(), service, region)

    module.AccessKey.__init__ = init
    module.mark_account_as_visited = note_visit
    module.get_account_id_from = lambda key: ACCOUNTS_BY_KEY.get(key, module.DEFAULT_ACCOUNT_ID)


def write_visits() -> set[tuple[str, str]]:
    """Write what was noted into IAM's keys and roles, as moto would have.

    Returns:
        Account and partition of the IAM stores that were written to.
    """
    if not VISITS:
        return set()
    import moto.iam.models as iam

    visits = dict(VISITS)
    VISITS.clear()
    written = set()
    for access_key, (when, service, region) in visits.items():
        account = ACCOUNTS_BY_KEY[access_key]
        partition = iam.get_partition(region)
        if StoreKey("iam", account, partition) in STORES.quarantined:
            continue  # its keys cannot be seen, so nobody misses it
        try:
            store = iam.iam_backends[account][partition]
        except QuarantinedError:
            continue  # as above; only its load could tell
        written.add((account, partition))
        key = store.access_keys.get(access_key)
        if key is None:
            continue
        key.last_used = iam.AccessKeyLastUsed(timestamp=when, service=service, region=region)
        if key.role_arn:
            try:
                store.get_role_by_arn(key.role_arn).last_used = when
            except iam.NotFoundException:
                # The role was deleted while its credentials live on.
                continue
    return written


def known_account(access_key: str) -> str | None:
    """The account a key was issued in, or None."""
    return ACCOUNTS_BY_KEY.get(access_key)
