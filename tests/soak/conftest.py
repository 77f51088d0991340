"""Servers as the integration tests start them."""

from __future__ import annotations

from tests.integration.conftest import (  # noqa: F401 - fixtures of this folder
    _no_credentials_of_this_user,
    start,
    start_in_module,
)
