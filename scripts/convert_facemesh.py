# /// script
# requires-python = ">=3.11"
# dependencies = ["mediapipe==0.10.14", "numpy>=2", "onnx>=1.17", "onnxruntime", "pillow", "tflite>=2.18"]
# ///
"""MediaPipe's face mesh with attention from TensorFlow Lite to ONNX: how the shipped landmarks were made.

    pip install mediapipe==0.10.14 tflite onnx
    npm pack mind-ar@1.2.5
    python scripts/convert_facemesh.py --canonical mind-ar-1.2.5.tgz

The network is read from the flatbuffer and written node by node, as `convert_blazeface.py` does it; its three
operators that are MediaPipe's own (eyes and lips are looked at again, enlarged) become standard ones. The
weights stay float16, as the file contains them. The refined landmarks are put into the mesh as MediaPipe does
it, so that one output holds all of them. Then MediaPipe itself runs on the same image, and the conversion
fails if its landmarks differ. The canonical face is written beside the network.

Source: Grishchenko et al. 2020, "Attention Mesh: High-fidelity Face Mesh Prediction in Real-time"; model by
Google's MediaPipe, Apache-2.0.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import sys
import tarfile
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from flatbuffers import flexbuffers
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tflite_to_onnx import Converter

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "mediapipe"
NAME = "face_landmark_with_attention.tflite"
SIDE = 192  # of the network's input
TOLERANCE = 0.02  # largest difference allowed, in pixels of the input
CANONICAL = "canonical-face-model.obj"
# What follows the mesh: lips, the eye at the left of the image and the other, their irises.
PARTS = ("lips", "left_eye", "right_eye", "left_iris", "right_iris")
# The landmarks of an eye's contour: the iris has their mean depth (MediaPipe's landmarks refinement).
LEFT_CONTOUR = (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173)
RIGHT_CONTOUR = (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398)


class MeshConverter(Converter):
    """The conversion of the face mesh; of the base it keeps convolutions, pooling and padding."""

    def __init__(self, buffer: bytes) -> None:
        super().__init__(buffer)
        self.subsets: list[list[int]] = []

    def convert(self) -> onnx.ModelProto:
        """The whole graph as a checked ONNX model."""
        self._scale_pixels(int(self.graph.Inputs(0)))
        self._operators()
        names = {self.graph.Tensors(i).Name().decode(): i for i in map(int, self.graph.OutputsAsNumpy())}
        self._assemble({name.removeprefix("output_"): self._name(index) for name, index in names.items()})
        return self._model()

    def _scale_pixels(self, index: int) -> None:
        """Bytes (N, 192, 192, 3) to 0..1 (N, 3, 192, 192): pixels / 255."""
        self.weights["pixel_scale"] = np.array(1 / 255, np.float32)
        self._node("Transpose", ["image"], "image_nchw", perm=[0, 3, 1, 2])
        self._node("Cast", ["image_nchw"], "image_float", to=TensorProto.FLOAT)
        self._node("Mul", ["image_float", "pixel_scale"], self._name(index))

    def _assemble(self, names: dict[str, str]) -> None:
        """All landmarks as one output (N, 478, 3), the refined ones in place of those of the mesh."""
        rows = [468, *(len(subset) for subset in self.subsets), 5, 5]
        source = np.arange(478)
        starts = np.cumsum([0, *rows])
        for subset, start in zip(self.subsets, starts[1:4], strict=True):
            source[subset] = start + np.arange(len(subset))
        source[468:] = starts[4] + np.arange(10)
        self._ints("xy", [0, 1])
        self._ints("z", [2])
        self._ints("rows_3", [0, 468, 3])
        self._ints("rows_2", [0, -1, 2])
        self._node("Reshape", [names["mesh_identity"], "rows_3"], "mesh")
        self._node("Gather", ["mesh", "xy"], "mesh_xy", axis=2)
        parts = ["mesh_xy"]
        for part in PARTS:
            self._node("Reshape", [names[part], "rows_2"], f"{part}_xy")
            parts.append(f"{part}_xy")
        self._node("Concat", parts, "candidates", axis=1)
        self._ints("source", source)
        self._node("Gather", ["candidates", "source"], "landmarks_xy", axis=1)
        self._node("Gather", ["mesh", "z"], "mesh_z", axis=2)
        depths = ["mesh_z"]
        self._ints("five", [1, 5, 1])
        for side, contour in (("left", LEFT_CONTOUR), ("right", RIGHT_CONTOUR)):
            self._ints(f"{side}_contour", contour)
            self._node("Gather", ["mesh_z", f"{side}_contour"], f"{side}_contour_z", axis=1)
            self._node("ReduceMean", [f"{side}_contour_z"], f"{side}_z", axes=[1], keepdims=1)
            self._node("Tile", [f"{side}_z", "five"], f"{side}_iris_z")
            depths.append(f"{side}_iris_z")
        self._node("Concat", depths, "landmarks_z", axis=1)
        self._node("Concat", ["landmarks_xy", "landmarks_z"], "landmarks", axis=2)
        self._ints("flat", [0])
        self._node("Reshape", [names["conv_faceflag"], "flat"], "presence_logit")
        self._node("Sigmoid", ["presence_logit"], "presence")

    def _model(self) -> onnx.ModelProto:
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, 3])
        outputs = [
            helper.make_tensor_value_info("landmarks", TensorProto.FLOAT, ["N", 478, 3]),
            helper.make_tensor_value_info("presence", TensorProto.FLOAT, ["N"]),
        ]
        used = {name for node in self.nodes for name in node.input}
        weights, casts = [], []
        for name, array in self.weights.items():
            if name not in used:
                continue
            half = array.astype(np.float16) if array.dtype == np.float32 and array.size > 16 else None
            if half is None or (half.astype(np.float32) != array).any():
                weights.append(numpy_helper.from_array(array, name))
                continue
            weights.append(numpy_helper.from_array(half, f"{name}_half"))
            casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
        graph = helper.make_graph([*casts, *self.nodes], "facemesh", [image], outputs, weights)
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opset, producer_name="mien", ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model

    # One method per operator of the flatbuffer that the base has not, or has for the other network.

    def _prelu(self, _: Any, inputs: list[int], output: int) -> None:
        """slope * x + (1 - slope) * relu(x), as two scalings of the channels.

        ONNX Runtime's PRelu leaves the layout of its convolutions: a face costs 4.8 ms with it, 2.4 ms so.
        """
        slope, source = self._constant(inputs[1]).reshape(-1, 1, 1, 1), self._name(inputs[0])
        scaled, positive = f"scaled_{output}", f"positive_{output}"
        self._node("Relu", [source], positive)
        for of, factor in ((source, slope), (positive, np.float32(1) - slope)):
            name = f"{scaled}_{of}"
            self.weights[f"factor_{name}"] = factor
            self._node("Conv", [of, f"factor_{name}"], name, group=len(slope), kernel_shape=[1, 1])
        self._node("Add", [f"{scaled}_{source}", f"{scaled}_{positive}"], output)

    def _strided_slice(self, _: Any, inputs: list[int], output: int) -> None:
        if any(self._constant(inputs[1])) or (self._constant(inputs[2]) != self._shape(inputs[0])).any():
            sys.exit("only a slice of all values is handled.")
        self._node("Identity", [self._name(inputs[0])], output)

    def _reshape(self, _: Any, inputs: list[int], output: int) -> None:
        shape = [int(side) for side in self._shape(output)]
        self._ints(f"shape_{output}", [0, *shape[1:]])
        self._node("Reshape", [self._name(inputs[0]), f"shape_{output}"], output)

    def _mul(self, _: Any, inputs: list[int], output: int) -> None:
        factor = self._constant(inputs[1])
        if factor.size == 16:
            # Of a matrix only two rows and the columns for x, y and 1 are kept.
            factor = factor.reshape(4, 4)[:2, [0, 1, 3]]
        self.weights[f"factor_{output}"] = factor.astype(np.float32)
        self._node("Mul", [self._name(inputs[0]), f"factor_{output}"], output)

    def _landmarks2transformmatrix(self, operator: Any, inputs: list[int], output: int) -> None:
        """The square around some landmarks, turned level: a matrix (N, 2, 3) from its pixels to the map."""
        o, name = flexbuffers.Loads(bytes(operator.CustomOptionsAsNumpy())), f"part_{output}"
        if o["target_rotation_radians"] != 0:
            sys.exit("only an upright target is handled.")
        self.subsets.append([int(index) for index in o["subset_idxs"]])
        self._ints(f"{name}_left", [o["left_rotation_idx"]])
        self._ints(f"{name}_right", [o["right_rotation_idx"]])
        self._ints(f"{name}_subset", self.subsets[-1])
        self._ints("xy", [0, 1])
        self._ints("two", [2])
        self._ints("axis_1", [1])
        self._ints("axis_2", [2])
        self._node("Gather", [self._name(inputs[0]), "xy"], f"{name}_xy", axis=2)
        for side in ("left", "right"):
            self._node("Gather", [f"{name}_xy", f"{name}_{side}"], f"{name}_{side}_xy", axis=1)
        self._node("Sub", [f"{name}_right_xy", f"{name}_left_xy"], f"{name}_across")
        self._node("ReduceL2", [f"{name}_across"], f"{name}_distance", axes=[2], keepdims=1)
        self._node("Div", [f"{name}_across", f"{name}_distance"], f"{name}_unit")  # (N, 1, 2): cos, sin
        self._node("Split", [f"{name}_unit"], [f"{name}_cos", f"{name}_sin"], axis=2)
        self._node("Neg", [f"{name}_sin"], f"{name}_minus_sin")
        first = self._node("Concat", [f"{name}_cos", f"{name}_minus_sin"], f"{name}_row_x", axis=2)
        second = self._node("Concat", [f"{name}_sin", f"{name}_cos"], f"{name}_row_y", axis=2)
        self._node("Concat", [first, second], f"{name}_turn", axis=1)  # (N, 2, 2): from level to the map
        # Points are rows here, so that a product from the right with `turn` turns them level.
        self._node("Gather", [f"{name}_xy", f"{name}_subset"], f"{name}_points", axis=1)
        self._node("MatMul", [f"{name}_points", f"{name}_turn"], f"{name}_level")
        for what in ("Max", "Min"):
            self._node(f"Reduce{what}", [f"{name}_level"], f"{name}_{what}", axes=[1], keepdims=1)
        self._node("Sub", [f"{name}_Max", f"{name}_Min"], f"{name}_size")
        self._node("Add", [f"{name}_Max", f"{name}_Min"], f"{name}_sum")
        self.weights["half"] = np.array(0.5, np.float32)
        self._node("Mul", [f"{name}_sum", "half"], f"{name}_middle_level")
        self._node("Transpose", [f"{name}_turn"], f"{name}_back", perm=[0, 2, 1])
        self._node("MatMul", [f"{name}_middle_level", f"{name}_back"], f"{name}_middle")  # (N, 1, 2)
        width, height = o["output_width"], o["output_height"]
        self.weights[f"{name}_scale"] = np.array([o["scale_x"] / width, o["scale_y"] / height], np.float32)
        self._node("Mul", [f"{name}_size", f"{name}_scale"], f"{name}_step")
        self._node("Mul", [f"{name}_turn", f"{name}_step"], f"{name}_linear")  # columns scaled
        self.weights[f"{name}_centre"] = np.array([[-width / 2], [-height / 2]], np.float32)
        self._node("MatMul", [f"{name}_linear", f"{name}_centre"], f"{name}_corner")  # (N, 2, 1)
        self._node("Transpose", [f"{name}_middle"], f"{name}_middle_column", perm=[0, 2, 1])
        self._node("Add", [f"{name}_corner", f"{name}_middle_column"], f"{name}_offset")
        self._node("Concat", [f"{name}_linear", f"{name}_offset"], output, axis=2)

    def _transformtensorbilinear(self, operator: Any, inputs: list[int], output: int) -> None:
        """The map sampled at the pixels of a turned square."""
        o = flexbuffers.Loads(bytes(operator.CustomOptionsAsNumpy()))
        height, width = o["output_height"], o["output_width"]
        rows, columns = np.mgrid[:height, :width]
        centres = np.stack([columns + 0.5, rows + 0.5, np.ones_like(rows)]).reshape(3, -1)
        self.weights["pixel_centres"] = centres.astype(np.float32)
        side = np.array([[2 / int(self._shape(inputs[0])[2])], [2 / int(self._shape(inputs[0])[1])]])
        self.weights[f"side_{output}"] = side.astype(np.float32)
        self.weights["one"] = np.array(1, np.float32)
        self._ints("grid_shape", [0, height, width, 2])
        self._node("MatMul", [self._name(inputs[1]), "pixel_centres"], f"sampled_{output}")
        self._node("Mul", [f"sampled_{output}", f"side_{output}"], f"relative_{output}")
        self._node("Sub", [f"relative_{output}", "one"], f"shifted_{output}")
        self._node("Transpose", [f"shifted_{output}"], f"list_{output}", perm=[0, 2, 1])
        self._node("Reshape", [f"list_{output}", "grid_shape"], f"grid_{output}")
        self._node("GridSample", [self._name(inputs[0]), f"grid_{output}"], output, padding_mode="zeros")

    def _transformlandmarks(self, _: Any, inputs: list[int], output: int) -> None:
        """Points (N, K, 2) of a turned square to the image."""
        self._ints("axis_2", [2])
        self._ints("linear_and_offset", [2, 1])
        parts = [f"linear_{output}", f"offset_{output}"]
        self._node("Split", [self._name(inputs[1]), "linear_and_offset"], parts, axis=2)
        self._node("Transpose", [parts[0]], f"turned_{output}", perm=[0, 2, 1])
        self._node("Transpose", [parts[1]], f"moved_{output}", perm=[0, 2, 1])
        self._node("MatMul", [self._name(inputs[0]), f"turned_{output}"], f"product_{output}")
        self._node("Add", [f"product_{output}", f"moved_{output}"], output)

    def _ints(self, name: str, values: Any) -> None:
        self.weights[name] = np.asarray(values, np.int64)


def installed(name: str) -> Path:
    """A file of the installed package.

    Raises:
        SystemExit: the package is not installed.
    """
    try:
        return next(Path(str(file.locate())) for file in files(PACKAGE) or () if file.name == name)
    except (PackageNotFoundError, StopIteration):
        sys.exit(f"{name} not found. Get it with: pip install {PACKAGE}==0.10.14")


def run_mediapipe(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """MediaPipe's landmarks (N, 478, 3), in pixels, for images (N, 192, 192, 3)."""
    from google.protobuf import text_format
    from mediapipe.framework import calculator_pb2
    from mediapipe.framework.formats import rect_pb2
    from mediapipe.python import packet_creator, packet_getter
    from mediapipe.python._framework_bindings import calculator_graph, image_frame, resource_util

    resource_util.set_resource_dir(str(Path(str(installed(NAME))).parents[3]))
    config = calculator_pb2.CalculatorGraphConfig()
    text_format.Parse(
        """
        input_stream: "image" input_stream: "roi" output_stream: "landmarks" input_side_packet: "attention"
        node { calculator: "FaceLandmarkCpu" input_stream: "IMAGE:image" input_stream: "ROI:roi"
               input_side_packet: "WITH_ATTENTION:attention" output_stream: "LANDMARKS:landmarks" }
        """,
        config,
    )
    found: list[Any] = []
    graph = calculator_graph.CalculatorGraph(graph_config=config)
    graph.observe_output_stream("landmarks", lambda _, packet: found.append(packet_getter.get_proto(packet)))
    graph.start_run({"attention": packet_creator.create_bool(True)})
    roi = rect_pb2.NormalizedRect(x_center=0.5, y_center=0.5, width=1, height=1)
    for time, image in enumerate(images):
        frame = packet_creator.create_image_frame(image, image_format=image_frame.ImageFormat.SRGB)
        graph.add_packet_to_input_stream("image", frame.at(time))
        graph.add_packet_to_input_stream("roi", packet_creator.create_proto(roi).at(time))
    graph.close_all_packet_sources()
    graph.wait_until_done()
    rows = [[(p.x, p.y, p.z) for p in each.landmark] for each in found]
    return np.array(rows, np.float32) * SIDE


def run_onnx(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """ONNX Runtime's landmarks (N, 478, 3), in pixels, for images (N, 192, 192, 3), all in one batch."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    landmarks: NDArray[np.float32] = session.run(["landmarks"], {"image": images})[0]
    return landmarks


def examples() -> NDArray[np.uint8]:
    """The face of the example photo as a crop of 192 px, as it is, turned by 20 degrees, and mirrored."""
    photo = Image.open(ROOT / "examples" / "astronaut.jpg").convert("RGB")
    face = photo.crop((128, 20, 328, 220))
    turned = photo.rotate(20, center=(228, 120), resample=Image.Resampling.BICUBIC).crop((128, 20, 328, 220))
    images = (face, turned, face.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    return np.stack([np.asarray(each.resize((SIDE, SIDE), Image.Resampling.BOX)) for each in images])


def compare(onnx_path: Path, reference: Path | None) -> None:
    """Both on the examples; prints the largest difference. With `reference`, images and landmarks go there.

    Raises:
        SystemExit: they differ by more than the tolerance.
    """
    images = examples()
    expected = run_mediapipe(images)
    difference = float(np.abs(run_onnx(onnx_path, images) - expected).max())
    print(f"largest difference from MediaPipe: {difference:.1e} px of {SIDE}")
    if difference > TOLERANCE:
        sys.exit(f"the conversion differs from {NAME} by more than {TOLERANCE} px.")
    if reference is not None:
        np.savez_compressed(reference, images=images, landmarks=expected)


def canonical_face(package: Path) -> str:
    """MediaPipe's canonical face as OBJ, its 468 points and 898 triangles alone.

    Raises:
        SystemExit: the package does not hold it.
    """
    with tarfile.open(package) as archive:
        member = next((each for each in archive.getmembers() if each.name.endswith(CANONICAL)), None)
        content = member and archive.extractfile(member)
        if not content:
            sys.exit(f"{package} holds no {CANONICAL}. Get it with: npm pack mind-ar@1.2.5")
        text = io.TextIOWrapper(content, encoding="utf-8").read()
    points = re.findall(r"^v \S+ \S+ \S+", text, re.MULTILINE)
    triangles = re.findall(r"^f (\d+)\S* (\d+)\S* (\d+)", text, re.MULTILINE)
    if (len(points), len(triangles)) != (468, 898):
        sys.exit(f"{CANONICAL} has {len(points)} points and {len(triangles)} triangles, not 468 and 898.")
    lines = ["# MediaPipe's canonical face model. Copyright The MediaPipe Authors, Apache-2.0."]
    return "\n".join([*lines, *points, *(f"f {' '.join(corners)}" for corners in triangles)]) + "\n"


def main() -> None:
    """Convert, compare, and write the facts beside the weights."""
    parser = argparse.ArgumentParser(description="MediaPipe's face mesh from TensorFlow Lite to ONNX.")
    parser.add_argument("source", nargs="?", type=Path, help=f"{NAME}; default: from the installed {PACKAGE}")
    parser.add_argument("--canonical", type=Path, help="mind-ar-1.2.5.tgz, for the canonical face")
    parser.add_argument("--out", type=Path, default=ROOT / "src/mien/models/weights/facemesh.onnx")
    parser.add_argument("--reference", type=Path, help="also save the images and MediaPipe's landmarks here")
    arguments = parser.parse_args()
    source = arguments.source or installed(NAME)
    onnx.save(MeshConverter(source.read_bytes()).convert(), arguments.out)
    compare(arguments.out, arguments.reference)
    facts = {
        "name": "facemesh",
        "sha256": hashlib.sha256(arguments.out.read_bytes()).hexdigest(),
        "source": f"{NAME} (MediaPipe, Google), from the PyPI package {PACKAGE}"
        + ("" if arguments.source else f" {version(PACKAGE)}"),
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "licence": "Apache-2.0",
        "paper": "Grishchenko et al. 2020, Attention Mesh: High-fidelity Face Mesh Prediction in Real-time",
        "input": "image: uint8 (N, 192, 192, 3) RGB, the face upright, 1.5 times its box",
        "outputs": "landmarks: float32 (N, 478, 3), pixels of the input, 468 of the face and 5 per iris; "
        "presence: float32 (N,), 0..1, that there is a face",
        "converted_by": "scripts/convert_facemesh.py",
    }
    arguments.out.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1024:.0f} KiB")
    if arguments.canonical:
        face = ROOT / "src/mien/movements/canonical_face.obj"
        face.write_text(canonical_face(arguments.canonical), encoding="utf-8")


if __name__ == "__main__":
    main()
