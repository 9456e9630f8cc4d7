# SPDX-License-Identifier: Apache-2.0
"""Forward speed of ONNX Runtime: LeNet with random weights on data in memory.

    ort_infer.py [--batch 1024]
"""
import argparse

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import common


def lenet(rng):
    """LeNet as bytes of an ONNX model."""
    nodes, weights = [], []

    def node(op, source, *shapes, **attributes):
        names = []
        for shape in shapes:
            names.append(f"w{len(weights)}")
            weights.append(numpy_helper.from_array(
                rng.uniform(-0.1, 0.1, shape).astype(np.float32), names[-1]))
        nodes.append(helper.make_node(op, [source] + names, [f"x{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    pool = dict(kernel_shape=[2, 2], strides=[2, 2])
    x = node("Conv", "input", (6, 1, 5, 5), (6,))
    x = node("MaxPool", node("Tanh", x), **pool)
    x = node("Conv", x, (12, 6, 5, 5), (12,))
    x = node("MaxPool", node("Tanh", x), **pool)
    x = node("Gemm", node("Flatten", x), (100, 192), (100,), transB=1)
    x = node("Gemm", node("Tanh", x), (10, 100), (10,), transB=1)
    x = node("LogSoftmax", x, axis=1)
    graph = helper.make_graph(
        nodes, "lenet", [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 1, 28, 28])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["n", 10])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(lenet(rng), options, providers=["CPUExecutionProvider"])
    batches = [rng.standard_normal((args.batch, 1, 28, 28), np.float32) for _ in range(4)]
    count = 0

    def step():
        nonlocal count
        session.run(None, {"input": batches[count % len(batches)]})
        count += 1

    rates = common.measure(step, args.batch, args.seconds)
    common.report("onnxruntime", "lenet_forward", rates, batch=args.batch, threads=args.threads,
                  version=onnxruntime.__version__)


if __name__ == "__main__":
    main()
