"""One photo through the package `fer`, timed; run by the Python that has it: see benchmarks/predict.py.

    python -m venv peer && peer/bin/pip install fer 'opencv-contrib-python<5' 'setuptools<80'

OpenCV 5 has no Haar cascades and fer fails with it; older setuptools still have pkg_resources.
Prints one line of JSON. The detector is fer's default (Haar), its network the one inside its wheel.
"""

import json
import os
import statistics
import sys
import time
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import cv2
from fer.fer import FER


def median_ms(work, repeats):
    work()
    times = []
    while len(times) < min(repeats, 3) or (len(times) < repeats and sum(times) < 4000):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def main():
    photo, repeats = sys.argv[1], int(sys.argv[2])
    reader = FER(mtcnn=False)
    image = cv2.imread(photo)
    faces = reader.detect_emotions(image)
    boxes = [tuple(int(value) for value in face["box"]) for face in faces]
    print(
        json.dumps(
            {
                "name": f"fer {version('fer')}",
                "faces": len(faces),
                "top": max(faces[0]["emotions"], key=faces[0]["emotions"].get) if faces else None,
                "decode_ms": median_ms(lambda: cv2.imread(photo), repeats),
                "detect_ms": median_ms(lambda: reader.find_faces(image), repeats),
                "crop_and_classify_ms": median_ms(lambda: reader.detect_emotions(image, boxes), repeats),
                "photo_ms": median_ms(lambda: reader.detect_emotions(cv2.imread(photo)), repeats),
            }
        )
    )


if __name__ == "__main__":
    main()
