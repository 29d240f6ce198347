"""Cropped faces through the network of the package `fer`; run by the Python that has it, see ../models.py.

    python -m venv peer && peer/bin/pip install fer 'opencv-contrib-python<5' 'setuptools<80'

Takes a .npy of gray faces, uint8 (N, H, W), and writes their probabilities, float32 (N, 7), to another. The
network is fer's default (the quantised one in its wheel), and faces are enlarged and scaled as its own
`detect_emotions` does. Prints one line of JSON.
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
import numpy as np
from fer.fer import FER

SIDE = 64


def main():
    source, target, timed = sys.argv[1], sys.argv[2], int(sys.argv[3])
    cv2.setNumThreads(1)
    faces = np.load(source)
    reader = FER(mtcnn=False)

    def read(face):
        pixels = cv2.resize(face, (SIDE, SIDE)).astype("float32") / 255.0
        return reader._classify_emotions(((pixels - 0.5) * 2.0)[None])[0]

    for face in faces[:20]:
        read(face)
    times = []
    cpu = time.process_time()
    for face in faces[:timed]:
        start = time.perf_counter()
        read(face)
        times.append(1000 * (time.perf_counter() - start))
    cpu_ms = 1000 * (time.process_time() - cpu) / len(times)
    np.save(target, np.array([read(face) for face in faces], np.float32))
    labels = FER._get_labels()
    print(
        json.dumps(
            {
                "name": f"fer {version('fer')}",
                "labels": [labels[i] for i in range(len(labels))],
                "median_ms": statistics.median(times),
                "cpu_ms": cpu_ms,
            }
        )
    )


if __name__ == "__main__":
    main()
