"""Files that should be something else are called what they are."""

import pytest

from medprobclip.support.downloads import check_downloaded, not_downloaded

FILES = {
    "pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n",
        "Git LFS.*git lfs pull",
    ),
    "page": (b"\n <!DOCTYPE html>\n<html><title>Sign in</title></html>", "web page"),
    "other page": (b"<html lang=en><head>", "web page"),
    "refusal": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "error message"),
    "xhtml": (b"<?xml version='1.0'?><!DOCTYPE html PUBLIC>", "web page"),
    "commented": (b"<!-- x --><!DOCTYPE html>", "web page"),
    "utf-16": ("<html>".encode("utf-16"), "web page"),
    "hub": (b"Entry not found", "error message"),
    "api": (b'{"error":"denied"}', "error message"),
    "nothing": (b"", "empty"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_it_is(tmp_path, name):
    content, reason = FILES[name]
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(OSError, match=rf"model\.safetensors is .*{reason}|model\.safetensors .*{reason}"):
        check_downloaded(tmp_path)


@pytest.mark.parametrize(
    "content", [b"{}", b"\x89PNG\r\n", b"study_id,findings\n", b"<?xml version='1.0'?><svg/>"]
)
def test_what_may_be_a_download(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    assert not_downloaded(tmp_path / "config.json") is None
    check_downloaded(tmp_path)


def test_a_name_of_the_hub_is_left_alone():
    check_downloaded("microsoft/some-model")
