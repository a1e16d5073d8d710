"""Where an object is, from the class activation map of a classifier that has only learnt what is in an image.

Zhou et al. 2016, Learning Deep Features for Discriminative Localization, 3.2: the object is where the map is above a
share of its maximum, and its box is that of the largest connected component.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Of the map's maximum, in that paper.
SHARE = 0.2


def strong(activation: NDArray[np.float32], height: int, width: int, share: float = SHARE) -> NDArray[np.bool_]:
    """The pixels, (height, width), at which the map, (h, w), is at least ``share`` of its maximum.

    The map is interpolated bilinearly. If none of it is positive, no pixel is.
    """
    positive = np.nan_to_num(activation.astype(np.float32)).clip(0)
    most = positive.max()
    if not most:
        return np.zeros((height, width), bool)
    enlarged = Image.fromarray(positive / most).resize((width, height), Image.Resampling.BILINEAR)
    found: NDArray[np.bool_] = np.asarray(enlarged) >= share
    return found
