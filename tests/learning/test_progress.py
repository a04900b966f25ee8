"""What a notebook shows while a backbone trains."""

import re

from toys import study, toy

from lesionkit.learning import progress, training


class Handle:
    def __init__(self):
        self.seen = []

    def update(self, text):
        self.seen.append(text.data)


def test_in_a_notebook_a_bar_grows_and_at_the_end_the_table_is_left(tmp_path, monkeypatch):
    handles = []
    monkeypatch.setattr(progress, "get_ipython", lambda: True)
    monkeypatch.setattr(progress, "display", lambda text, display_id: handles.append(Handle()) or handles[-1])
    training.fit("baseline_cnn", *toy(), study(epochs=2), tmp_path)
    (handle,) = handles
    *during, last = handle.seen
    shares = [float(re.search(r'<progress max="1" value="([\d.]+)">', text)[1]) for text in during]
    assert shares == sorted(shares) and 0 < shares[0] < 1 == shares[-1]
    assert "baseline_cnn: epoch 1 of 2" in during[0] and "<progress" not in last
    assert last.startswith("baseline_cnn: trained in 0:") and last.count("\n| ") == 3  # a head and two epochs
