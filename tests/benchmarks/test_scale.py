import numpy as np
import pandas as pd
import pytest
from benchmarks import scale

N = np.array([1000, 2000, 4000])


def rows(step, seconds, memory, order=1, n=N, memory_order=1):
    """What would be measured of a step, on a machine of 4 GB where 24 h are long."""
    return pd.DataFrame({
        "step": step, "images": n, "order": order, "memory_order": memory_order, "seconds": seconds, "memory": memory, "memory_limit": 4e9,
        "seconds_limit": 86_400, "cores": 2, "kind": "measured",
    })  # fmt: skip


@pytest.fixture
def table():
    """64 s and 1 GB at 1,000,000 images, and 1e-6 n² s: 86,400 s at 294,000 images."""
    linear = rows("linear", 4 + 6e-5 * N, 1e9 + 0.0 * N)
    return pd.concat([linear, rows("pairs", 2 + 1e-3 * N + 1e-6 * N**2.0, 1e6 + 1e3 * N, order=2)], ignore_index=True)


def test_a_power_law_is_found():
    assert scale.power_law(N, 3e-4 * N**1.7) == pytest.approx((3e-4, 1.7))


def test_two_numbers_of_images_are_told_apart_into_n_and_n_squared():
    two = N[:2]
    np.testing.assert_allclose(scale.polynomial(two, 1e-3 * two + 1e-6 * two**2, 2), [0, 1e-3, 1e-6], rtol=1e-6)


def test_the_parts_of_a_step_are_told_apart():
    np.testing.assert_allclose(scale.polynomial(N, 2 + 1e-3 * N + 1e-6 * N**2.0, 2), [2, 1e-3, 1e-6], rtol=1e-6)


def test_no_part_of_a_step_is_negative():
    assert (scale.polynomial(N, [5.0, 4.0, 3.0], 1) >= 0).all()  # else more images would take less than no time


def test_more_images_follow_what_was_measured(table):
    far = scale.with_extrapolated(table).query("kind == 'extrapolated'").set_index(["step", "images"])
    assert far.loc[("linear", 1_000_000), ["seconds", "memory"]].tolist() == pytest.approx([64, 1e9])
    assert far.loc[("pairs", 1_000_000), ["seconds", "memory"]].tolist() == pytest.approx([2 + 1e3 + 1e6, 1.001e9])
    assert far.loc[("linear", 25_331), "store"] == 25_331 * 224 * 224 * 3
    assert set(far.index.get_level_values("images")) == set(scale.TARGETS)


def test_memory_that_does_not_grow_is_the_mean_of_what_was_measured(table):
    flat = rows("flat", 1.0 * N, np.array([1e9, 1e9, 1e9]), memory_order=0)
    far = scale.with_extrapolated(pd.concat([table, flat])).query("step == 'flat' and kind == 'extrapolated'")
    assert far["memory"].tolist() == pytest.approx([1e9] * 3) and not np.isfinite(scale.breaks(flat)["images"][1])


def test_what_was_measured_stays_as_it_was(table):
    kept = scale.with_extrapolated(table).query("kind == 'measured'")
    pd.testing.assert_frame_equal(kept[list(table)].reset_index(drop=True), table)


def test_the_step_that_reaches_a_limit_with_the_fewest_images_breaks_first(table):
    found = scale.breaks(table).set_index(["step", "kind"])["images"]
    n = found["pairs", "seconds"]
    assert 2 + 1e-3 * n + 1e-6 * n**2 == pytest.approx(86_400)
    assert found["pairs", "memory"] == pytest.approx((4e9 - 1e6) / 1e3)
    assert np.isinf(found["linear", "memory"])
    assert found.index[0] == ("pairs", "seconds")
    assert "**pairs** breaks first, for want of time, at about 290,000 images." in scale.verdict(table)


def test_the_next_to_break_is_another_step(table):
    more = pd.concat([table, rows("hungry", [1.0] * 3, 5e3 * N)], ignore_index=True)  # 4 GB at 800,000
    assert scale.verdict(more).endswith("Next is hungry, for want of memory, at about 800,000 images.")


def test_less_memory_lets_another_limit_be_the_first(table):
    small = table.assign(memory_limit=1e8)
    assert scale.breaks(small).iloc[0].tolist() == ["linear", "memory", 0]  # even its fixed 1 GB is too much
    pairs = scale.breaks(small.query("step == 'pairs'"))
    assert pairs.iloc[0].tolist() == ["pairs", "memory", pytest.approx(99_000)]


def test_nothing_breaks_where_nothing_grows():
    assert "nothing breaks" in scale.verdict(rows("flat", [5.0] * 3, [1e6] * 3))


def test_the_summary_marks_what_is_beyond_a_limit_and_names_the_measured_range(table):
    lines = scale.summary(scale.with_extrapolated(table)).splitlines()
    pairs = next(line for line in lines if line.startswith("| pairs"))
    assert pairs.split(" | ")[-1] == "**278 h** · 1.0 GB |"
    assert lines[-1].startswith("Measured on 1,000 to 4,000 images; more is extrapolated") and "most images: linear." not in lines[-1]
    assert "**pairs**" in lines[-1]


def test_the_text_fits_a_terminal(table):
    text = scale.text(scale.with_extrapolated(table))
    assert max(map(len, text.splitlines())) < 120
    assert "1,000–4,000" in text and "extrapolated" in text
