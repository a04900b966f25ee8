"""Energy by a stand-in for codecarbon; by codecarbon itself where it is installed."""

import sys
import types

import pytest

from lesionkit.workbook import energy


@pytest.fixture
def stand_in(monkeypatch):
    """A codecarbon whose tracker has used 2 kWh; returns what it was made with."""
    given = {}

    class Tracker:
        def __init__(self, **settings):
            given.update(settings)

        def start(self):
            given["started"] = True

        def stop(self):
            self.final_emissions_data = types.SimpleNamespace(energy_consumed=2)

    monkeypatch.setitem(sys.modules, "codecarbon", types.SimpleNamespace(OfflineEmissionsTracker=Tracker))
    monkeypatch.setattr(energy, "installed", lambda: True)
    return given


def test_the_energy_is_known_afterwards(stand_in):
    with energy.measured() as kwh:
        assert kwh() is None and stand_in["started"] and stand_in["save_to_file"] is False
    assert kwh() == 2.0


def test_beside_others_nothing_is_measured(stand_in):
    with energy.measured(alone=False) as kwh:
        pass
    assert kwh() is None and stand_in == {}


def test_an_error_of_the_work_passes_and_one_of_codecarbon_does_not(stand_in, monkeypatch):
    with pytest.raises(KeyError), energy.measured():
        raise KeyError
    monkeypatch.delattr(sys.modules["codecarbon"], "OfflineEmissionsTracker")
    with energy.measured() as kwh:
        pass
    assert kwh() is None


def test_codecarbon_measures_without_network_and_files(tmp_path, monkeypatch):
    pytest.importorskip("codecarbon")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("socket.getaddrinfo", lambda *more, **given: pytest.fail("asked the network"))
    with energy.measured() as kwh:
        sum(range(10**6))
    assert 0 < kwh() < 1 and not list(tmp_path.iterdir())
