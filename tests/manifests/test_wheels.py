"""The check that every pin of the image has wheels for its platforms, against an index that is a folder of wheels."""

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from requirements.wheels import base_image, main
from tests.manifests.conftest import ROOT

AMD64, ARM64 = "cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_28_aarch64"

Check = Callable[..., int]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Check a pin of a package that has wheels of these tags, all of them by their hashes."""
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))

    def checked(*tags: str, hashed: bool = True) -> int:
        wheels = [_wheel(index, tag) for tag in tags]
        hashes = [hashlib.sha256(wheel.read_bytes() if hashed else b"").hexdigest() for wheel in wheels]
        pins = tmp_path / "pins.txt"
        pins.write_text(f"sample==1.0 {' '.join(f'--hash=sha256:{one}' for one in hashes)}\n")
        return main([str(pins)])

    return checked


def _wheel(folder: Path, tag: str) -> Path:
    path = folder / f"sample-1.0-{tag}.whl"
    metadata = "Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("sample-1.0.dist-info/METADATA", metadata)
        wheel.writestr("sample-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr("sample-1.0.dist-info/RECORD", "")
    return path


def test_a_pin_with_wheels_for_both_platforms_passes(check: Check) -> None:
    assert check(AMD64, "cp310-abi3-manylinux2014_aarch64") == 0


@pytest.mark.parametrize(
    ("tags", "platform"),
    [
        ([AMD64, "cp311-cp311-musllinux_1_2_aarch64", "cp311-cp311-manylinux_2_39_aarch64"], "linux/arm64"),
        ([ARM64, "cp312-cp312-manylinux_2_17_x86_64"], "linux/amd64"),
    ],
)
def test_a_pin_without_a_wheel_that_the_image_can_use_is_named_with_the_platform(
    check: Check, capsys: pytest.CaptureFixture[str], tags: list[str], platform: str
) -> None:
    assert check(*tags) == 1

    said = capsys.readouterr().err
    assert "sample==1.0" in said
    assert [one for one in ("linux/amd64", "linux/arm64") if one in said] == [platform]


def test_a_wheel_that_is_not_the_pinned_one_does_not_count(check: Check) -> None:
    assert check("py3-none-any", hashed=False) == 1


def test_an_index_that_cannot_be_reached_fails_the_check_and_says_what_to_do(
    check: Check, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("PIP_RETRIES", "0")

    assert check("py3-none-any") == 1

    assert "cannot be reached, run this again when it can" in capsys.readouterr().err


def test_the_platforms_are_those_of_the_dockerfiles_base_image() -> None:
    assert base_image((ROOT / "Dockerfile").read_text()) == ("3.11", 36)
    with pytest.raises(LookupError, match="PYTHON_IMAGE"):
        base_image("ARG PYTHON_IMAGE=python:3.11-alpine\n")
