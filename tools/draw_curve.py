#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the training curve of a log that `bdl train --log FILE` wrote, as an SVG picture.

usage: tools/draw_curve.py LOG.jsonl OUT.svg [TITLE]

Left axis: loss of each iteration (thin line) and its running mean over about a fiftieth of them (thick). Right axis,
where the log has any: Top-1 of the validation after each epoch. Needs nothing beyond Python.
"""

import html
import json
import sys

from ticks import round_ticks

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 360, 60, 60, 40, 50
LOSS, MEAN, SCORE = "#9db7d5", "#1f5fa8", "#c2410c"


def read(path):
    steps, scores = [], []
    with open(path, encoding="utf-8") as log:
        for line in log:
            event = json.loads(line)
            if event["event"] == "step":
                steps.append((event["iteration"], event["loss"]))
            elif event["event"] == "epoch" and event.get("validation", {}).get("top1") is not None:
                scores.append((event["iteration"], event["validation"]["top1"]))
    if not steps:
        sys.exit(f"{path}: no iterations in this log")
    return steps, scores


def running_mean(steps):
    share = min(1, 50 / len(steps))
    mean, out = steps[0][1], []
    for iteration, loss in steps:
        mean += share * (loss - mean)
        out.append((iteration, mean))
    return out


def line(points, place, color, width):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*p) for p in points))
    return f'<polyline fill="none" stroke="{color}" stroke-width="{width}" points="{path}"/>'


def text(x, y, words, anchor="middle", color="#333", size=13):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" font-size="{size}">{html.escape(words)}</text>'


def draw(steps, scores, title):
    last = steps[-1][0]
    losses = round_ticks(0, max(loss for _, loss in steps), 5)
    percents = round_ticks(100 * min(score for _, score in scores), 100, 4) if scores else []
    most, floor = losses[-1], percents[0] / 100 if scores else 0
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def at_loss(iteration, loss):
        return LEFT + (right - LEFT) * iteration / last, bottom - (bottom - TOP) * loss / most

    def at_score(iteration, score):
        share = (score - floor) / (1 - floor)
        return LEFT + (right - LEFT) * iteration / last, bottom - (bottom - TOP) * share

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(WIDTH / 2, 24, title, size=16),
        f'<rect x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}" fill="none" stroke="#bbb"/>',
    ]
    for loss in losses:
        y = at_loss(0, loss)[1]
        out.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#eee"/>')
        out.append(text(LEFT - 8, y + 4, f"{loss:g}", "end", MEAN))
    for percent in percents:
        out.append(text(right + 8, at_score(0, percent / 100)[1] + 4, f"{percent:g} %", "start", SCORE))
    for iteration in round_ticks(0, last, 5):
        if iteration <= last:
            out.append(text(at_loss(iteration, 0)[0], bottom + 18, f"{iteration:,.0f}"))
    out.append(text(WIDTH / 2, HEIGHT - 12, "iterations"))
    out.append(line(steps, at_loss, LOSS, 0.7))
    out.append(line(running_mean(steps), at_loss, MEAN, 2))
    if scores:
        out.append(line(scores, at_score, SCORE, 2))
    for point in scores:
        x, y = at_score(*point)
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{SCORE}"/>')
    out.append(text(LEFT + 10, TOP + 18, "loss", "start", MEAN))
    if scores:
        out.append(text(right - 10, TOP + 18, "Top-1 of the validation", "end", SCORE))
    return "\n".join(out + ["</svg>", ""])


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    steps, scores = read(sys.argv[1])
    title = sys.argv[3] if len(sys.argv) == 4 else "training"
    with open(sys.argv[2], "w", encoding="utf-8") as picture:
        picture.write(draw(steps, scores, title))


if __name__ == "__main__":
    main()
