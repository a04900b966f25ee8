"""The electricity that a step takes, by codecarbon where it is installed. It is measured without network and without files."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec

SETTINGS = {
    "save_to_file": False,
    "allow_multiple_runs": True,  # else it leaves a lock file behind
    "tracking_mode": "machine",  # the notebook's kernel is another process
    "log_level": "critical",
    "country_iso_code": "USA",  # it wants one, for the carbon of a kWh, which is not asked for here
}

def installed() -> bool:
    """Whether codecarbon is there."""
    return find_spec("codecarbon") is not None


@contextmanager
def measured(alone: bool = True) -> Iterator[Callable[[], float | None]]:
    """Meanwhile, measure the whole machine. What it yields tells afterwards the kWh; None where they are not known.

    alone: whether nothing of the run is at work beside this; else nothing is measured, for each would be charged for all.
    What codecarbon cannot do never stops the work.
    """
    tracker = _tracker() if alone and installed() else None
    try:
        yield lambda: _used(tracker)
    finally:
        with suppress(Exception):
            if tracker:
                tracker.stop()


def _tracker():
    try:
        from codecarbon import OfflineEmissionsTracker

        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)  # it speaks before it has read its own setting
        tracker = OfflineEmissionsTracker(**SETTINGS)
        tracker.start()
        return tracker
    except Exception:  # of hardware, drivers and versions that codecarbon meets
        return None


def _used(tracker) -> float | None:
    found = getattr(tracker, "final_emissions_data", None)
    return float(found.energy_consumed) if found else None
