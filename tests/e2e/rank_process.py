#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One rank as a process, through the public interface of libbdl: used by test_ranks.py.

    rank_process.py LIBRARY RANK N_RANKS SECRET(hex) ENCRYPT(0|1) [OPTION=VALUE ...]

Prints a line of JSON with its address, reads one with all addresses, trains with the options, and prints one with the
fingerprint of the result or with the error.
"""
import ctypes
import json
import sys


class GroupOptions(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("rank", ctypes.c_int32), ("n_ranks", ctypes.c_int32),
                ("secret", ctypes.c_char_p), ("bind", ctypes.c_char_p), ("first_port", ctypes.c_int32),
                ("last_port", ctypes.c_int32), ("connect_seconds", ctypes.c_double),
                ("wait_seconds", ctypes.c_double), ("silence_seconds", ctypes.c_double), ("encrypt", ctypes.c_bool)]


class Failed(Exception):
    pass


def say(**what):
    print(json.dumps(what), flush=True)


def main(library, rank, n_ranks, secret, encrypt, *settings):
    bdl = ctypes.CDLL(library)
    bdl.bdl_last_error.restype = bdl.bdl_group_address.restype = ctypes.c_char_p
    bdl.bdl_trainer_fingerprint.restype = None
    context, group, options, trainer = (ctypes.c_void_p() for _ in range(4))

    def call(name, *arguments):
        if getattr(bdl, name)(*arguments):
            raise Failed(bdl.bdl_last_error().decode())

    try:
        call("bdl_context_create", None, ctypes.byref(context))
        how = GroupOptions(ctypes.sizeof(GroupOptions), int(rank), int(n_ranks), bytes.fromhex(secret), None, 0, 0, 20,
                           30, 5, encrypt == "1")
        call("bdl_group_create", context, ctypes.byref(how), ctypes.byref(group))
        say(address=bdl.bdl_group_address(group).decode())
        addresses = [text.encode() for text in json.loads(sys.stdin.readline())]
        call("bdl_group_connect", group, (ctypes.c_char_p * len(addresses))(*addresses))
        call("bdl_options_create", context, b"train", ctypes.byref(options))
        for setting in settings:
            name, _, value = setting.partition("=")
            call("bdl_options_set", options, name.encode(), value.encode())
        call("bdl_options_set_group", options, group)
        call("bdl_trainer_create", context, options, ctypes.byref(trainer))
        call("bdl_trainer_run", trainer, None, None)
        digest = ctypes.create_string_buffer(65)
        bdl.bdl_trainer_fingerprint(trainer, digest)
        say(fingerprint=digest.value.decode())
    except Failed as error:
        say(error=str(error))
    bdl.bdl_trainer_free(trainer)
    bdl.bdl_options_free(options)
    bdl.bdl_group_free(group)
    bdl.bdl_context_free(context)


if __name__ == "__main__":
    main(*sys.argv[1:])
