"""The settings table: what is read, from where, and what is refused."""

from pathlib import Path

import pytest

from perdure import config
from perdure.config import SETTINGS, Address, LoadStrategy, SaveStrategy
from perdure.errors import ConfigError


@pytest.fixture(autouse=True)
def on_a_host(monkeypatch):
    monkeypatch.setattr(config, "CONTAINER_MARKS", ())


def test_empty_environment_gives_every_default():
    """Without variables each setting has its documented default."""
    found = config.load({})

    assert found.state_dir is None
    assert found.snapshot_save_strategy is SaveStrategy.JOURNAL
    assert found.snapshot_load_strategy is LoadStrategy.ON_REQUEST
    assert found.snapshot_flush_interval == 15
    assert found.gateway_listen == (Address("127.0.0.1", 4566),)
    assert found.services is None
    assert found.log_level == "info"
    assert set(found.sources.values()) == {"default"}


def test_flag_wins_over_plain_name_over_prefixed_name():
    """Precedence is: flag, environment, environment with the prefix, default."""
    prefixed = {"LOCALSTACK_DATA_DIR": "/c"}
    plain = {**prefixed, "DATA_DIR": "/b"}

    found = [
        config.load(prefixed),
        config.load(plain),
        config.load(plain, {"DATA_DIR": "/a"}),
    ]

    assert [(str(one.data_dir), one.sources["DATA_DIR"]) for one in found] == [
        ("/c", "environment (LOCALSTACK_DATA_DIR)"),
        ("/b", "environment (DATA_DIR)"),
        ("/a", "flag"),
    ]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_empty_variable_counts_as_not_set(setting):
    """A variable that a compose file passes on empty or blank gives the default."""
    assert config.load({setting.name: ""}) == config.load({setting.name: " "}) == config.load({})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATA_DIR", "~no-such-user-here/state"),
        ("PERSISTENCE", "yes"),
        ("SNAPSHOT_SAVE_STRATEGY", "sometimes"),
        ("SNAPSHOT_LOAD_STRATEGY", "SCHEDULED"),
        ("SNAPSHOT_FLUSH_INTERVAL", "0"),
        ("SNAPSHOT_FLUSH_INTERVAL", "nan"),
        ("SNAPSHOT_FLUSH_INTERVAL", "15s"),
        ("GATEWAY_LISTEN", "4566"),
        ("GATEWAY_LISTEN", "127.0.0.1:65536"),
        ("GATEWAY_LISTEN", "127.0.0.1:4566,"),
        ("EAGER_SERVICE_LOADING", "2"),
        ("ALLOW_NONSTANDARD_REGIONS", "on"),
        ("DEFAULT_REGION", "../x"),
        ("DEBUG", "maybe"),
        ("LS_LOG", "loud"),
        ("PERDURE_INIT_ON", "sometimes"),
        ("LOCALSTACK_HOST", "http://localhost:4566"),
        ("LOCALSTACK_HOST", "localhost:x"),
        ("LOCALSTACK_HOST", "local host"),
        ("EXTRA_CORS_ALLOWED_ORIGINS", "app.example"),
        ("TMPDIR", "/no/such/folder"),
        ("EDGE_PORT", "65536"),
        ("EDGE_BIND_HOST", "0.0.0.0:4566"),
    ],
)
def test_value_not_understood_is_refused_by_name(variable, value):
    """A wrong value stops the start with exit code 2 and names variable, value and choices."""
    with pytest.raises(ConfigError) as caught:
        config.load({variable: value})

    assert (caught.value.variable, caught.value.value) == (variable, value)
    assert caught.value.exit_code == 2
    assert caught.value.allowed in str(caught.value)


def test_every_setting_with_choices_refuses_some_value():
    """No setting but free text takes anything at all."""
    free_text = {"DATA_DIR", "SERVICES", "CUSTOM_SSL_CERT_PATH", "PERDURE_INIT_DIR"}
    free_text |= {"LOCALSTACK_VOLUME_DIR", "HOST_TMP_FOLDER"}
    for setting in SETTINGS:
        if setting.name not in free_text:
            with pytest.raises(ConfigError):
                config.load({setting.name: "no such value!"})


def test_persistence_alone_puts_the_state_into_the_volume(tmp_path, monkeypatch):
    """PERSISTENCE=1 means <volume>/state; the container's volume counts where it exists."""
    monkeypatch.setattr(config, "VOLUME_IN_CONTAINER", tmp_path / "absent")
    assert config.load({"PERSISTENCE": "1"}).state_dir == Path("volume/state")

    monkeypatch.setattr(config, "VOLUME_IN_CONTAINER", tmp_path)
    assert config.load({"PERSISTENCE": "1"}).state_dir == tmp_path / "state"


def test_data_dir_alone_switches_persistence_on():
    """DATA_DIR names the state directory, whatever PERSISTENCE says."""
    found = config.load({"DATA_DIR": "/data", "PERSISTENCE": "0"})

    assert found.state_dir == Path("/data")


def test_volume_may_be_named(tmp_path, monkeypatch):
    """LOCALSTACK_VOLUME_DIR is the volume of a host; in a container its path means nothing."""
    monkeypatch.setattr(config, "VOLUME_IN_CONTAINER", tmp_path / "absent")
    environ = {"PERSISTENCE": "1", "LOCALSTACK_VOLUME_DIR": "/srv/volume"}
    assert config.load(environ).state_dir == Path("/srv/volume/state")

    mark = tmp_path / ".dockerenv"
    mark.touch()
    monkeypatch.setattr(config, "CONTAINER_MARKS", (mark,))
    assert config.load(environ).state_dir == Path("volume/state")


@pytest.mark.parametrize(
    ("environ", "host"),
    [
        ({}, None),
        ({"LOCALSTACK_HOST": "ls"}, "ls:4566"),
        ({"LOCALSTACK_HOST": "ls", "GATEWAY_LISTEN": "0.0.0.0:4510,0.0.0.0:443"}, "ls:4510"),
        ({"LOCALSTACK_HOST": "localhost.localstack.cloud:443"}, "localhost.localstack.cloud:443"),
        ({"LOCALSTACK_HOST": "[::1]:80"}, "[::1]:80"),
        ({"LOCALSTACK_HOST": "[::1]"}, "[::1]:4566"),
        ({"HOSTNAME_EXTERNAL": "old"}, "old:4566"),
        ({"HOSTNAME_EXTERNAL": "old", "LOCALSTACK_HOST": "new"}, "new:4566"),
        # The prefix before HOST is a name of its own, and so is what begins like it.
        ({"LOCALSTACK_HOSTNAME_EXTERNAL": "x", "LOCALSTACK_LOCALSTACK_HOST": "y"}, None),
    ],
)
def test_host_that_is_handed_out(environ, host):
    """LOCALSTACK_HOST gets the gateway's port where it names none; the older name still works."""
    assert config.load(environ).public_host == host


@pytest.mark.parametrize(
    ("environ", "listen"),
    [
        ({"EDGE_PORT": "4510"}, "127.0.0.1:4510"),
        ({"EDGE_BIND_HOST": "0.0.0.0"}, "0.0.0.0:4566"),
        ({"LOCALSTACK_EDGE_BIND_HOST": "0.0.0.0", "EDGE_PORT": "1"}, "0.0.0.0:1"),
        ({"EDGE_PORT": "4510", "GATEWAY_LISTEN": "127.0.0.1:2"}, "127.0.0.1:2"),
    ],
)
def test_older_names_of_the_address(environ, listen):
    """EDGE_PORT and EDGE_BIND_HOST count where GATEWAY_LISTEN is not set."""
    assert shown(config.load(environ))["GATEWAY_LISTEN"] == listen


def test_container_listens_on_all_interfaces_unless_told_otherwise(tmp_path, monkeypatch):
    """In a container the default address is reachable from outside; a given one wins."""
    mark = tmp_path / ".dockerenv"
    mark.touch()
    monkeypatch.setattr(config, "CONTAINER_MARKS", (mark,))

    assert config.load({}).gateway_listen == (Address("0.0.0.0", 4566),)
    given = config.load({"GATEWAY_LISTEN": "127.0.0.1:1"})
    assert given.gateway_listen == (Address("127.0.0.1", 1),)


def test_addresses_are_read_in_order_and_written_back_alike():
    """Several addresses, IPv6 among them, are shown as they are typed."""
    text = "127.0.0.1:4566,[::1]:443,0.0.0.0:0"

    found = config.load({"GATEWAY_LISTEN": text})

    assert found.gateway_listen[1] == Address("::1", 443)
    assert shown(found)["GATEWAY_LISTEN"] == text


def test_services_are_a_set_of_lower_case_names():
    """Case, spaces and empty parts do not matter in SERVICES."""
    found = config.load({"SERVICES": " S3, sqs,,"})

    assert found.services == {"s3", "sqs"}


@pytest.mark.parametrize(
    ("environ", "level"),
    [
        ({"DEBUG": "1", "LS_LOG": "error"}, "debug"),
        ({"LS_LOG": "trace"}, "debug"),
        ({"LS_LOG": "WARN"}, "warning"),
        ({"DEBUG": "false"}, "info"),
    ],
)
def test_debug_wins_over_the_log_level(environ, level):
    """DEBUG=1 means debug; otherwise LS_LOG counts, in LocalStack's spellings too."""
    assert config.load(environ).log_level == level


def test_shown_values_can_be_typed_back():
    """What `perdure config` shows is what the variables would have to hold."""
    environ = {
        "DATA_DIR": "/data",
        "PERSISTENCE": "1",
        "SNAPSHOT_SAVE_STRATEGY": "MANUAL",
        "SNAPSHOT_FLUSH_INTERVAL": "0.5",
        "SERVICES": "s3,sqs",
    }
    found = config.load(environ)

    again = config.load(shown(found))

    assert {name: shown(found)[name] for name in environ} == environ
    assert shown(again) == shown(found)


def shown(found):
    return {row["name"]: row["value"] for row in config.shown(found)}
