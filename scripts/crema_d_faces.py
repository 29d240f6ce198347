"""CREMA-D's clips as folders of faces and a table of groups, to measure gaps between groups of people.

    python scripts/crema_d_faces.py --clips VideoFlash --votes processedResults/summaryTable.csv \
        --demographics VideoDemographics.csv --out crema-d
    mien evaluate --data crema-d --split test --groups crema-d/groups.csv

Each clip gives one face: the largest one in its middle frame, framed as FER2013's, in the folder of the
emotion that most viewers saw (the column FaceVote: without sound). Clips with a tie and clips without a face
are counted and left out. The actors stated age, sex, race and ethnicity themselves. The clips are under the
Open Database Licence; download them yourself. Source: Cao et al. 2014, CREMA-D.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path

from PIL import Image

from mien.detection.blazeface import BlazeFace
from mien.errors import FormatError
from mien.images.crop import FER2013_FRAMING, crop_face
from mien.video.opening import open_video

EMOTIONS = {"A": "angry", "D": "disgust", "F": "fear", "H": "happy", "N": "neutral", "S": "sad"}
SUFFIXES = (".flv", ".mp4", ".mov", ".avi", ".mkv", ".webm")
AGES = ((0, "under 30"), (30, "30 to 49"), (50, "50 and older"))


def read_rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The lines of a CSV with these columns.

    Raises:
        FormatError: it cannot be read, or a column is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path} cannot be read: {error}.") from error
    if missing:
        raise FormatError(f"{path} has no column {', '.join(missing)}. Is it the file of CREMA-D?")
    return rows


def read_votes(path: Path) -> dict[str, str | None]:
    """Clip to the emotion with most votes without sound; None for a tie.

    Raises:
        FormatError: another layout, or an unknown vote.
    """
    votes: dict[str, str | None] = {}
    for number, row in enumerate(read_rows(path, ("FileName", "FaceVote")), start=2):
        vote = row["FaceVote"].strip()
        if any(letter not in EMOTIONS for letter in vote.split(":")):
            raise FormatError(
                f"{path}, line {number}: FaceVote is {vote!r}; known are {', '.join(EMOTIONS)}."
            )
        votes[row["FileName"].strip()] = EMOTIONS.get(vote)
    return votes


def read_actors(path: Path) -> dict[str, dict[str, str]]:
    """Actor to their groups: age in three bands, sex, race, ethnicity.

    Raises:
        FormatError: another layout, or an age that is not a number.
    """
    actors = {}
    rows = read_rows(path, ("ActorID", "Age", "Sex", "Race", "Ethnicity"))
    for number, row in enumerate(rows, start=2):
        if not row["Age"].strip().isdigit():
            raise FormatError(f"{path}, line {number}: Age is {row['Age']!r}; it must be a whole number.")
        age = [name for least, name in AGES if int(row["Age"]) >= least][-1]
        others = {name.lower(): row[name].strip() for name in ("Sex", "Race", "Ethnicity")}
        actors[row["ActorID"].strip()] = {"age": age, **others}
    return actors


def middle_face(clip: Path, detector: BlazeFace) -> Image.Image | None:
    """The largest face in the middle frame, 48 x 48 gray; None if there is none."""
    with open_video(clip) as video:
        frames = [frame.time_s for frame in video.frames()]
    if not frames:
        return None
    with open_video(clip) as video:
        pixels = next(iter(video.frames(start_s=frames[len(frames) // 2]))).rgb()
    detections = detector.detect(pixels)
    if not detections:
        return None
    largest = max(detections, key=lambda face: face.box[2] * face.box[3])
    return Image.fromarray(crop_face(pixels, largest, FER2013_FRAMING, size=48))


def convert(clips: Path, votes: Path, demographics: Path, out: Path) -> Counter[str]:
    """Write `out`/test/EMOTION/CLIP.png and `out`/groups.csv; returns how many clips became what.

    Raises:
        FormatError: a table has another layout, or an actor is in no line of the demographics.
    """
    emotions, actors = read_votes(votes), read_actors(demographics)
    detector, counts = BlazeFace(), Counter[str]()
    rows: list[dict[str, str]] = []
    for clip in sorted(path for path in clips.iterdir() if path.suffix.lower() in SUFFIXES):
        actor = clip.stem.partition("_")[0]
        if actor not in actors:
            raise FormatError(f"{clip.name}: actor {actor} is in no line of {demographics}.")
        emotion = emotions.get(clip.stem)
        face = middle_face(clip, detector) if emotion else None
        if emotion is None or face is None:
            why = "no face" if emotion else "tie" if clip.stem in emotions else "no votes"
            counts[why] += 1
            continue
        folder = out / "test" / emotion
        folder.mkdir(parents=True, exist_ok=True)
        face.save(folder / f"{clip.stem}.png")
        rows.append({"name": f"{clip.stem}.png", **actors[actor]})
        counts["face"] += 1
    out.mkdir(parents=True, exist_ok=True)
    with (out / "groups.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("name", "age", "sex", "race", "ethnicity"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return counts


def main() -> None:
    """Convert, and print how many clips became what."""
    parser = argparse.ArgumentParser(description="CREMA-D's clips as folders of faces and a table of groups.")
    for name in ("clips", "votes", "demographics", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    for what, count in convert(**vars(arguments)).items():
        print(f"{count:6,} {what}")


if __name__ == "__main__":
    main()
