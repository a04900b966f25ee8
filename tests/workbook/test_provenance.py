"""How a run was made, from manifests made by hand."""

from lesionkit.workbook import energy, provenance

NOW = provenance.environment()


def test_the_environment_has_versions_and_machine_and_no_names():
    assert {"lesionkit", "Python", "torch", "processor", "cores", "memory", "GPU", "system"} <= NOW.keys()
    assert all(NOW.values()) and int(NOW["cores"]) > 0 and NOW["memory"].endswith(" GiB")


def test_steps_of_one_environment_share_it_and_others_are_named():
    manifest = {"steps": {"a": {"environment": "x"}, "b": {"environment": "x"}, "c": {"environment": "y"}},
                "environments": {"x": {"Python": "1"}, "y": {"Python": "2"}}}  # fmt: skip
    assert provenance.environments(manifest, ["a", "b"]) == [("Environment", {"Python": "1"})]
    assert provenance.environments(manifest, ["a", "c", "b"]) == [
        ("Environment of a, b", {"Python": "1"}),
        ("Environment of c", {"Python": "2"}),
    ]


def test_what_older_steps_did_not_note_is_said():
    caption, made = provenance.environments({"steps": {"a": {}}, "environments": {}}, ["a"])[0]
    assert "no note" in caption and made == NOW


def test_hours_and_energy_are_sums_and_say_what_they_leave_out(monkeypatch):
    runs = [{"seconds": 1800.0, "kwh": 0.5}, {"seconds": 3600.0, "kwh": 0.25}]
    assert provenance.hours(runs) == "1.50 hours" and provenance.used(runs).endswith("0.75 kWh")
    assert "in 2 of 3 steps" in provenance.used([*runs, {"seconds": 1.0}])
    for here in (False, True):  # which says nothing of the machine that ran the steps
        monkeypatch.setattr(energy, "installed", lambda here=here: here)
        assert provenance.used([{"seconds": 1.0}]).endswith("was not there when these steps ran, or they ran beside others")
