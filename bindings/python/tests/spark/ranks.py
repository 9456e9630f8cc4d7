# SPDX-License-Identifier: Apache-2.0
"""Code of tests that runs in the ranks' own processes, around what bdl does there."""

import contextlib
import os
import pathlib
import sys
import time
import uuid

from bdl.spark import _fit

# Workers do not see what pytest adds to the path.
HELPERS = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[4] / "tests/e2e")]


def around_ranks(monkeypatch, make):
    """Each rank trains inside the context manager that make(job) gives there; `make` may be any function."""
    original = _fit.rank_function

    def rank_function(job):
        train = original(job)

        def train_rank(batches):
            sys.path[:0] = HELPERS
            with make(job):
                yield from train(batches)

        return train_rank

    monkeypatch.setattr(_fit, "rank_function", rank_function)


def recording(directory):
    """For around_ranks: whatever goes between the ranks also goes to a file in `directory`, by relays that each rank names
    to the others instead of itself."""

    @contextlib.contextmanager
    def make(_):
        from bdl.spark import _native
        from relay import Relay

        address, relays = _native.address, []

        def relayed(group):
            relays.append(Relay(address(group), record=f"{directory}/wire-{os.getpid()}"))
            return relays[-1].address

        _native.address = relayed
        try:
            yield
        finally:
            _native.address = address
            for relay in relays:
                relay.close()

    return make


def noting_threads(directory):
    """For around_ranks: leaves a file named after the number of threads of each context that a rank makes."""

    @contextlib.contextmanager
    def make(_):
        from bdl.spark import _native

        make_context = _native.make_context

        def noted(threads):
            pathlib.Path(directory, f"{os.getpid()}-{threads}").touch()
            return make_context(threads)

        _native.make_context = noted
        try:
            yield
        finally:
            _native.make_context = make_context

    return make


def meeting(directory, n):
    """For around_ranks: a rank goes on when n of them are there, within a minute."""

    @contextlib.contextmanager
    def make(_):
        deadline = time.monotonic() + 60
        pathlib.Path(directory, f"here-{uuid.uuid4()}").touch()
        while len(list(pathlib.Path(directory).glob("here-*"))) < n:
            if time.monotonic() > deadline:
                raise TimeoutError(f"fewer than {n} ranks within a minute")
            time.sleep(0.05)
        yield

    return make
