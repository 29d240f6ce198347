"""The shapes of the answers, for the OpenAPI document; the answers themselves are written without it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class FaceAnswer(BaseModel):
    """A face and its apparent expression: how it looks, not what the person feels."""

    box: tuple[float, float, float, float] = Field(
        description="x, y, width, height in pixels, origin top left; may reach beyond the picture"
    )
    confidence: float | None = Field(description="the detector's, 0..1")
    top: str = Field(description="the most probable emotion", examples=["happy"])
    uncertain: bool = Field(description="whether it should not be read as one emotion")
    emotions: dict[str, float] = Field(description="name to probability; they sum to 1")
    abstentions: dict[str, float] = Field(description="grounds to abstain, to their share of the votes")
    keypoints: list[tuple[float, float]] | None = Field(
        description="right eye, left eye, nose, mouth, right ear, left ear; x and y"
    )


class PictureAnswer(BaseModel):
    """A picture that was read; without faces if there are none."""

    source: str = Field(description="the file's name as it was sent", examples=["photo.jpg"])
    width: int
    height: int
    faces: list[FaceAnswer] = Field(description="the largest first")


class FailedPicture(BaseModel):
    """A picture that could not be read, and why."""

    source: str
    error: str


class AnalyzeAnswer(BaseModel):
    """The faces in every picture, in the order they were sent; as `mien predict --json` writes them."""

    model: str
    results: list[PictureAnswer]
    errors: list[FailedPicture]


class LongestRun(BaseModel):
    """The longest time for which one expression stayed the most probable."""

    emotion: str
    start_s: float
    seconds: float


class PersonAnswer(BaseModel):
    """What was seen of one person of a clip; the number says who is the same, not who it is."""

    face_id: int
    first_s: float
    last_s: float
    seconds: float = Field(description="for how long the face was seen")
    emotions: dict[str, float] = Field(
        description="emotion to the seconds for which it was the most probable"
    )
    uncertain_s: float
    switches: int = Field(description="how often the most probable emotion changed")
    longest: LongestRun


class JobAnswer(BaseModel):
    """A clip that is being read."""

    id: str
    source: str = Field(description="the file's name as it was sent")
    state: Literal["waiting", "running", "done", "failed"]
    progress: float | None = Field(description="0..1; null where the clip does not tell its length")
    frames: int = Field(description="pictures read so far")
    time_s: float
    duration_s: float | None
    problem: str | None = Field(
        description="why it failed, or what was wrong with a clip that was read in part"
    )
    code: str | None
    people: list[PersonAnswer]
    result: str | None = Field(description="where to fetch the table, once it is done")


class LimitsAnswer(BaseModel):
    """What one request may ask for."""

    body_bytes: int
    pictures: int
    pixels: int
    frame_bytes: int
    video_bytes: int
    video_s: float


class AboutAnswer(BaseModel):
    """The model, its label sets, and the limits in force."""

    mien: str = Field(description="version")
    model: str
    labels: str = Field(description="the label set of requests that name none")
    label_sets: dict[str, list[str]]
    limits: LimitsAnswer


class AliveAnswer(BaseModel):
    """The server runs."""

    status: Literal["alive"]


class ReadyAnswer(BaseModel):
    """The models are loaded and there is room for requests."""

    status: Literal["ready"]
