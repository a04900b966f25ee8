"""What a photograph would be without something on it: holes filled from around them.

A filled region is no photograph: it is smooth, and keeps something of the outline of what was there.
"""

import cv2
import numpy as np

from lesionkit.explain.regions import check, grown

FILL = 3  # px around a hole's pixel that it is filled from


def inpainted(images: np.ndarray, holes: np.ndarray, margin: int | None = None,
              apart: np.ndarray | None = None) -> np.ndarray:  # fmt: skip
    """Copies of uint8 RGB images (n, s, s, 3) whose holes, bool (n, s, s), are filled from around them.

    Holes are first `widened` by the margin, since what is taken away has a blurred rim. All other pixels stay as they
    are. apart: bool (n, s, s), what neither changes nor is filled from, such as a black frame; nor is anything filled
    from its rim. An image that leaves nothing to fill from has its own mean colour in the hole. By OpenCV, after Telea
    2004, doi:10.1080/10867651.2004.10487596.
    """
    check(images)
    apart = np.zeros(images.shape[:3], bool) if apart is None else apart
    for name, masks in (("holes", holes), ("apart", apart)):
        if masks.shape != images.shape[:3] or masks.dtype != bool:
            raise ValueError(f"{name} are {masks.dtype} {masks.shape}: give bool {images.shape[:3]}, one an image")
    filled, wide, skin = images.copy(), widened(holes, margin), ~apart
    unknown = wide | grown(apart)
    for i in np.flatnonzero((wide & skin).any(axis=(1, 2))):
        hole = wide[i] & skin[i]
        if unknown[i].all():
            filled[i][hole] = images[i][skin[i]].mean(axis=0).round()
        else:  # what is apart is filled with the hole, or its black would run into it, and put back
            masked = np.ascontiguousarray(images[i]), unknown[i].astype(np.uint8)
            filled[i][hole] = cv2.inpaint(*masked, FILL, cv2.INPAINT_TELEA)[hole]
    return filled


def widened(masks: np.ndarray, margin: int | None = None) -> np.ndarray:
    """Masks, bool (n, s, s), wider by `margin` px to all sides (None: a hundredth of the side, at least 1)."""
    margin = max(1, round(masks.shape[1] / 100)) if margin is None else margin
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    wide = np.zeros_like(masks)
    for i in np.flatnonzero(masks.any(axis=(1, 2))):
        wide[i] = cv2.dilate(masks[i].astype(np.uint8), kernel) > 0
    return wide


def covered(holes: np.ndarray, margin: int | None = None, apart: np.ndarray | None = None) -> np.ndarray:
    """The share (n,) of each frame that `inpainted` has to do without: the widened hole, and what is apart."""
    lost = widened(holes, margin)
    return (lost if apart is None else lost | grown(apart)).mean(axis=(1, 2))
