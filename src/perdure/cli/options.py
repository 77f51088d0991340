"""Flags, and the settings they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perdure import config
from perdure.config import Address, Config
from perdure.config import reachable as reachable_address
from perdure.errors import ConfigError

FLAGS = {
    "DATA_DIR": "--data-dir",
    "GATEWAY_LISTEN": "--listen",
    "SNAPSHOT_SAVE_STRATEGY": "--save-strategy",
    "SNAPSHOT_LOAD_STRATEGY": "--load-strategy",
    "SNAPSHOT_FLUSH_INTERVAL": "--flush-interval",
    "SERVICES": "--services",
    "DEBUG": "--debug",
    "PERDURE_INIT_DIR": "--init-dir",
}
"""The settings that `perdure start` also takes as a flag."""

# Flags carry the text as typed: the settings table parses it, so that a wrong
# value gets the same message whether it came as a flag or from the environment.
_MEANINGS = {setting.name: setting.meaning for setting in config.SETTINGS}


def _setting(variable: str, metavar: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        FLAGS[variable], metavar=metavar, help=f"{variable}: {_MEANINGS[variable]}"
    )
    return option


DataDir = Annotated[str | None, _setting("DATA_DIR", "DIR")]
Listen = Annotated[str | None, _setting("GATEWAY_LISTEN", "HOST:PORT")]
SaveStrategy = Annotated[str | None, _setting("SNAPSHOT_SAVE_STRATEGY", "WHEN")]
LoadStrategy = Annotated[str | None, _setting("SNAPSHOT_LOAD_STRATEGY", "WHEN")]
FlushInterval = Annotated[str | None, _setting("SNAPSHOT_FLUSH_INTERVAL", "SECONDS")]
Services = Annotated[str | None, _setting("SERVICES", "NAMES")]
Debug = Annotated[bool, typer.Option(FLAGS["DEBUG"], help=f"DEBUG: {_MEANINGS['DEBUG']}")]
InitDir = Annotated[str | None, _setting("PERDURE_INIT_DIR", "DIR")]

Server = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        help="Which server is meant; GATEWAY_LISTEN when left out.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="How long to wait.")
]
Service = Annotated[
    str | None, typer.Argument(metavar="[SERVICE]", help="One service; all when left out.")
]


def overrides(**flags: str | None) -> dict[str, str]:
    """The flags that were given, by the variable they override."""
    return {variable: text for variable, text in flags.items() if text is not None}


def as_arguments(given: dict[str, str]) -> list[str]:
    """The flags again, for the command line of a detached server."""
    arguments: list[str] = []
    for variable, text in given.items():
        if variable == "DEBUG":
            arguments.append(FLAGS[variable])
        else:
            arguments += [FLAGS[variable], text]
    return arguments


def settings(listen: str | None) -> Config:
    """The settings as a command sees them that takes no flag but ``--listen``."""
    return config.load(overrides=overrides(GATEWAY_LISTEN=listen))


def reachable(config: Config) -> Address:
    """The address by which this machine reaches the server."""
    return reachable_address(config.gateway_listen[0])


def state_dir_or_refuse(config: Config, given: str | None) -> Path:
    """The state directory that was given, or else the one the settings name.

    Raises:
        ConfigError: None is named, since persistence is off.
    """
    if given is not None:
        return Path(given).expanduser()
    if config.state_dir is None:
        raise ConfigError("DATA_DIR", "", "the path of a state directory")
    return config.state_dir
