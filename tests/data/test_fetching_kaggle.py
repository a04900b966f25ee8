"""`lesionkit data fetch --source kaggle`, with and without a token, and without its package."""

import os
import sys
import types

import pytest

HANDLE = "kmader/skin-cancer-mnist-ham10000"


@pytest.fixture
def kagglehub(monkeypatch):
    """In place of the package: it fetches nothing, and what it is `given` it notes; it asks for no token, as of public data."""
    hub = types.ModuleType("kagglehub")
    hub.given = []
    hub.dataset_download = lambda handle: hub.given.append(handle) or os.environ["KAGGLEHUB_CACHE"] + "/versions/2"
    for name in ("KAGGLE_KERNEL_RUN_TYPE", "KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLEHUB_CACHE", "mine")
    monkeypatch.setitem(sys.modules, "kagglehub", hub)
    monkeypatch.setitem(sys.modules, "kagglehub.config", None)  # whether there is a token is the package's to ask
    return hub


def failing(error):
    def download(handle):
        raise error

    return download


def test_kaggle_is_asked_without_a_token(call, tmp_path, kagglehub):
    code, out, _ = call("ham10000", "--to", tmp_path, "--source", "kaggle")
    assert code == 0 and "CC BY-NC-SA 4.0" in out and out.endswith(f"data check {tmp_path / 'kaggle' / 'versions' / '2'}\n")
    assert kagglehub.given == [HANDLE] and os.environ["KAGGLEHUB_CACHE"] == "mine"


@pytest.mark.parametrize("error", [RuntimeError("403 Client Error"), ValueError("Invalid Kaggle credentials file at k.json")])
def test_what_kaggle_refuses_is_said_with_the_ways_on(call, tmp_path, kagglehub, error):
    kagglehub.dataset_download = failing(error)
    code, _, err = call("ham10000", "--to", tmp_path, "--source", "kaggle")
    assert code == 1 and f"{HANDLE} did not come: {error}." in err
    assert "set KAGGLE_API_TOKEN" in err and "By hand" in err and "--source:" not in err


def test_its_package_is_named_where_it_is_not_there(call, tmp_path, kagglehub, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    code, _, err = call("ham10000", "--to", tmp_path, "--source", "kaggle")
    assert code == 1 and "pip install 'lesionkit[kaggle]'" in err and kagglehub.given == []
