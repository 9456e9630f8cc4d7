#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Predicts the efficiency of training on many nodes by an alpha-beta model, and prints the tables of docs/design/scaling.md.

    bench/scaling.py [--bandwidth 1.25e9] [--latency 60e-6] [--node 58] [--batch 128] [--shards 0] [--jitter 0.02] [--wire fp32]

The model (class Step) follows a step of src/train: a third of the computation is forward; in backward a layer's gradients
leave when they are there (with buckets) or at its end (without), to the ranks that own them; what goes into a rank, and what
goes out of one, shares its link. When an owner has all gradients of a bucket, its new weights go to all. Small sums (losses, batch
normalization) take ceil(log2 R) messages of one latency each, and nothing else happens meanwhile. The slowest rank is
waited for: by its shards, and by chance. bench/links measures beside it. Layers are those of `bdl inspect`; BDL names another command than
build/release/bin/bdl.
"""
import argparse
import dataclasses
import heapq
import math
import os
import pathlib
import re
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
BDL = os.environ.get("BDL", str(ROOT / "build/release/bin/bdl"))
BLOCK = 4096  # weights that have one owner
SLICE = 16
MOST_SHARDS = 1024
# Images/s of BigDL 0.3 on Inception-v1 (Dai and others, arXiv:1804.05839, and its white paper), relative to 16 nodes.
PUBLISHED = {16: 920, 32: 1887, 64: 3421, 96: 4854, 128: 5876, 256: 7861}


def split(n, part, n_parts):
    """Part number `part` of n things shared out evenly."""
    return n * part // n_parts, n * (part + 1) // n_parts


def n_nodes(begin, end):
    """Partial sums of a run of shards: the largest subtrees in it."""
    n = 0
    while begin < end:
        size = begin & -begin if begin else 1 << end.bit_length()
        while begin + size > end:
            size >>= 1
        begin += size
        n += 1
    return n


def largest(n):
    """Of n numbers with mean 0 and deviation 1, the largest to be expected (Blom 1958)."""
    return statistics.NormalDist().inv_cdf((n - 0.375) / (n + 0.25)) if n > 1 else 0.0


class Pipe:
    """A link that passes on what it gets in order."""

    def __init__(self, bandwidth):
        self.bandwidth, self.free_at = bandwidth, 0.0

    def put(self, when, size):
        self.free_at = max(self.free_at, when) + (size / self.bandwidth if self.bandwidth else 0)


@dataclasses.dataclass
class Step:
    """A step of n_ranks that share a batch of n_shards."""

    n_ranks: int
    n_shards: int
    shard_seconds: float  # of computation
    layers: list  # weights of each, from the first on
    work: list = None  # what each takes of the time of backward, in any unit; by default as its weights
    scalar_size: int = 4  # on the wire
    bucket: int = 1 << 20
    jitter: float = 0.0
    n_exchanges: int = 1

    def shards(self, rank):
        begin, end = split(self.n_shards, rank, self.n_ranks)
        return end - begin

    def late(self):
        """By how much the slowest of all takes longer, by chance."""
        return 1 + self.jitter * largest(self.n_ranks)

    def compute(self, jitter=True):
        """Of the slowest rank."""
        most = max(self.shards(r) for r in range(self.n_ranks)) * self.shard_seconds
        return most * (self.late() if jitter else 1)

    def blocks(self):
        return -(-sum(self.layers) // BLOCK)

    def buckets(self):
        """(begin, end, owner), in weights, as src/train/buckets.c cuts them."""
        at_once = self.n_ranks * max(-(-self.bucket // (4 * BLOCK)) // self.n_ranks, 1)
        n_pieces = self.n_ranks * (-(-self.blocks() // at_once) if self.bucket else 1)
        for piece in range(n_pieces):
            begin, end = split(self.blocks(), piece, n_pieces)
            if begin < end:
                yield begin * BLOCK, end * BLOCK, piece % self.n_ranks

    def ready(self, begin, seconds):
        """When the gradients from `begin` on are there, if computing takes `seconds`: backward comes from the end."""
        if not self.bucket:
            return seconds
        work, before, at = self.work or self.layers, 0, 0
        for weights, share in zip(self.layers, work):
            at += weights
            if at > begin:
                break
            before += share
        return seconds - seconds * 2 / 3 * before / sum(work)

    def kinds(self):
        """{(partial sums, shards): how many ranks have so many}"""
        kinds = {}
        for rank in range(self.n_ranks):
            begin, end = split(self.n_shards, rank, self.n_ranks)
            key = n_nodes(begin, end), end - begin
            kinds[key] = kinds.get(key, 0) + 1
        return kinds

    def look(self, rank, when):
        """When `rank` updates what is complete at `when`: at the end of a layer, or when backward has ended."""
        seconds = self.shards(rank) * self.shard_seconds * self.late()
        if not self.bucket or when > seconds:
            return max(when, seconds)
        starts = [sum(self.layers[:i]) for i in range(len(self.layers))]
        return min(time for time in (self.ready(start, seconds) for start in starts) if time >= when)

    def wire(self, bandwidth):
        """When the last new weights are there, without latency."""
        into = [Pipe(bandwidth) for _ in range(self.n_ranks)]
        out = [Pipe(bandwidth) for _ in range(self.n_ranks)]
        late, others, missing, events = self.late(), self.n_ranks - 1, {}, []
        for begin, end, owner in self.buckets():
            for (nodes, n), count in self.kinds().items():
                missing[begin] = missing.get(begin, 0) + 1
                time = self.ready(begin, n * self.shard_seconds * late)
                heapq.heappush(events, (time, False, -end, begin, owner, nodes * count))
        while events:
            time, is_new_weights, end, begin, owner, n_vectors = heapq.heappop(events)
            size = (-end - begin) * self.scalar_size
            if is_new_weights:
                out[owner].put(time, size * others)
                for rank in range(self.n_ranks):
                    if rank != owner:
                        into[rank].put(time, size)
                continue
            into[owner].put(time, size * n_vectors * others / self.n_ranks)
            for rank in range(self.n_ranks):
                if rank != owner:
                    out[rank].put(time, size * n_vectors / self.n_ranks)
            missing[begin] -= 1
            if not missing[begin]:
                heapq.heappush(events, (self.look(owner, into[owner].free_at), True, end, begin, owner, 1))
        return max(self.compute(), *(pipe.free_at for pipe in [*into, *out]))

    def seconds(self, bandwidth, latency, overhead=0.0):
        """The step's time. `bandwidth` in bytes a second each way, 0 = no limit; `overhead` is what the processor adds."""
        if self.n_ranks == 1:
            return self.compute()
        small = self.n_exchanges * math.ceil(math.log2(self.n_ranks)) * latency
        return self.wire(bandwidth) + small + 2 * latency + overhead


# ---- predictions -----------------------------------------------------------------------------------------

def inspect(model):
    """Weights and multiply-adds of each layer of a ready-made model, and how many batch normalizations it has."""
    text = subprocess.run([BDL, "inspect", model], stdout=subprocess.PIPE, check=True, text=True).stdout
    layers, work, n_norms = [], [], 0
    for kind, shape, weights in re.findall(r"^\S+ +(\w+) +(\d+(?:x\d+)*) +(\d+)\b", text, re.MULTILINE):
        size = [int(n) for n in shape.split("x")]
        n_norms += kind == "batch_norm"
        if int(weights):
            layers.append(int(weights))
            work.append(int(weights) * math.prod(size[1:]))
    return layers, work, n_norms


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bandwidth", type=float, default=1.25e9, help="bytes a second of a node, each way")
    parser.add_argument("--latency", type=float, default=60e-6, help="seconds of a small message, end to end")
    parser.add_argument("--node", type=float, default=58, help="images/s of one node, Inception-v1")
    parser.add_argument("--batch", type=int, default=128, help="samples of a node")
    parser.add_argument("--shards", type=int, default=0, help="of a node; 0: one for each 16 samples")
    parser.add_argument("--jitter", type=float, default=0.02, help="deviation of a node's step time, as a share")
    parser.add_argument("--wire", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--copy", type=float, nargs=2, default=(5.2e9, 2.3e9),
                        help="bytes of weights and gradients a second, for what the processor adds with buckets, and without: as measured")
    o = parser.parse_args()
    models = {"Inception-v1": inspect("inception_v1"), "ResNet-50": inspect("resnet(depth=50, dataset=imagenet)")}
    of_first = sum(models["Inception-v1"][1])
    print("| nodes | " + " | ".join(f"{m}, buckets | {m}, none" for m in models) + " | BigDL, Inception-v1 (16 nodes = 100 %) |")
    print("|---" * (2 + 2 * len(models)) + "|")
    for n in (2, 16, 32, 64, 96, 128, 256):
        cells = []
        for layers, work, n_norms in models.values():
            seconds = o.batch / o.node * sum(work) / of_first
            for bucket, copy in zip((1 << 20, 0), o.copy):
                n_shards = min(n * o.shards or -(-o.batch * n // SLICE), MOST_SHARDS)
                step = Step(n, n_shards, seconds * n / n_shards, layers, work, 2 if o.wire == "bf16" else 4, bucket,
                            o.jitter, 1 + 2 * n_norms)
                overhead = 2 * sum(layers) * 4 / copy
                cells.append(f"{100 * seconds / step.seconds(o.bandwidth, o.latency, overhead):.1f} %")
        known = f"{100 * PUBLISHED[n] / n / (PUBLISHED[16] / 16):.0f} %" if n in PUBLISHED else ""
        print(f"| {n} | " + " | ".join(cells) + f" | {known} |")


if __name__ == "__main__":
    main()
