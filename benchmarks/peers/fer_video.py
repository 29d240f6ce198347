"""A clip through the package `fer`, timed; run by the Python that has it: see peers/fer_photo.py.

OpenCV decodes, Haar finds the faces of each picture, fer's network reads them. Prints one line of JSON.
"""

import json
import os
import sys
import time
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import cv2
from fer.fer import FER


def main():
    clip, most_seconds = sys.argv[1], float(sys.argv[2])
    reader = FER(mtcnn=False)
    capture = cv2.VideoCapture(clip)
    _, first = capture.read()
    reader.detect_emotions(first)  # does not count: loading
    capture = cv2.VideoCapture(clip)
    frames = faces = 0
    decode_s = find_s = read_s = 0.0
    start, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - start < most_seconds:
        began = time.perf_counter()
        there, image = capture.read()
        decoded = time.perf_counter()
        if not there:
            break
        boxes = [tuple(int(value) for value in box) for box in reader.find_faces(image)]
        found = time.perf_counter()
        if boxes:
            reader.detect_emotions(image, boxes)
        done = time.perf_counter()
        decode_s, find_s, read_s = decode_s + decoded - began, find_s + found - decoded, read_s + done - found
        frames, faces = frames + 1, faces + len(boxes)
    print(
        json.dumps(
            {
                "name": f"fer {version('fer')}",
                "frames": frames,
                "faces": faces / max(frames, 1),
                "decode_ms": 1000 * decode_s / frames,
                "find_ms": 1000 * find_s / frames,
                "read_ms": 1000 * read_s / frames,
                "wall_ms": 1000 * (decode_s + find_s + read_s) / frames,
                "cpu_ms": 1000 * (time.process_time() - cpu) / frames,
            }
        )
    )


if __name__ == "__main__":
    main()
