#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the corpus of the fuzzer of sockets: tests/fuzz/corpus/dist.

The first byte chooses what the rest is: a handshake as seen by the acceptor (0) or the dialer (2), or frames (1).
"""
import pathlib
import struct

HELLO, PING, EAGER, ANNOUNCE, READY, DATA, CREDIT, ABORT, GOODBYE = range(1, 10)


def intro(version=1, flags=0, n_ranks=3, sender=2, receiver=1, zero=0):
    return b"bdl-dist" + struct.pack("<6I", version, flags, n_ranks, sender, receiver, zero) + bytes(range(32))


def frame(kind, payload=b"", tag=0, size=0, number=0, announced=None):
    length = len(payload) if announced is None else announced
    return struct.pack("<BBBBIQQII", 0xBD, 0x1F, kind, 0, length, tag, size, number, 0) + payload


def cases():
    yield "acceptor", b"\x00" + intro() + bytes(32)
    yield "acceptor_version", b"\x00" + intro(version=2)
    yield "acceptor_ranks", b"\x00" + intro(n_ranks=4)
    yield "acceptor_impossible", b"\x00" + intro(sender=0xFFFFFFFF)
    yield "acceptor_tls", b"\x00" + intro(flags=1)
    yield "http", b"\x00GET / HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\nUser-Agent: x\r\n\r\n"
    yield "dialer", b"\x02" + intro(sender=1, receiver=2) + bytes(32)
    hello = b"\x01" + frame(HELLO, b"build 1")
    yield "hello", hello
    yield "hello_twice", hello + frame(HELLO, b"again")
    yield "no_hello", b"\x01" + frame(PING)
    yield "small", hello + frame(EAGER, b"x" * 16, tag=1) + frame(EAGER, tag=0) + frame(PING)
    yield "stray", hello + frame(EAGER, b"y" * 50, tag=77) + frame(EAGER, tag=78)
    yield "wrong_size", hello + frame(EAGER, b"x" * 17, tag=1)
    yield "large", hello + frame(ANNOUNCE, tag=3, size=100000) + frame(DATA, b"z" * 3000, number=9)
    yield "offset", hello + frame(DATA, b"z" * 300, number=9, size=99999)
    yield "unasked", hello + frame(DATA, b"z" * 300, number=8)
    yield "ready", hello + frame(READY, tag=5, size=1 << 40, number=1) * 20
    yield "credit", hello + frame(CREDIT, size=0xFFFFFFFFFFFFFFFF)
    yield "too_long", hello + frame(EAGER, tag=1, announced=0xFFFFFFFF)
    yield "abort", hello + frame(ABORT, b"disk\x01full\xff", tag=0xFFFFFFFFFFFFFFFF, number=77)
    yield "goodbye", hello + frame(GOODBYE) + frame(GOODBYE)


if __name__ == "__main__":
    folder = pathlib.Path(__file__).parent / "corpus" / "dist"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in cases():
        (folder / name).write_bytes(content)
