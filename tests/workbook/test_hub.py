"""Uploads to the Hugging Face Hub, of which a server on this machine plays the part."""

import huggingface_hub
import pytest
from huggingface_hub import constants
from workbook.fake_hub import TOKEN, serving

from lesionkit.workbook import hub


@pytest.fixture
def server(monkeypatch):
    with serving() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


@pytest.fixture
def folder(tmp_path):
    for name, content in {"README.md": "---\nlicense: mit\n---\n", "models/a/weights.safetensors": "w" * 3000,
                          "models/a/config.json": "{}", "onnx/a.onnx": "o" * 5000}.items():  # fmt: skip
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_text(content)
    return tmp_path / "model"


def test_every_file_arrives_in_a_private_repository(server, folder):
    hub.ready("owner/name")
    assert hub.push(folder, "owner/name") == f"{server.address}/owner/name"
    asked = server.repositories["owner/name"]  # by old versions as `private`
    assert asked.get("visibility") == "private" or asked.get("private") is True
    assert server.files == {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_repository_that_holds_files_is_left_as_it_is_unless_told_otherwise(server, folder):
    hub.push(folder, "owner/name")
    theirs = {"README.md": b"theirs", "notes.txt": b"theirs", "models/old/config.json": b"{}", "onnx/old.onnx": b"o"}
    server.files = dict(theirs)
    for use in (lambda: hub.ready("owner/name"), lambda: hub.push(folder, "owner/name")):
        with pytest.raises(hub.HubError, match="the repository holds files, such as README.md: give the name of a new one, or --replace"):
            use()
    assert server.files == theirs
    hub.ready("owner/name", replace=True)
    hub.push(folder, "owner/name", replace=True)
    mine = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert server.files == mine | {"notes.txt": b"theirs"}


def test_an_empty_repository_is_as_good_as_a_new_one(server, folder):
    server.repositories["owner/name"] = {}
    hub.ready("owner/name")
    hub.push(folder, "owner/name")
    assert "README.md" in server.files


def test_without_a_token_it_says_how_to_get_one(server, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(hub.HubError, match="hf auth login.*HF_TOKEN"):
        hub.ready("owner/name")


@pytest.mark.parametrize("repo", ["name", "a/b/c", "owner/na me", "owner/-name", ""])
def test_a_name_that_is_none_is_refused(server, repo):
    with pytest.raises(hub.HubError, match="is no name on the Hub"):
        hub.ready(repo)


def test_without_a_network_it_says_so_and_how_to_upload_later(folder, monkeypatch):
    with serving() as gone:
        address = gone.address
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(hub.HubError, match="the Hugging Face Hub cannot be used .*Connect"):
        hub.ready("owner/name")
    with pytest.raises(hub.HubError, match=f"the upload failed .*\n.*hf upload owner/name {folder}"):
        hub.push(folder, "owner/name")


def test_a_token_that_is_not_taken_is_named_before_anything_is_exported(server, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    with pytest.raises(hub.HubError, match="cannot be used"):
        hub.ready("owner/name")
