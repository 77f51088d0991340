"""Variables that have no effect are named, with the reason, and no secret is shown."""

import pytest

from perdure import ignored
from perdure.config import SETTINGS, names_of


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("LAMBDA_EXECUTOR", "Docker"),
        ("LOCALSTACK_LAMBDA_RUNTIME_ENVIRONMENT_TIMEOUT", "Docker"),
        ("LOCALSTACK_AUTH_TOKEN", "licence"),
        ("ACTIVATE_PRO", "licence"),
        ("USE_SSL", "TLS"),
        ("AUTO_LOAD_POD", "pods"),
        ("PERSIST_ALL", "everything is kept"),
        ("DOCKER_FLAGS", "containers"),
        ("LOCALSTACK_NO_SUCH_THING", "no setting"),
        ("SNAPSHOT_FLUSH_INTERVALL", "no setting"),
    ],
)
def test_what_is_set_and_not_used_is_named(name, reason):
    """A variable of LocalStack's that does nothing here is listed with why."""
    (found,) = ignored.found({name: "1", "HOME": "/root", "DOCKER_HOST": "x"})

    assert found.name == name
    assert reason in found.why


def test_what_is_used_or_blank_is_not_named():
    """No setting of ours, and nothing a compose file passes on blank, is called unused."""
    environ = {name: "1" for setting in SETTINGS for name in names_of(setting)}

    assert ignored.found({**environ, "LAMBDA_EXECUTOR": " ", "LOCALSTACK_API_KEY": ""}) == []


def test_secrets_are_not_shown():
    """The value of a token or a key stays where it is."""
    found = ignored.found({"LOCALSTACK_AUTH_TOKEN": "ls-abc", "LOCALSTACK_API_KEY": "def"})

    assert "abc" not in str(found)
    assert "def" not in str(found)


def test_no_setting_is_called_unused():
    """The table names nothing that Perdure reads."""
    ours = {name for setting in SETTINGS for name in names_of(setting)}

    assert ours.isdisjoint(name for name, _ in ignored.IGNORED)
