# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=1800
"""What `bdl bench conv` prints. It takes half a minute of CPU time, on a busy machine many times that by the clock."""
import json

from e2e import case, check, equal, main, start

MEMBERS = {"case", "shape", "pass", "kernel", "gflops", "best_gflops", "share"}
PASSES = ("forward", "backward_data", "backward_weights")


def check_kernel(line):
    is_winograd = line["kernel"] == "winograd4x4"
    others = set(line) - MEMBERS
    check(MEMBERS <= set(line) and line["case"] == "conv", line)
    check(0 < line["gflops"] <= line["best_gflops"] and line["share"] > 0, line)
    if is_winograd:
        check(others in (set(), {"onednn_gflops", "onednn_ratio"}), line)
    else:
        equal(others, {"useful_share"})
        check(0 < line["useful_share"] <= line["share"], line)


@case
def conv_prints_a_line_for_each_kernel():
    """The peak, the kernels as docs/design/kernels.md describes them, and the summary of all cases."""
    process = start("bench", "conv", "--threads", "1", "--json")
    out, err = process.communicate(timeout=1500)
    equal((process.returncode, err), (0, b""))
    first, *kernels, last = [json.loads(line) for line in out.decode().splitlines()]
    equal(sorted(first), ["case", "peak_gflops", "target"])
    check(first["case"] == "conv" and first["peak_gflops"] > 0, first)
    for line in kernels:
        check_kernel(line)
    equal([line["pass"] for line in kernels], list(PASSES) * (len(kernels) // 3))
    equal({line["kernel"] for line in kernels}, {"direct", "lanes", "feature_lanes", "winograd4x4"})
    check(any(line["shape"].startswith("linear ") for line in kernels), kernels)
    equal(sorted(last), ["case", "median", "p10", "p90", "peak_rss_mib", "unit"])
    equal((last["case"], last["unit"]), ("conv", "share of peak"))
    check(0 < last["p10"] <= last["median"] <= last["p90"] and last["peak_rss_mib"] > 0, last)


main()
