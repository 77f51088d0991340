"""The table of services says what botocore and moto say."""

from __future__ import annotations

import importlib.util
import json

from perdure.engine import services
from perdure.engine.services import TABLE_PATH, all_services, by_name, by_signing, module_names


def test_the_table_is_fresh() -> None:
    """services.json is what the installed botocore and moto generate."""
    assert json.loads(TABLE_PATH.read_text()) == services.generate()


def test_every_module_exists() -> None:
    """Each module of the table has routes in moto."""
    for module in module_names():
        assert importlib.util.find_spec(f"moto.{module}.urls") is not None, module


def test_every_service_is_found_by_all_its_names() -> None:
    """Name, module and signing name each lead to the service."""
    for service in all_services():
        assert by_name()[service.name] == service
        assert by_name()[service.module].module == service.module
        assert service in by_signing()[service.signing.lower()]
    for alias in services.ALIASES:
        assert by_signing()[alias]
