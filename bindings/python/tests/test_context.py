# SPDX-License-Identifier: Apache-2.0
"""Contexts and handles: threads, forks, order of freeing, Ctrl-C."""

import numpy as np
import pytest

import bdl


def test_the_number_of_threads_can_be_chosen_and_changes_no_bit():
    x = np.random.default_rng(1).random((300, 1, 28, 28), np.float32)
    results = []
    for n in (1, 3):
        bdl.set_threads(n)
        results.append(bdl.models.lenet()(x))
    bdl.set_threads(0)
    assert np.array_equal(*results)
    with pytest.raises(bdl.BdlError, match="threads must be a whole number between 0"):
        bdl.set_threads(-1)
    with pytest.raises(bdl.BdlError, match="threads must be a whole number .* got 1.5"):
        bdl.set_threads(1.5)


def test_a_forked_child_gets_a_clear_error_and_can_start_anew(child):
    done = child(
        "import os, sys, numpy as np, bdl\n"
        "model = bdl.models.lenet()\n"
        "x = np.zeros((40, 1, 28, 28))\n"
        "model(x)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    try:\n"
        "        model(x)\n"
        "        os._exit(1)\n"
        "    except bdl.errors.BdlForkedError as error:\n"
        "        text = str(error)\n"
        "    assert 'forked child' in text and 'spawn' in text, text\n"
        "    fresh = bdl.models.lenet()\n"
        "    assert fresh(x).shape == (40, 10)\n"
        "    del model, fresh\n"
        "    sys.exit(7)\n"
        "status = os.waitpid(pid, 0)[1]\n"
        "assert os.waitstatus_to_exitcode(status) == 7, status\n"
        "model(x)\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_objects_are_freed_in_order_at_exit(child):
    done = child(
        "import bdl\n"
        "from bdl import _context, _lib\n"
        "freed = []\n"
        "real = _context._free\n"
        "_context._free = lambda name, *rest: (print(name, flush=True), real(name, *rest))\n"
        "a = bdl.models.lenet()\n"
        "b = bdl.models.lenet()\n"
        "view = b.state_dict()\n"
        "del a\n"
        "print('end', flush=True)\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["bdl_model_free", "end", "bdl_model_free", "bdl_context_free"]


def test_models_work_from_several_threads():
    import threading

    model = bdl.models.mlp(hidden=8, classes=3, shape=(5,))
    x = np.random.default_rng(1).random((10, 5), np.float32)
    expected = model(x)
    wrong = []

    def run():
        own = bdl.models.mlp(hidden=8, classes=3, shape=(5,))
        for _ in range(20):
            if not np.array_equal(own(x), expected):
                wrong.append(1)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
