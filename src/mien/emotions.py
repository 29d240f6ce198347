"""The names of the emotions: FER2013's seven, FER+'s ten votes, and what other data sets call them.

Order matters everywhere: it is the order of the columns of every array of probabilities or votes.
"""

from __future__ import annotations

from mien.errors import UnknownEmotion

# Source: Goodfellow et al. 2013, "Challenges in Representation Learning"; the label is the index.
FER2013: tuple[str, ...] = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

# FER+'s eight, in FER2013's order with contempt behind it.
FERPLUS: tuple[str, ...] = (*FER2013, "contempt")

# What a FER+ annotator could also say instead of an emotion.
ABSTAIN: tuple[str, ...] = ("unknown", "not a face")

# The ten columns of a table's votes.
VOTES: tuple[str, ...] = (*FERPLUS, *ABSTAIN)

# Source: header of fer2013new.csv (Barsoum et al. 2016, github.com/microsoft/FERPlus).
FERPLUS_COLUMNS: dict[str, str] = {
    "neutral": "neutral",
    "happiness": "happy",
    "surprise": "surprise",
    "sadness": "sad",
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "contempt": "contempt",
    "unknown": "unknown",
    "NF": "not a face",
}

# Folder and class names met in FER2013's folder release, CK+, RAF-DB, AffectNet and JAFFE.
_ALIASES: dict[str, str] = {
    **{name: name for name in VOTES},
    "anger": "angry",
    "an": "angry",
    "disgusted": "disgust",
    "di": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "scared": "fear",
    "fe": "fear",
    "happiness": "happy",
    "happily": "happy",
    "joy": "happy",
    "ha": "happy",
    "sadness": "sad",
    "sa": "sad",
    "surprised": "surprise",
    "su": "surprise",
    "neutrality": "neutral",
    "calm": "neutral",
    "ne": "neutral",
    "contemptuous": "contempt",
    "disdain": "contempt",
    "co": "contempt",
    "nf": "not a face",
}


def canonical(name: str) -> str:
    """Mien's name for an emotion as another data set spells it: ``"Happiness"`` gives ``"happy"``.

    Case, surrounding space and a leading number (``"3_happy"``, ``"0 - Neutral"``) do not matter.

    Raises:
        UnknownEmotion: no alias is known for the name.
    """
    key = name.strip().lower().lstrip("0123456789").lstrip(" _-.").replace("_", " ")
    try:
        return _ALIASES[key]
    except KeyError:
        raise UnknownEmotion(
            f"{name!r} is not an emotion that mien knows. Known names: {', '.join(sorted(_ALIASES))}."
        ) from None
