"""Near-duplicates: the same lesion photographed once or twice, filed under two ids.

A perceptual hash screens all pairs; the correlation of fine detail, after alignment, confirms. Dermoscopic images all
show a dark blob in the middle, so plain luminance proves nothing: random pairs of HAM10000 correlate up to 0.97. Hence both steps
look at luminance that is high-passed and divided by its local contrast, where blobs vanish and texture stays.

The evidence for the thresholds, on the 84 px images of HAM10000 (7,470 lesions) and ISIC 2019, looked at side by side:
- HASH_BITS. A plain pHash <= 12 flags 48,945 pairs, 48,600 of them of different lesions. Here <= 15 flags about as many, and holds 0.92 of the
  243 confirmed pairs of one lesion (plain: 0.82) and those shifted by a tenth of the frame, which the plain hash puts at 24.
- CORRELATION. EVIDENCE_PLACEHOLDER
- Turns. Of 253 confirmed pairs of one lesion 245 are upright and 8 turned by 180 degrees; no mirror image, no quarter turn. So only half turns are tried.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pandas as pd
from scipy import fft, ndimage

HASH_BITS = 15  # of 64: pairs at most this far apart become candidates
CORRELATION = 0.44  # of aligned detail: pairs above it are confirmed
_PROMISING = 0.22  # of detail aligned by translation alone: pairs above it are also aligned in scale and angle
_SIDE = 64  # px, the resolution at which images are compared
_WINDOW, _OFFSETS = 48, (2, 8, 14)  # px: hashes are of the centre of one image and of 3 x 3 windows of the other, so that shifts survive
_SCALES, _ANGLES = (0.9, 0.95, 1.0, 1.05, 1.1), (-4.0, 0.0, 4.0)
_REACH = 16  # px, the largest shift
_BLOCK = 256  # images or pairs at a time: memory stays bounded
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_FREQUENCIES = sorted((i, j) for i, j in product(range(16), repeat=2) if i * i + j * j >= 4)
_FREQUENCIES = sorted(_FREQUENCIES, key=lambda ij: ij[0] ** 2 + ij[1] ** 2)[:64]  # the lowest but for the mean and the blob


def near_duplicates(images: np.ndarray, ids: Sequence[str], other: np.ndarray | None = None,
                    other_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """Pairs of images that show the same lesion in the same framing, up to compression, colour, small shifts, zooms, turns, or half turns.

    `images` and `other`: uint8 (n, s, s, 3), squashed or cropped to squares. Without `other`, pairs within `images`; with it, pairs across. Returns
    image_a, image_b, hamming (0..HASH_BITS), correlation (CORRELATION..1), the surest first. Two blank images are no pair.
    """
    own = _describe(images)
    against = own if other is None else _describe(other)
    pairs = _screen(own[1], against[2], symmetric=other is None)
    pairs = _confirm(pairs, images, own[0], images if other is None else other, against[0])
    a, b = np.asarray(ids, object)[pairs["a"]], np.asarray(ids if other is None else other_ids, object)[pairs["b"]]
    table = pd.DataFrame({"image_a": a, "image_b": b, "hamming": pairs["hamming"].to_numpy(), "correlation": pairs["correlation"].to_numpy()})
    return table.sort_values(["correlation", "image_a", "image_b"], ascending=[False, True, True], ignore_index=True)


def _describe(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit-norm detail (n, 64, 64), the hashes of the centre upright and turned (2, n), and of the windows (9, n)."""

    def describe(rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        luminance = _luminance(images[rows])
        coarse = _normalise(luminance, 6.0, 6.0)
        centre = _spectrum(coarse, 8, 8)
        turned = centre * np.array([(-1.0) ** (i + j) for i, j in _FREQUENCIES])
        windows = np.stack([_bits(_spectrum(coarse, y, x)) for y, x in product(_OFFSETS, repeat=2)])
        return _detail(luminance), np.stack([_bits(centre), _bits(turned)]), windows

    with ThreadPoolExecutor() as pool:
        parts = list(pool.map(describe, _blocks(len(images))))
    return tuple(np.concatenate(part, axis) for part, axis in zip(zip(*parts), (0, 1, 1)))


def _luminance(images: np.ndarray) -> np.ndarray:
    """Luminance (n, 64, 64) of images (n, s, s, 3), by averaging areas."""
    side = images.shape[1]
    edges = np.linspace(0, side, _SIDE + 1)
    overlap = np.minimum(edges[1:, None], np.arange(1, side + 1)) - np.maximum(edges[:-1, None], np.arange(side))
    area = (overlap.clip(0) * _SIDE / side).astype(np.float32)  # (64, s), rows sum to 1
    return area @ (images @ _LUMINANCE) @ area.T


def _normalise(luminance: np.ndarray, sigma: float, spread: float) -> np.ndarray:
    """What a blur of `sigma` px takes away, in units of its own root mean square within `spread` px; zero near black frames."""
    high = luminance - ndimage.gaussian_filter(luminance, (0, sigma, sigma))
    contrast = np.sqrt(ndimage.gaussian_filter(high * high, (0, spread, spread)) + 0.3)  # 0.3: noise, in grey levels squared
    frame = ndimage.minimum_filter(luminance, (1, 7, 7)) < 8
    return np.where(frame, 0, high / contrast).astype(np.float32)


def _detail(luminance: np.ndarray) -> np.ndarray:
    """Fine detail, faded out at the rim, of zero mean and unit norm: the inner product of two is their correlation."""
    rim = np.minimum(1, 4 * np.hanning(_SIDE + 2)[1:-1]).astype(np.float32)
    detail = _normalise(luminance, 1.2, 2.5) * rim[:, None] * rim
    detail -= detail.mean((1, 2), keepdims=True)
    return detail / np.maximum(np.linalg.norm(detail, axis=(1, 2), keepdims=True), 1e-6)


def _spectrum(coarse: np.ndarray, top: int, left: int) -> np.ndarray:
    """The 64 lowest DCT-II coefficients (n, 64) of a window."""
    basis = np.cos(np.pi * np.arange(16)[:, None] * (np.arange(_WINDOW) + 0.5) / _WINDOW).astype(np.float32)
    spectrum = basis @ coarse[:, top:top + _WINDOW, left:left + _WINDOW] @ basis.T
    return np.stack([spectrum[:, i, j] for i, j in _FREQUENCIES], axis=1)


def _bits(spectrum: np.ndarray) -> np.ndarray:
    return np.packbits(spectrum > 0, axis=1).view(np.uint64)[:, 0]


def _screen(centres: np.ndarray, windows: np.ndarray, symmetric: bool) -> pd.DataFrame:
    """Candidates a, b, turned, hamming: pairs of which any window comes within HASH_BITS of the centre."""

    def compare(rows: slice) -> np.ndarray:
        found = []
        for turned, window in product(range(len(centres)), range(len(windows))):
            distance = np.bitwise_count(centres[turned, rows, None] ^ windows[window])  # (block, m)
            a, b = np.nonzero(distance <= HASH_BITS)
            found.append(np.stack([a + rows.start, b, np.full_like(a, turned), distance[a, b]], axis=1))
        return np.concatenate(found)

    with ThreadPoolExecutor() as pool:
        found = np.concatenate([np.empty((0, 4), np.int64), *pool.map(compare, _blocks(centres.shape[1]))])
    if symmetric:
        found[:, :2] = np.sort(found[:, :2], axis=1)
        found = found[found[:, 0] < found[:, 1]]
    pairs = pd.DataFrame(found, columns=["a", "b", "turned", "hamming"])
    return pairs.groupby(["a", "b", "turned"], as_index=False)["hamming"].min()


def _confirm(pairs: pd.DataFrame, images: np.ndarray, detail: np.ndarray, other: np.ndarray, other_detail: np.ndarray) -> pd.DataFrame:
    """The candidates whose aligned detail correlates by more than CORRELATION, with that correlation."""

    def shifted(rows: slice) -> np.ndarray:
        block = pairs.iloc[rows]
        return _peak(_turn(detail[block["a"]], block), other_detail[block["b"]])

    def refined(rows: slice) -> np.ndarray:
        block = doubtful.iloc[rows]
        one, two = _turn(detail[block["a"]], block), _luminance(other[block["b"]])
        return np.max([_peak(one, _detail(_warp(two, scale, angle))) for scale, angle in product(_SCALES, _ANGLES)], axis=0)

    with ThreadPoolExecutor() as pool:
        pairs = pairs.assign(correlation=np.concatenate([np.empty(0), *pool.map(shifted, _blocks(len(pairs)))]))
        doubtful = pairs[pairs["correlation"].between(_PROMISING, CORRELATION)]
        pairs.loc[doubtful.index, "correlation"] = np.concatenate([np.empty(0), *pool.map(refined, _blocks(len(doubtful)))])
    confirmed = pairs[pairs["correlation"] > CORRELATION].sort_values("correlation", ascending=False)
    return confirmed.drop_duplicates(["a", "b"])


def _turn(detail: np.ndarray, pairs: pd.DataFrame) -> np.ndarray:
    turned = pairs["turned"].to_numpy(bool)[:, None, None]
    return np.where(turned, detail[:, ::-1, ::-1], detail)


def _peak(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """The highest correlation (n,) of detail pairs (n, 64, 64) over all shifts of at most _REACH px."""
    surface = fft.irfft2(fft.rfft2(one) * np.conj(fft.rfft2(two)), s=one.shape[1:])
    near = np.r_[0:_REACH + 1, -_REACH:0]
    return surface[:, near[:, None], near].max((1, 2), initial=-1).clip(-1, 1)


def _warp(luminance: np.ndarray, scale: float, angle: float) -> np.ndarray:
    """Images zoomed by `scale` and turned by `angle` degrees about their centres."""
    turn = np.deg2rad(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / scale
    centre = np.full(2, (_SIDE - 1) / 2)
    return np.stack([ndimage.affine_transform(image, matrix, centre - matrix @ centre, order=1, mode="nearest") for image in luminance])


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))
