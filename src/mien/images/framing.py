"""How faces lie in the pictures that the models were trained on."""

from __future__ import annotations

from mien.models.card import Framing

# Medians over 2,000 training pictures drawn at random, of which BlazeFace found a face in 1,963.
# Quartiles: x 0.020 to 0.122, y 0.100 to 0.218, width and height 0.780 to 0.933.
FER2013_FRAMING = Framing(
    x=0.071,
    y=0.163,
    width=0.858,
    height=0.858,
    source="BlazeFace on FER2013's Training split: "
    "python scripts/measure_framing.py fer2013.tar.gz --rows 2000 --seed 1",
)
