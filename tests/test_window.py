"""Windows of whole photographs: made as patches are, at the same scale, and only where they fit."""

import numpy as np
import pytest
import torch
from PIL import Image

from cdlearn.data.patches import PHOTOGRAPHS, SHRUNK, ZOOMS, grey, tinted, window

CAT = next(photograph for photograph in PHOTOGRAPHS if photograph.name == "cat")


def test_a_window_of_a_pieces_size_is_the_piece():
    side = ZOOMS[1]
    height, width = grey(CAT).shape
    top, left = int(0.25 * (height - side)), int(0.75 * (width - side))
    piece = Image.fromarray(grey(CAT)[top : top + side, left : left + side])
    small = torch.from_numpy(np.array(piece.resize((32, 32), Image.Resampling.BICUBIC)))[None]
    nuisances = (0.3, 0.2, 0.9)
    expected = tinted(small, torch.tensor([nuisances], dtype=torch.float64))[0]
    assert torch.equal(window(CAT, 32, (0.25, 0.75), nuisances=nuisances), expected)


def test_a_larger_window_shows_more_at_the_same_scale():
    wide, narrow = (window(CAT, size, (0.0, 0.0)).float().mean(0) for size in (160, 80))
    corner = wide[:72, :72]  # the rest of the narrow one is blurred over its own edge
    alike = np.corrcoef(corner.flatten(), narrow[:72, :72].flatten())[0, 1]
    assert wide.shape == (160, 160) and alike > 0.99
    assert round(160 * SHRUNK) == 290


@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=lambda photograph: photograph.name)
def test_the_largest_window_is_named_where_one_does_not_fit(photograph):
    most = int(min(grey(photograph).shape) / SHRUNK)
    for place in ((0.0, 0.0), (1.0, 1.0)):
        assert window(photograph, most, place).shape == (3, most, most)
    with pytest.raises(ValueError, match=f"at most {most} px fit"):
        window(photograph, most + 2)
