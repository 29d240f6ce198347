"""The stages of one clip or stream, shared by clips, cameras and the service."""

from __future__ import annotations

from mien.images.crop import FER2013_FRAMING
from mien.inference.analyzer import Analyzer
from mien.video.frame import Frame
from mien.video.options.clips import DETECTOR_SIZE, FaceSelection
from mien.video.smoothing import Smoothing
from mien.video.stages.classify import ClassifyStage
from mien.video.stages.detect import DetectStage
from mien.video.stages.select import FaceSelector
from mien.video.stages.smooth import SmoothStage
from mien.video.stages.track import TrackedFrame, TrackStage
from mien.video.tracking.people import People

# In a file the detector runs once in so long, see `DetectStage`.
DETECT_INTERVAL_S = 0.1


class Pipeline:
    """DetectStage -> TrackStage -> ClassifyStage -> SmoothStage with its FaceSelector.

    The stages are attributes: `detector` and `tracker` may run in one thread, `classifier` and `smoother` in
    another.

    Args:
        source: the clip's name, for the results.
        analyzer: the model and the detector.
        live: give each result at once, from the past alone, with the detector on every frame.
        faces: ``"all"``, or ``"biggest"`` for one person at a time.
        smoothing: of each face's probabilities over time.
        detector_size: the longest side of the detector's input; more finds smaller faces.
        detect_interval_s: in files, seconds between two frames on which the detector runs.
        keep_frames: hand the frames on, for drawing on them.
        thumbnails: take small images of the faces now and then.
        people: numbers people; new ones for None, who get their number back when they return.
    """

    def __init__(
        self,
        source: str,
        analyzer: Analyzer,
        *,
        live: bool = False,
        faces: FaceSelection = "all",
        smoothing: Smoothing | None = None,
        detector_size: int = DETECTOR_SIZE,
        detect_interval_s: float = DETECT_INTERVAL_S,
        keep_frames: bool = False,
        thumbnails: bool = False,
        people: People | None = None,
    ) -> None:
        self._source, self._live = source, live
        self._smoothing, self._selector = smoothing, FaceSelector(faces)
        card = analyzer.classifier.card
        self.detector = DetectStage(
            analyzer.detector, interval_s=0.0 if live else detect_interval_s, detector_size=detector_size
        )
        self.tracker = TrackStage(
            card.framing or FER2013_FRAMING,
            card.input_size,
            align=analyzer.align,
            keep_frames=keep_frames,
            thumbnails=thumbnails,
            people=people or People(),
        )
        self.use(analyzer)

    def use(self, analyzer: Analyzer) -> None:
        """Classify with another head from now on, or with other movements.

        Persons keep their numbers, smoothing starts anew.
        """
        self.tracker.measure = analyzer.measure if analyzer.mesh else None
        classifier = analyzer.classifier
        self.classifier = ClassifyStage(classifier, analyzer.face_check, live=self._live)
        self.smoother = SmoothStage(
            self._source,
            classifier.head,
            self._smoothing,
            live=self._live,
            selector=self._selector,
            limits=analyzer.limits,
        )

    def track(self, frame: Frame) -> list[TrackedFrame]:
        """Take the next frame; returns those whose faces are tracked by now."""
        return [self.tracker.feed(found) for found in self.detector.feed(frame)]

    def finish_tracking(self) -> list[TrackedFrame]:
        """The frames that were still waiting for their faces when the clip ended."""
        return [self.tracker.feed(found) for found in self.detector.finish()]
