# SPDX-License-Identifier: Apache-2.0
# ctest: long timeout=3600
"""As test_memory.py with more: 4 GiB of rows, and twice the epochs."""

from memory import MIB, fit_and_sample

CAP, EPOCHS = 512, 40


def test_memory_is_flat_and_below_the_cap_on_much_larger_data(local_session, tmp_path, monkeypatch):
    size = 4 * 2 * CAP * MIB
    found = fit_and_sample(local_session, tmp_path, monkeypatch, CAP, size, EPOCHS)
    peaks = [found.epochs[epoch] for epoch in range(EPOCHS)]
    assert max(found.before, *peaks) < 2 * CAP * MIB
    assert max(peaks[EPOCHS // 2 :]) < 1.02 * max(peaks[1 : EPOCHS // 2])
    assert size - 2 * CAP * MIB < found.spilled
