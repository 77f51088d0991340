"""check, config and version: no server needed."""

import sys
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from perdure import __version__
from perdure.config import SETTINGS
from perdure.errors import StateError


@dataclass
class Report:
    verdict: str = "clean"
    stores: int = 3
    cut: int = 42
    records: int = 2
    notes: list = field(default_factory=list)
    findings: list = field(default_factory=list)

    def to_json(self):
        return {"verdict": self.verdict, "stores": self.stores}


@pytest.fixture
def checked(monkeypatch):
    """Replaces the check; yields the report it gives and the paths it was given."""
    report, paths = Report(), []

    def check_directory(path, running, *, fingerprint, environment):
        paths.append(path)
        return report

    module = SimpleNamespace(check_directory=check_directory)
    monkeypatch.setitem(sys.modules, "perdure.persistence.check", module)
    return SimpleNamespace(report=report, paths=paths, module=module)


def damage(report):
    report.verdict = "damaged"
    report.findings.append(
        SimpleNamespace(path="a/s3.state", verdict="damaged", reason="CRC [x]", hint="restore it")
    )


def test_check_of_a_clean_directory_exits_with_0(perdure, checked, tmp_path):
    """A clean verdict is success and names stores and cut."""
    found = perdure("check", str(tmp_path))

    assert found.code == 0
    assert found.out.startswith(f"{tmp_path}: clean; stores: 3, cut: 42, records behind it: 2\n")
    # What a clean verdict does not say is said.
    assert found.out.endswith("calls not replayed (a start does that)\n")
    assert checked.paths == [tmp_path]


def test_check_of_a_damaged_directory_exits_with_30_and_lists_all(perdure, checked, tmp_path):
    """Every finding is shown with file, reason and next step, word for word."""
    damage(checked.report)

    found = perdure("check", str(tmp_path))

    assert found.code == 30
    for word in ("a/s3.state", "damaged", "CRC [x]", "restore it"):
        assert word in found.out


def test_check_of_a_torn_journal_exits_with_0_and_says_so(perdure, checked, tmp_path):
    """What a crash leaves is no damage: the next start cuts it."""
    checked.report.verdict = "torn"
    checked.report.notes.append(
        SimpleNamespace(path="journal/1.wal", verdict="torn", reason="record 7", hint="nothing")
    )
    found = perdure("check", str(tmp_path))

    assert found.code == 0
    assert "record 7" in found.out


@pytest.mark.parametrize(("damaged", "code"), [(False, 0), (True, 30)])
def test_check_as_json_is_the_report(perdure, checked, tmp_path, damaged, code):
    """`--json` prints the report's own JSON, with the same exit codes."""
    if damaged:
        damage(checked.report)

    found = perdure("check", str(tmp_path), "--json")

    assert (found.code, found.data) == (code, checked.report.to_json())


def test_check_of_what_cannot_be_read_is_an_error(perdure, checked, tmp_path):
    """When nothing can be read there is no verdict but the error's exit code."""

    def refuse(path, running, *, fingerprint, environment):
        raise StateError(f"{path}: nothing here")

    checked.module.check_directory = refuse
    found = perdure("check", str(tmp_path), "--json")

    assert (found.code, found.out) == (20, "")
    assert "nothing here" in found.err


def test_config_shows_every_setting_with_its_source(perdure, monkeypatch):
    """Every variable is there, with the value in effect and where it is from."""
    monkeypatch.setenv("LOCALSTACK_DEBUG", "1")

    found = perdure("config", "--json", "--data-dir", "/data")

    assert found.code == 0
    rows = {row["name"]: row for row in found.data}
    assert list(rows) == [setting.name for setting in SETTINGS]
    assert (rows["DEBUG"]["value"], rows["DEBUG"]["source"]) == (
        "1",
        "environment (LOCALSTACK_DEBUG)",
    )
    assert (rows["DATA_DIR"]["value"], rows["DATA_DIR"]["source"]) == ("/data", "flag")


def test_config_table_names_every_variable(perdure):
    """The table for people is as complete as the one for scripts."""
    found = perdure("config")

    for setting in SETTINGS:
        assert f" {setting.name} " in found.out


def test_version_names_engine_too(perdure):
    """A report of a fault needs the versions of Perdure, moto and Python."""
    found = perdure("version", "--json")

    assert found.data["perdure"] == __version__
    assert set(found.data) == {"perdure", "moto", "python"}
    assert perdure("version").out.startswith(f"perdure {__version__}, moto ")
