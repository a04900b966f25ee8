"""A local server in place of the official ones, and the command that fetches from it."""

import functools

import pytest

from lesionkit import cli
from lesionkit.data import downloading, releases

from .published import dataverse, isic2018_test, isic2019
from .server import Site, serving


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloading, "Client", functools.partial(downloading.Client, sleep=lambda seconds: None))
    with serving(Site(dataverse() | isic2019() | isic2018_test())) as site:
        for host in releases.HOSTS:
            monkeypatch.setitem(releases.HOSTS, host, site.address)
        yield site


@pytest.fixture
def call(capsys):
    """Call `lesionkit data fetch`; returns its exit code, stdout and stderr."""

    def call(*args):
        with pytest.raises(SystemExit) as left:
            cli.main(["data", "fetch", *map(str, args)])
        return (left.value.code or 0, *capsys.readouterr())

    return call
