"""The start warns of state that ends with its container."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure.gateway.container import mount_of, warning

DIGITS = "0123456789abcdef" * 4
LAYER = "400 360 0:51 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u\n"
PROC = "401 400 0:54 / /proc rw,nosuid - proc proc rw\n"


def mount(root, point, kind="ext4", tags=""):
    return f"410 400 8:1 {root} {point} rw,relatime {tags}- {kind} /dev/sda1 rw\n"


@pytest.fixture
def told(tmp_path):
    """What is said of a state directory under these mounts."""

    def tell(state_dir, *lines):
        listed = tmp_path / "mountinfo"
        listed.write_text("".join([LAYER, PROC, *lines]))
        return warning(Path(state_dir), mounts=listed)

    return tell


VOLUME = "/var/lib/localstack"
STATE = f"{VOLUME}/state"


def test_own_layer(told):
    """State that no mount covers is in the container's layer, and the way out is named."""
    said = told(STATE)
    assert "own layer" in said
    assert f"--volume perdure:{STATE}" in said
    # An engine takes no relative path.
    assert f"--volume perdure:{Path.cwd()}/.perdure`" in told(".perdure")


@pytest.mark.parametrize(
    "line",
    [
        mount("/home/me/volume", VOLUME),
        mount("/var/lib/docker/volumes/perdure/_data", VOLUME, tags="master:1 "),
        mount("/", VOLUME, "nfs4"),
        mount("/home/me/state", STATE),
        mount("/home/me", "/var"),
    ],
)
def test_on_a_mount(told, line):
    """A folder of the host, a named volume or another file system outlives the container."""
    assert told(STATE, line) is None


@pytest.mark.parametrize(
    "root", [f"/var/lib/docker/volumes/{DIGITS}/_data", f"/v/volumes/{DIGITS}"]
)
def test_volume_without_a_name(told, root):
    """An anonymous volume goes with the container."""
    assert "without a name" in told(STATE, mount(root, VOLUME))


def test_in_memory(told):
    """A tmpfs is gone with the container, too."""
    assert "in memory" in told("/tmp/state", mount("/", "/tmp", "tmpfs"))


def test_the_closest_and_latest_mount_counts(told):
    """A mount below another hides it, and of two at one place the later one does."""
    host = mount("/home/me", VOLUME)
    assert "in memory" in told(STATE, mount("/", STATE, "tmpfs"), host)
    assert "in memory" in told(STATE, host, mount("/", VOLUME, "tmpfs"))
    assert told(STATE, mount("/", VOLUME, "tmpfs"), host) is None


def test_a_name_that_begins_alike_is_no_parent(told):
    """A mount at ``/var/lib/local`` does not cover ``/var/lib/localstack``."""
    assert "own layer" in told(STATE, mount("/home", "/var/lib/local"))


def test_spaces_are_escaped():
    """The kernel writes a space in a path as an octal number."""
    found = mount_of(Path("/a b/state"), mount("/x\\040y", "/a\\040b"))
    assert (found.point, found.root) == (Path("/a b"), "/x y")


def test_no_list_of_mounts(tmp_path):
    """Where the kernel lists no mounts nothing is claimed."""
    assert warning(tmp_path, mounts=tmp_path / "missing") is None


def test_this_machine_has_a_list():
    """The kernel's own list is understood: something covers every path."""
    if Path("/proc/self/mountinfo").exists():
        assert mount_of(Path("/"), Path("/proc/self/mountinfo").read_text()) is not None
