"""The graph of a BlazeFace .tflite as ONNX, read from the flatbuffer node by node.

Written for face_detection_back.tflite: it converts the operators of this file, and stops at others.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnx
import tflite
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OUTPUTS = ("boxes", "scores")  # the flatbuffer's `regressors` and `classificators`

_OPS = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
_DTYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}


class Converter:
    """The conversion of one flatbuffer: tensors by index, nodes in the file's order."""

    def __init__(self, buffer: bytes) -> None:
        self.model = tflite.Model.GetRootAs(buffer)
        self.graph = self.model.Subgraphs(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray[Any]] = {}
        self.constants: dict[int, NDArray[Any]] = {}

    def convert(self) -> onnx.ModelProto:
        """The whole graph as a checked ONNX model."""
        self._scale_pixels(int(self.graph.Inputs(0)))
        self._operators()
        for index, name in enumerate(OUTPUTS):
            self._node("Identity", [self._name(int(self.graph.Outputs(index)))], name)
        return self._model()

    def _operators(self) -> None:
        """The operators of the flatbuffer, each by the method of its name."""
        for k in range(self.graph.OperatorsLength()):
            operator = self.graph.Operators(k)
            code = self.model.OperatorCodes(operator.OpcodeIndex())
            op = _OPS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            if op == "CUSTOM":
                op = code.CustomCode().decode()
            convert = getattr(self, f"_{op.lower()}", None)
            if convert is None:
                sys.exit(f"operator {k} is {op}, for which this script has no ONNX counterpart.")
            inputs = [int(i) for i in operator.InputsAsNumpy()]
            convert(operator, inputs, int(operator.Outputs(0)))

    def _model(self) -> onnx.ModelProto:
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", "anchors", columns])
            for name, columns in zip(OUTPUTS, (16, 1), strict=True)
        ]
        used = {name for node in self.nodes for name in node.input}
        weights = [
            numpy_helper.from_array(array, name) for name, array in self.weights.items() if name in used
        ]
        graph = helper.make_graph(self.nodes, "blazeface-back", [image], outputs, weights)
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opset, producer_name="mien", ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _scale_pixels(self, index: int) -> None:
        """Bytes (N, H, W, 3) to -1..1 (N, 3, H, W): pixels / 127.5 - 1."""
        self.weights["pixel_scale"] = np.float32(1 / 127.5)
        self.weights["pixel_shift"] = np.float32(-1)
        self._node("Transpose", ["image"], "image_nchw", perm=[0, 3, 1, 2])
        self._node("Cast", ["image_nchw"], "image_float", to=TensorProto.FLOAT)
        self._node("Mul", ["image_float", "pixel_scale"], "image_scaled")
        self._node("Add", ["image_scaled", "pixel_shift"], self._name(index))

    # One method per operator of the flatbuffer; inputs and output are tensor indices.

    def _dequantize(self, _: Any, inputs: list[int], output: int) -> None:
        self.constants[output] = self._constant(inputs[0]).astype(np.float32)

    def _conv_2d(self, operator: Any, inputs: list[int], output: int) -> None:
        options = _options(operator, tflite.Conv2DOptions)
        kernel = self._constant(inputs[1]).transpose(0, 3, 1, 2)  # (out, kh, kw, in) -> (out, in, kh, kw)
        self._convolve(options, inputs, kernel, output, group=1)

    def _depthwise_conv_2d(self, operator: Any, inputs: list[int], output: int) -> None:
        options = _options(operator, tflite.DepthwiseConv2DOptions)
        kernel = self._constant(inputs[1]).transpose(
            3, 0, 1, 2
        )  # (1, kh, kw, channels) -> (channels, 1, kh, kw)
        if options.DepthMultiplier() != 1:
            sys.exit(f"depth multiplier {options.DepthMultiplier()} is not handled; only 1 is.")
        self._convolve(options, inputs, kernel, output, group=kernel.shape[0])

    def _convolve(
        self, options: Any, inputs: list[int], kernel: NDArray[Any], output: int, *, group: int
    ) -> None:
        strides = [options.StrideH(), options.StrideW()]
        if (options.DilationHFactor(), options.DilationWFactor()) != (1, 1):
            sys.exit("dilated convolutions are not handled.")
        self._no_activation(options)
        names = [self._name(inputs[0]), f"kernel_{output}", f"bias_{output}"]
        self.weights[names[1]] = np.ascontiguousarray(kernel)
        self.weights[names[2]] = self._constant(inputs[2])
        window = [int(side) for side in kernel.shape[2:]]
        pads = self._same_pads(options, inputs[0], window, strides)
        self._node("Conv", names, output, kernel_shape=window, strides=strides, pads=pads, group=group)

    def _max_pool_2d(self, operator: Any, inputs: list[int], output: int) -> None:
        options = _options(operator, tflite.Pool2DOptions)
        window = [options.FilterHeight(), options.FilterWidth()]
        strides = [options.StrideH(), options.StrideW()]
        self._no_activation(options)
        pads = self._same_pads(options, inputs[0], window, strides)
        self._node(
            "MaxPool", [self._name(inputs[0])], output, kernel_shape=window, strides=strides, pads=pads
        )

    def _pad(self, _: Any, inputs: list[int], output: int) -> None:
        widths = self._constant(inputs[1])[[0, 3, 1, 2]]  # rows are NHWC
        self.weights[f"pads_{output}"] = widths.T.ravel().astype(np.int64)
        self._node("Pad", [self._name(inputs[0]), f"pads_{output}"], output)

    def _add(self, operator: Any, inputs: list[int], output: int) -> None:
        self._no_activation(_options(operator, tflite.AddOptions))
        self._node("Add", [self._name(i) for i in inputs], output)

    def _relu(self, _: Any, inputs: list[int], output: int) -> None:
        self._node("Relu", [self._name(inputs[0])], output)

    def _reshape(self, _: Any, inputs: list[int], output: int) -> None:
        """A head's map (N, k * columns, H, W) as rows (N, H * W * k, columns), whatever H and W."""
        columns = int(self._shape(output)[-1])
        self.weights[f"rows_{columns}"] = np.array([0, -1, columns], dtype=np.int64)
        self._node("Transpose", [self._name(inputs[0])], f"nhwc_{output}", perm=[0, 2, 3, 1])
        self._node("Reshape", [f"nhwc_{output}", f"rows_{columns}"], output)

    def _concatenation(self, operator: Any, inputs: list[int], output: int) -> None:
        axis = _options(operator, tflite.ConcatenationOptions).Axis()
        self._node("Concat", [self._name(i) for i in inputs], output, axis=axis)

    def _same_pads(self, options: Any, source: int, window: list[int], strides: list[int]) -> list[int]:
        """TensorFlow's SAME: the larger half is at the end. Equal for all sides that are multiples of 32."""
        if options.Padding() == tflite.Padding.VALID:
            return [0, 0, 0, 0]
        sides = [int(side) for side in self._shape(source)[1:3]]
        totals = [
            max((-(-side // s) - 1) * s + k - side, 0)
            for side, k, s in zip(sides, window, strides, strict=True)
        ]
        return [total // 2 for total in totals] + [total - total // 2 for total in totals]

    def _no_activation(self, options: Any) -> None:
        if options.FusedActivationFunction() != tflite.ActivationFunctionType.NONE:
            sys.exit("fused activations are not handled; the back-camera model has none.")

    def _shape(self, index: int) -> NDArray[np.int32]:
        shape: NDArray[np.int32] = self.graph.Tensors(index).ShapeAsNumpy()
        return shape

    def _constant(self, index: int) -> NDArray[Any]:
        """A tensor's stored or dequantized values."""
        if index not in self.constants:
            tensor = self.graph.Tensors(index)
            data = self.model.Buffers(tensor.Buffer()).DataAsNumpy()
            self.constants[index] = data.view(_DTYPES[tensor.Type()]).reshape(tensor.ShapeAsNumpy())
        return self.constants[index]

    def _name(self, index: int) -> str:
        return f"t{index}"

    def _node(self, op: str, inputs: list[str], output: int | str | list[str], **attributes: Any) -> str:
        """A node with one or several outputs; returns the name of the first."""
        outputs = output if isinstance(output, list) else [output]
        names = [each if isinstance(each, str) else self._name(each) for each in outputs]
        self.nodes.append(helper.make_node(op, inputs, names, name=f"{op}_{names[0]}", **attributes))
        return names[0]


def _options(operator: Any, kind: Any) -> Any:
    """The operator's options as a table of the schema."""
    table = operator.BuiltinOptions()
    options = kind()
    options.Init(table.Bytes, table.Pos)
    return options
