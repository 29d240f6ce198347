"""The names of the emotions: FER2013's seven, FER+'s ten votes, and what other data sets call them.

Order matters everywhere: it is the order of the columns of every array of probabilities or votes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mien.errors import UnknownEmotion, UsageError

# Source: Goodfellow et al. 2013, "Challenges in Representation Learning"; the label is the index.
FER2013: tuple[str, ...] = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

# FER+'s eight, in FER2013's order with contempt behind it.
FERPLUS: tuple[str, ...] = (*FER2013, "contempt")

# What a FER+ annotator could also choose instead of an emotion.
ABSTAIN: tuple[str, ...] = ("unknown", "not a face")

# The ten columns of a table's votes.
VOTES: tuple[str, ...] = (*FERPLUS, *ABSTAIN)

# Colours that colour-blind people can tell apart, each at 5:1 contrast or more on the dark panel.
# Source: Okabe & Ito 2008, jfly.uni-koeln.de/color, its darker ones lightened, black replaced by a gray.
EMOTION_COLOURS: dict[str, str] = {
    "angry": "#FF7A33",
    "disgust": "#1FC796",
    "fear": "#E391C0",
    "happy": "#F0E442",
    "sad": "#56A8EA",
    "surprise": "#E69F00",
    "neutral": "#C8C8C8",
    "contempt": "#56E0E9",
}

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

# Folder and class names in FER2013's folder release, CK+, RAF-DB, AffectNet and JAFFE.
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


def class_name(name: str) -> str:
    """The name of a class: mien's, if it is an emotion under any name, else itself without outer spaces.

    >>> class_name("Happiness"), class_name(" pain ")
    ('happy', 'pain')
    """
    try:
        return canonical(name)
    except UnknownEmotion:
        return name.strip()


def own_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Different classes in order: emotions as in FER+, then the others by name."""
    known = {class_name(name) for name in names}
    emotions = [name for name in FERPLUS if name in known]
    return (*emotions, *sorted(known - set(emotions)))


@lru_cache(maxsize=256)
def column_name(label: str) -> str:
    """The label as the name of a table's column, without spaces: ``"not a face"`` gives ``"not_a_face"``."""
    return label.replace(" ", "_")


# Valence. -------------------------------------------------------------------------------------------------

# Source: Noldus, "FaceReader: tool for automatic analysis of facial expressions", methodology note:
# the intensity of happy less that of the strongest of sad, angry, scared and disgusted, without contempt.
_AGAINST_HAPPY: tuple[str, ...] = ("angry", "disgust", "fear", "sad")


def has_valence(labels: Iterable[str]) -> bool:
    """Whether valence can be derived from these emotions."""
    return {"happy", *_AGAINST_HAPPY} <= set(labels)


def valence(emotions: Mapping[str, float]) -> float:
    """Happy less the strongest negative emotion, -1 to 1, as FaceReader defines it: derived, not predicted.

    The negative emotions are angry, disgust, fear and sad.

    Raises:
        KeyError: one of the five emotions is missing; see `has_valence`.
    """
    return emotions["happy"] - max(emotions[name] for name in _AGAINST_HAPPY)


# Binary tasks. --------------------------------------------------------------------------------------------

# The two ends of valence: unpleasant and pleasant. Surprise may be either, which only its context shows;
# neutral is neither. Source: the horizontal axis of Russell 1980, "A circumplex model of affect". To leave
# both out, and not to call them "not negative", is a choice: the task contains clear cases only.
NEGATIVE: tuple[str, ...] = ("angry", "disgust", "fear", "sad", "contempt")
POSITIVE: tuple[str, ...] = ("happy",)

# The side of an emotion on neither side: it is left out.
NEITHER = -1


@dataclass(frozen=True)
class BinaryTask:
    """Emotions as the two classes of a binary task.

    Attributes:
        name: ``"happy"`` or ``"negative"``.
        classes: the two classes, that of the question last: ``("not happy", "happy")``.
        members: the emotions of each class, in the order of `classes`. Emotions of neither, and grounds to
            abstain, are left out.
    """

    name: str
    classes: tuple[str, str]
    members: tuple[tuple[str, ...], tuple[str, ...]]

    def sides(self, labels: Sequence[str]) -> tuple[int, ...]:
        """The class of each label, 0 or 1 as in `classes`, or `NEITHER`; aliases work too.

            >>> binary_task("negative").sides(("angry", "happy", "neutral"))
            (1, 0, -1)

        Raises:
            UnknownEmotion: a label is not an emotion.
        """
        return tuple(self._side(canonical(label)) for label in labels)

    def _side(self, emotion: str) -> int:
        return next((side for side in (0, 1) if emotion in self.members[side]), NEITHER)


def binary_task(name: str) -> BinaryTask:
    """The binary task of that name: an emotion (against all others), or ``"negative"`` (against positive).

    Raises:
        UsageError: no task has that name.
    """
    if name.strip().lower() == "negative":
        return BinaryTask("negative", ("positive", "negative"), (POSITIVE, NEGATIVE))
    try:
        emotion = canonical(name)
    except UnknownEmotion:
        emotion = ""
    if emotion not in FERPLUS:
        raise UsageError(
            f"there is no binary task {name!r}. There are: negative, or one emotion against the rest: "
            f"{', '.join(FERPLUS)}."
        )
    others = tuple(other for other in FERPLUS if other != emotion)
    return BinaryTask(emotion, (f"not {emotion}", emotion), (others, (emotion,)))
