"""One AWS call and its answer, as gateway and engine hand them to each other."""

from __future__ import annotations

from dataclasses import dataclass

from perdure.engine.services import Service
from perdure.persistence.body import Body

Headers = list[tuple[str, str]]


@dataclass(slots=True)
class Call:
    """One request, classified.

    Attributes:
        service: Who answers it.
        operation: The AWS operation, or ``METHOD path`` where only moto's router
            knows it.
        account: 12 digits.
        region: Such as ``us-east-1``.
        access_key: As the client sent it, or a placeholder.
        method: Upper case.
        scheme: http or https.
        host: The Host header, with port.
        path: As it arrived, still percent-encoded, virtual host names resolved.
        query: As it arrived, without ``?``.
        headers: Names in lower case.
        body: Whole, de-chunked; a large one of S3's is in blobs.
        form: Whether the operation came as a form field, not as a header.
    """

    service: Service
    operation: str
    account: str
    region: str
    access_key: str
    method: str
    scheme: str
    host: str
    path: str
    query: str
    headers: Headers
    body: bytes | Body
    form: bool = False

    @property
    def protocol(self) -> str:
        """What errors are shaped like: SQS and others speak JSON and forms."""
        if self.form and self.service.protocol != "ec2":
            return "query"
        return self.service.protocol


@dataclass(slots=True)
class Answer:
    """What goes back: status, headers, body, which may be in blobs."""

    status: int
    headers: Headers
    body: bytes | Body
