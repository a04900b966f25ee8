"""This machine as a host of notebooks."""

import tempfile

import pytest

from lesionkit.workbook import hosts


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Makes this machine a host whose root is tmp_path, with notebooks working where the host has them work."""

    def host(variable):
        for names in hosts.VARIABLES.values():
            for name in names:
                monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(variable, "x")
        monkeypatch.setattr(hosts, "ROOT", tmp_path)
        (tmp_path / "tmp").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
        working = tmp_path / ("kaggle/working" if variable.startswith("KAGGLE") else "content")
        working.mkdir(parents=True)
        monkeypatch.chdir(working)
        return working

    return host
