#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws a training in Spark as an SVG picture: what each executor did when, and what was learnt.

usage: tools/draw_executors.py DIR OUT.svg [TITLE]

DIR is what `bench/spark/fit.py --keep DIR` wrote: Spark's event log and history.json. Above: a lane for each executor with its
tasks of the jobs that trained (those with a barrier stage), and when it was lost. Below: loss and Top-1 of the validation after
each epoch. Needs nothing beyond Python.
"""

import html
import json
import pathlib
import sys

from ticks import round_ticks

WIDTH, LEFT, RIGHT, TOP, LANE = 760, 96, 72, 58, 42
BLOCKS, TRAIN, FAILED, LOSS, SCORE = "#9db7d5", "#1f5fa8", "#d9a0a0", "#1f5fa8", "#c2410c"


def read_log(path):
    """Tasks of the jobs that trained, as (executor, begin, end, is training, failed), and when executors were lost."""
    barrier, training, tasks, removed = set(), set(), [], {}
    for line in path.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        kind = event["Event"]
        if kind == "SparkListenerJobStart":
            stages = {info["Stage ID"] for info in event["Stage Infos"]
                      if any(rdd.get("Barrier") for rdd in info["RDD Info"])}
            barrier |= stages
            if stages:
                training |= set(event["Stage IDs"])
        elif kind == "SparkListenerTaskEnd" and event["Stage ID"] in training:
            info = event["Task Info"]
            tasks.append((info["Executor ID"], info["Launch Time"] / 1000, info["Finish Time"] / 1000,
                          event["Stage ID"] in barrier, info["Failed"] or info["Killed"]))
        elif kind == "SparkListenerExecutorRemoved":
            removed[event["Executor ID"]] = event["Timestamp"] / 1000
    if not tasks:
        sys.exit(f"{path}: no job with a barrier stage in this log")
    return tasks, removed


def text(x, y, words, anchor="middle", color="#333", size=13):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" font-size="{size}">{html.escape(words)}</text>'


def box(x, y, width, height, color):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height}" rx="2" fill="{color}"/>'


def draw_lanes(tasks, removed):
    """The lanes, and the height below which there is room."""
    start, end = min(task[1] for task in tasks), max(task[2] for task in tasks)
    lanes = sorted({task[0] for task in tasks}, key=lambda name: (len(name), name))  # 2 before 10; "driver" in local mode

    def at(seconds):
        return LEFT + (WIDTH - RIGHT - LEFT) * (seconds - start) / (end - start)

    out = []
    bottom = TOP + LANE * len(lanes)
    step = next(s for s in (1, 2, 5, 10, 20, 60, 120, 600, 3600) if (end - start) / s <= 10)
    for tick in range(0, int(end - start) + 1, step):
        out.append(f'<line x1="{at(start + tick):.1f}" y1="{TOP}" x2="{at(start + tick):.1f}" y2="{bottom}" stroke="#eee"/>')
        out.append(text(at(start + tick), bottom + 16, f"{tick} s"))
    for i, lane in enumerate(lanes):
        y = TOP + LANE * i
        out.append(text(LEFT - 8, y + LANE / 2 + 4, f"executor {lane}", "end"))
        for _, begin, finish, is_training, failed in sorted(t for t in tasks if t[0] == lane):
            color = FAILED if failed else TRAIN if is_training else BLOCKS
            out.append(box(at(begin), y + 7, at(finish) - at(begin), LANE - 14, color))
        if lane in removed and removed[lane] < end:
            x = at(removed[lane])
            out.append(f'<path d="M{x - 6:.1f} {y + LANE / 2 - 6} l12 12 m0 -12 l-12 12" stroke="#b91c1c" stroke-width="3"/>')
            out.append(text(x + 12, y + LANE / 2 + 4, "killed", "start", "#b91c1c"))
    return out, bottom + 26


def draw_legend(y):
    out, x = [], LEFT
    for color, words in ((BLOCKS, "rows to blocks, results"), (TRAIN, "trains, together with the others"),
                         (FAILED, "lost: Spark starts the leg again")):
        out.append(box(x, y, 12, 12, color))
        out.append(text(x + 18, y + 11, words, "start", size=12))
        x += 18 + 6.4 * len(words) + 18
    return out


def draw_curves(history, top, bottom):
    right = WIDTH - RIGHT
    losses = round_ticks(0, max(entry["loss"] for entry in history), 3)
    percents = round_ticks(100 * min(entry["val_top1"] for entry in history), 100, 3)
    most, floor = losses[-1], percents[0] / 100

    def place(i, share):
        return LEFT + (right - LEFT) * i / max(1, len(history) - 1), bottom - (bottom - top) * share

    out = [f'<rect x="{LEFT}" y="{top}" width="{right - LEFT}" height="{bottom - top}" fill="none" stroke="#bbb"/>']
    for loss in losses:
        out.append(text(LEFT - 8, place(0, loss / most)[1] + 4, f"{loss:g}", "end", LOSS))
    for percent in percents:
        y = place(0, (percent / 100 - floor) / (1 - floor))[1]
        out.append(text(right + 8, y + 4, f"{percent:g} %", "start", SCORE))
    for color, shares in ((LOSS, [entry["loss"] / most for entry in history]),
                          (SCORE, [(entry["val_top1"] - floor) / (1 - floor) for entry in history])):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(i, share) for i, share in enumerate(shares)))
        out.append(f'<polyline fill="none" stroke="{color}" stroke-width="2" points="{points}"/>')
    step = max(1, len(history) // 10)
    for i in range(0, len(history), step):
        out.append(text(place(i, 0)[0], bottom + 16, f"{history[i]['epoch']:.0f}"))
    out.append(text(WIDTH / 2, bottom + 34, "epoch"))
    out.append(text(LEFT + 10, bottom - 8, "loss", "start", LOSS))
    out.append(text(right - 10, bottom - 8, "Top-1 of the validation", "end", SCORE))
    return out


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    logs = [path for path in folder.iterdir() if path.name != "history.json" and not path.name.startswith(".")]
    if len(logs) != 1:
        sys.exit(f"{folder}: expected one event log beside history.json, found {len(logs)}")
    tasks, removed = read_log(logs[0])
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    lanes, below = draw_lanes(tasks, removed)
    bottom = below + 34 + 140
    height = bottom + 46
    title = sys.argv[3] if len(sys.argv) == 4 else "training in Spark"
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
           f'<rect width="{WIDTH}" height="{height}" fill="white"/>', text(WIDTH / 2, 24, title, size=16), *draw_legend(36),
           *lanes, *draw_curves(history, below + 20, bottom)]
    pathlib.Path(sys.argv[2]).write_text("\n".join([*out, "</svg>", ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
