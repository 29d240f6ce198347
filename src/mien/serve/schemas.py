"""The JSON of the responses, also for the OpenAPI document; the keys are those of `mien predict`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mien.serve.errors import ErrorResponse

_Seconds = Annotated[float, AfterValidator(lambda seconds: round(seconds, 3))]


class FacePrediction(BaseModel):
    """A face and its apparent expression: how it looks, not what the person feels."""

    box: tuple[float, float, float, float] = Field(
        description="x, y, width, height in pixels, origin top left; may extend beyond the image"
    )
    confidence: float | None = Field(description="of the detector, 0..1")
    top: str = Field(description="the most probable emotion", examples=["happy"])
    uncertain: bool = Field(description="whether it should not be read as one emotion")
    emotions: dict[str, float] = Field(description="name to probability; they sum to 1")
    abstentions: dict[str, float] = Field(description="reason to abstain to its share of the votes")
    keypoints: list[tuple[float, float]] | None = Field(
        description="right eye, left eye, nose, mouth, right ear, left ear; x and y"
    )
    quality: dict[str, float | None] = Field(
        description="size in pixels, sharpness, light, cut_off (share), roll, yaw and pitch in degrees, "
        "and the scores covered and moved"
    )
    warnings: list[str] = Field(
        description="what of that lies beyond the limits within which the model was measured",
        examples=[["blurred"]],
    )
    movements: dict[str, float | None] | None = Field(
        default=None,
        description="with `movements=on`: head and gaze in degrees, lids, lips and brows, by names in the "
        "documentation; null for a face without landmarks",
    )


class ImagePrediction(BaseModel):
    """An analyzed image and its faces; the list is empty if there are none."""

    source: str = Field(description="the name of the file in the request", examples=["photo.jpg"])
    width: int
    height: int
    faces: list[FacePrediction] = Field(description="the largest first")


class FailedImage(BaseModel):
    """An image that could not be read, and the reason."""

    source: str
    error: str


class AnalyzeResponse(BaseModel):
    """The faces of every image, in the order of the request; the document of `mien predict --json`."""

    model: str
    results: list[ImagePrediction]
    errors: list[FailedImage]


class LongestRun(BaseModel):
    """The longest time during which one emotion stayed the most probable."""

    model_config = ConfigDict(from_attributes=True)
    emotion: str
    start_s: float
    seconds: float


class PersonSummary(BaseModel):
    """One tracked person of a clip; the number is the same for one person, but does not identify them."""

    model_config = ConfigDict(from_attributes=True)
    face_id: int
    first_s: _Seconds
    last_s: _Seconds
    seconds: _Seconds = Field(description="how long the face was visible")
    emotions: dict[str, _Seconds] = Field(
        description="emotion to the seconds during which it was the most probable"
    )
    uncertain_s: _Seconds
    switches: int = Field(description="how often the most probable emotion changed")
    longest: LongestRun


class JobStatus(BaseModel):
    """The state of a clip's analysis."""

    model_config = ConfigDict(frozen=True)
    id: str
    source: str = Field(description="the name of the file in the request")
    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    progress: float | None = Field(default=None, description="0..1; null if the duration is unknown")
    frames: int = Field(default=0, description="frames analyzed so far")
    time_s: _Seconds = Field(default=0.0, description="time of the last analyzed frame")
    duration_s: float | None = None
    error: ErrorResponse | None = Field(default=None, description="why it failed")
    warning: str | None = Field(default=None, description="why only part of the clip could be read")
    people: list[PersonSummary] = Field(default=[], description="the tracked people, once it is done")
    result: str | None = Field(default=None, description="path of the table, once it is done")


class RequestLimits(BaseModel):
    """The limits of a request."""

    model_config = ConfigDict(from_attributes=True)
    body_bytes: int
    images: int
    pixels: int
    frame_bytes: int
    video_bytes: int
    video_s: float


class ServerInfo(BaseModel):
    """The model, its label sets, and the limits."""

    mien: str = Field(description="version")
    model: str
    notice: str | None = Field(description="to show to the people in front of the camera")
    labels: str = Field(description="the default label set")
    label_sets: dict[str, list[str]]
    limits: RequestLimits


class ServerStatus(BaseModel):
    """Whether the server runs, or is ready for requests."""

    status: Literal["alive", "ready"]
