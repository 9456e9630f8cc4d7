# SPDX-License-Identifier: Apache-2.0
"""The golden networks: small relatives of real ones, chosen to cover every kind of step.

A spec is plain data in bdl's terms, the same that goes into the .json beside the weights. Shapes are
those of a sample. Sizes are odd where they can be, and batches leave lanes of the last slice empty.
"""


class Graph:
    """Collects nodes; a node without inputs takes the one before it."""

    def __init__(self):
        self.nodes = []

    def add(self, name, kind, *inputs, **params):
        previous = self.nodes[-1]["name"] if self.nodes else "input"
        self.nodes.append({"name": name, "type": kind, "params": params,
                           "inputs": list(inputs) or [previous]})
        return name

    def conv(self, name, out_channels, kernel_size, *inputs, **params):
        return self.add(name, "conv2d", *inputs, out_channels=out_channels,
                        kernel_size=kernel_size, **params)

    def done(self):
        return {"nodes": self.nodes, "output": self.nodes[-1]["name"]}


def mlp():
    g = Graph()
    g.add("fc1", "linear", out_features=33)
    g.add("relu1", "relu")
    g.add("fc2", "linear", out_features=17)
    g.add("tanh2", "tanh")
    g.add("fc3", "linear", out_features=5)
    return {"shape": [20], "classes": 5, "batches": [[0, 21], [21, 9]], "graph": g.done(),
            "criterion": {"type": "cross_entropy", "params": {}},
            "optim": "sgd(lr=0.1, momentum=0.9)"}


def lenet():
    g = Graph()
    g.conv("conv1", 6, 5)
    g.add("tanh1", "tanh")
    g.add("pool1", "max_pool2d", kernel_size=2, stride=2)
    g.conv("conv2", 12, 5)
    g.add("tanh2", "tanh")
    g.add("pool2", "max_pool2d", kernel_size=2, stride=2)
    g.add("flatten", "flatten")
    g.add("fc1", "linear", out_features=100)
    g.add("tanh3", "tanh")
    g.add("fc2", "linear", out_features=10)
    g.add("log_softmax", "log_softmax", axis=1)
    return {"shape": [1, 28, 28], "classes": 10, "batches": [[0, 21], [21, 16]], "graph": g.done(),
            "criterion": {"type": "nll", "params": {}},
            "optim": "sgd(lr=0.05, momentum=0.9)"}


def vgg():
    """Its second convolution is wide and large enough for Winograd."""
    g = Graph()
    for name, maps in (("1a", 16), ("1b", 24), ("2", 19)):
        g.conv(f"conv{name}", maps, 3, padding=1)
        g.add(f"bn{name}", "batch_norm", eps=1e-3, momentum=0.1)
        g.add(f"relu{name}", "relu")
        if name != "1a":
            g.add(f"pool{name}", "max_pool2d", kernel_size=2, stride=2, ceil_mode=True)
    g.add("flatten", "flatten")
    g.add("fc1", "linear", out_features=24)
    g.add("bn3", "batch_norm", eps=1e-3, momentum=0.1)
    g.add("relu3", "relu")
    g.add("fc2", "linear", out_features=10)
    g.add("log_softmax", "log_softmax", axis=1)
    return {"shape": [3, 11, 11], "classes": 10, "batches": [[0, 21], [21, 9]], "graph": g.done(),
            "criterion": {"type": "nll", "params": {}},
            "optim": "sgd(lr=0.01, momentum=0.9, weight_decay=0.0005)"}


def residual():
    g = Graph()

    def conv_bn(name, maps, kernel, source, **params):
        g.conv(f"{name}_conv", maps, kernel, source, bias=False, **params)
        return g.add(f"{name}_bn", "batch_norm", eps=1e-5, momentum=0.1)

    conv_bn("stem", 8, 3, "input", padding=1)
    x = g.add("stem_relu", "relu")
    conv_bn("block1a", 8, 3, x, padding=1)
    g.add("block1a_relu", "relu")
    y = conv_bn("block1b", 8, 3, "block1a_relu", padding=1)
    g.add("block1_add", "add", y, x)
    x = g.add("block1_relu", "relu")
    conv_bn("block2a", 12, 3, x, padding=1, stride=2)
    g.add("block2a_relu", "relu")
    y = conv_bn("block2b", 12, 3, "block2a_relu", padding=1)
    x = conv_bn("block2_down", 12, 1, x, stride=2)
    g.add("block2_add", "add", y, x)
    g.add("block2_relu", "relu")
    g.add("pool", "adaptive_avg_pool2d", output_size=1)
    g.add("flatten", "flatten")
    g.add("fc", "linear", out_features=7)
    return {"shape": [3, 9, 9], "classes": 7, "batches": [[0, 9], [9, 17]], "graph": g.done(),
            "criterion": {"type": "cross_entropy", "params": {}},
            "optim": "sgd(lr=0.02, momentum=0.9, nesterov=true, weight_decay=0.001)"}


def inception():
    g = Graph()
    g.conv("stem", 8, 3, padding=1)
    g.add("stem_relu", "relu")
    x = g.add("stem_lrn", "lrn", size=5, alpha=0.05, beta=0.75, k=1.0)
    branches = []

    def conv_relu(name, maps, kernel, source, **params):
        g.conv(name, maps, kernel, source, **params)
        return g.add(f"{name}_relu", "relu")

    branches.append(conv_relu("b1x1", 6, 1, x))
    y = conv_relu("b3x3_reduce", 5, 1, x)
    branches.append(conv_relu("b3x3", 7, 3, y, padding=1))
    y = conv_relu("b5x5_reduce", 3, 1, x)
    branches.append(conv_relu("b5x5", 5, 5, y, padding=2))
    y = g.add("bpool", "max_pool2d", x, kernel_size=3, stride=1, padding=1, ceil_mode=True)
    branches.append(conv_relu("bpool_proj", 4, 1, y))
    g.add("concat", "concat", *branches, axis=1)
    g.add("pool", "avg_pool2d", kernel_size=3, stride=2, padding=1, ceil_mode=True,
          count_include_pad=False)
    g.add("flatten", "flatten")
    g.add("fc", "linear", out_features=6)
    g.add("log_softmax", "log_softmax", axis=1)
    return {"shape": [3, 8, 8], "classes": 6, "batches": [[0, 17], [17, 11]], "graph": g.done(),
            "criterion": {"type": "nll", "params": {}},
            # eps is large because at PyTorch's 1e-8 the first step is the sign of each gradient,
            # however small, and nothing could be compared.
            "optim": "adam(lr=0.005, beta1=0.9, beta2=0.99, eps=0.001, weight_decay=0.01)"}


# Spec and seed of each net. Seeds are those for which no ReLU and no maximum sits so close to a tie
# that 16 times float32's rounding could flip it in ten steps (make_goldens.py --search finds them).
NETS = {
    "mlp": (mlp, 1),
    "lenet": (lenet, 3),
    "vgg": (vgg, 245),
    "residual": (residual, 9),
    "inception": (inception, 7),
}
