"""Augmentation and sampling against what they are defined to be."""

import numpy as np
import pytest
import torch

from lesionkit.learning.augmentation import (
    Augmentation,
    apply_views,
    dihedral,
    draw_views,
    normalise,
    normalised_colours,
    preview,
    sampling_grid,
    to_float,
)  # fmt: skip
from lesionkit.learning.batches import PlainBatches, TrainingBatches, ahead, sampling_weights
from lesionkit.learning.disturbing import Disturbances

NONE = Augmentation(flips=False, rotation=0, crop=1, colour=0)
PLAIN = {"mean": (0, 0, 0), "std": (1, 1, 1), "device": "cpu"}


def some_images(n=6, size=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batches(images, y, **options):
    options = {
        "size": 16,
        "batch_size": 4,
        "augmentation": NONE,
        "balance": 0,
        "mixup": 0,
        "seed": 3,
        **PLAIN,
    } | options
    return TrainingBatches(images, np.arange(len(images)), np.asarray(y), **options)


def test_without_augmentation_an_image_stays_as_it_is():
    x = to_float(some_images())
    seen = apply_views(x, *draw_views(len(x), NONE, generator()), 16)
    assert torch.allclose(seen, x, atol=1e-6)


def test_the_eight_dihedral_views_are_the_quarter_turns_and_their_mirror_images():
    x = to_float(some_images(1))
    views = []
    for k in range(8):
        affine = torch.cat([dihedral(torch.tensor([k])), torch.zeros(1, 2, 1)], 2)
        views.append(apply_views(x, affine, torch.eye(3)[None], torch.zeros(1, 3), 16))
    expected = [x.rot90(k, (2, 3)) for k in range(4)]
    expected += [v.flip(3) for v in expected]
    matches = [[torch.allclose(view, e, atol=1e-5) for e in expected] for view in views]
    assert (np.array(matches).sum(0) == 1).all() and (np.array(matches).sum(1) == 1).all()


def test_a_crop_stays_inside_the_frame_and_keeps_the_share_of_the_area():
    affine, _, _ = draw_views(500, Augmentation(flips=False, rotation=0, crop=0.5, colour=0), generator())
    corners = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, 1]]).T  # homogeneous
    reached = affine @ corners
    assert reached.abs().max() <= 1 + 1e-5
    area = affine[:, 0, 0] * affine[:, 1, 1]
    assert 0.45 < area.min() and area.max() <= 1 and area.std() > 0.05


def test_grey_stays_grey_without_a_colour_cast_and_colour_zero_is_the_identity():
    _, matrix, offset = draw_views(5, NONE, generator())
    assert torch.allclose(matrix, torch.eye(3).expand(5, 3, 3)) and torch.allclose(offset, torch.zeros(5, 3))


def test_augmented_values_stay_in_range_and_the_input_is_left_alone():
    images = some_images()
    before = images.copy()
    seen = preview(images, Augmentation(rotation=45, crop=0.2, colour=1), versions=3, size=16, seed=1)
    assert seen.shape == (6, 3, 16, 16, 3) and seen.dtype == np.uint8
    assert (images == before).all()
    assert (seen == preview(images, Augmentation(rotation=45, crop=0.2, colour=1), versions=3, size=16, seed=1)).all()
    assert (seen != preview(images, Augmentation(rotation=45, crop=0.2, colour=1), versions=3, size=16, seed=2)).any()


def test_normalise_by_hand():
    x = torch.full((1, 3, 1, 1), 0.5)
    out = normalise(x, (0.5, 0.4, 0.3), (0.1, 0.2, 0.4))
    assert torch.allclose(out.flatten(), torch.tensor([0.0, 0.5, 0.5]))


@pytest.mark.parametrize("balance, expected", [(0, [0.25] * 4), (1, [1 / 6, 1 / 6, 1 / 6, 1 / 2])])
def test_sampling_weights_by_hand(balance, expected):
    assert sampling_weights(np.array([0, 0, 0, 5]), balance) == pytest.approx(expected)


def test_balanced_sampling_shows_every_class_equally_often():
    y = np.repeat([0, 1], [900, 100])
    shown = y[batches(some_images(1000, 2), y, balance=1.0).order()]
    assert shown.mean() == pytest.approx(0.5, abs=0.05)


def test_without_balance_each_image_is_shown_once_an_epoch_and_the_order_changes_with_the_epoch():
    loader = batches(some_images(12), [0] * 12)
    first = loader.order()
    loader.epoch = 1
    assert sorted(first) == list(range(12)) and list(first) != list(loader.order())


def test_an_epoch_can_be_made_again():
    images, y = some_images(12), np.arange(12) % 7
    for epoch in (0, 5):
        passes = []
        for _ in range(2):
            loader = batches(images, y, augmentation=Augmentation(), balance=1.0, mixup=0.4)
            loader.epoch = epoch
            passes.append(list(loader))
        assert all(torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(*passes))


def test_labels_follow_their_images_and_mixup_keeps_them_a_distribution():
    images = np.zeros((8, 4, 4, 3), np.uint8)
    y = np.arange(8) % 7
    images += y[:, None, None, None].astype(np.uint8)  # the class is in the pixels
    for x, target in batches(images, y, size=4):
        assert torch.equal((x[:, 0, 0, 0] * 255).round().long(), target.argmax(1))
    for x, target in batches(images, y, size=4, mixup=1.0):
        assert torch.allclose(target.sum(1), torch.ones(4))
        assert torch.allclose(
            x[:, 0, 0, 0] * 255, target @ torch.arange(7.0), atol=1e-3
        )  # pixels mixed by the same share


def test_plain_batches_hold_every_row_once_in_order():
    images, y = some_images(10), np.arange(10) % 7
    rows = np.array([9, 0, 4, 4, 7])
    got = list(PlainBatches(images, rows, y[rows], batch_size=2, **PLAIN))
    assert [len(x) for x, _ in got] == [2, 2, 1]
    assert torch.cat([t for _, t in got]).tolist() == y[rows].tolist()
    assert torch.allclose(torch.cat([x for x, _ in got]), to_float(images[rows]))


def test_the_grid_is_that_of_pytorch():
    affine, *_ = draw_views(5, Augmentation(), generator(1))
    expected = torch.nn.functional.affine_grid(affine, [5, 3, 33, 33], align_corners=False)
    assert torch.allclose(sampling_grid(affine, 33), expected, atol=5e-7)  # float32 of numbers up to 2


def test_normalising_with_the_colours_is_normalising_after_them():
    x = torch.rand(4, 3, 20, 20)
    views = draw_views(4, Augmentation(colour=0.8), generator(1))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    plain = apply_views(x, *views, 16)
    assert plain.min() == 0 and plain.max() == 1  # so strong that both ends are met
    affine, *colours = views
    seen = apply_views(x, affine, *normalised_colours(*colours, mean, std), 16, mean, std)
    assert torch.allclose(seen, normalise(plain, mean, std), atol=1e-5)  # float32, divided by 0.22
    assert seen.is_contiguous(memory_format=torch.channels_last)


ALL = Disturbances(fourier=0.5, oklab=1.0, hair=0.5, blur=0.5, discs=0.5)


@pytest.mark.parametrize("more", [{}, {"mixup": 0.4}, {"cutmix": 1.0}, {"augmentation": Augmentation(disturbances=ALL)},
                                  {"augmentation": Augmentation(policy="trivial")}])  # fmt: skip
def test_shares_together_are_the_batch_of_one_process(more):
    images, labels = some_images(30), np.arange(30) % 7
    how = {"batch_size": 9, "balance": 1, "augmentation": Augmentation()} | more
    whole, *shares = (batches(images, labels, share=share, **how) for share in ((0, 1), (0, 3), (1, 3), (2, 3)))
    for (x, y), *parts in zip(whole, *shares):
        for rank, (part, truth) in enumerate(parts):
            assert torch.equal(part, x[rank::3]) and torch.equal(truth, y[rank::3])
    plain = [PlainBatches(images, np.arange(30), labels, batch_size=4, share=(rank, 2), **PLAIN) for rank in (0, 1)]
    assert [int(k) for one in plain for _, y in one for k in y] == [*labels[0::2], *labels[1::2]]


def test_what_is_made_ahead_is_the_same_and_an_error_in_the_thread_is_raised(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)  # wants a GPU
    items = [(torch.tensor(i),) for i in range(5)]
    assert [int(item) for (item,) in ahead(iter(items), "cuda")] == [0, 1, 2, 3, 4]

    def broken():
        yield items[0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(ahead(broken(), "cuda"))


def test_no_more_is_made_ahead_than_was_asked_for(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    drawn = []
    source = ((drawn.append(i), (torch.tensor(i),))[1] for i in range(100))
    stream = ahead(source, "cuda", count=2)
    next(stream)
    stream.close()  # as an early stop does; waits for the thread
    assert len(drawn) <= 3
