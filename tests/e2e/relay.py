#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Forwards TCP connections, as a network between two ranks would: slowly, late, or not at all.

    relay.py TARGET [--listen HOST:PORT] [--rate BYTES_PER_SECOND] [--delay SECONDS] [--record FILE] [--cut BYTES]

Each direction of a connection has a rate and a delay of its own, as on a full-duplex link. --record appends all
bytes of both directions to one file; --cut closes a connection after so many bytes. The first line of the output is the
address that it listens on. As a module: `with Relay("127.0.0.1:4000", rate=1e8) as relay: ... relay.address`.
"""
import argparse
import collections
import socket
import threading
import time

PIECE = 16 * 1024
TICK = 0.2
MOST_QUEUED = 64 * 1024 * 1024
MOST_WAITING = 128 * 1024  # bytes in the kernel before the link, as in a switch


def split_address(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class Direction:
    """Moves bytes one way: a reader stamps each piece with the time it may leave, a writer waits for it."""

    def __init__(self, relay, source, target):
        self.relay, self.source, self.target = relay, source, target
        self.queue, self.queued, self.ended = collections.deque(), 0, False
        self.changed = threading.Condition()
        self.free_at = 0.0  # when the link has passed on what it has taken

    def start(self):
        for work in (self.read, self.write):
            threading.Thread(target=work, daemon=True).start()

    def read(self):
        relay = self.relay
        try:
            while data := self.source.recv(PIECE):
                relay.note(data)
                now = time.monotonic()
                self.free_at = max(self.free_at, now) + (len(data) / relay.rate if relay.rate else 0)
                with self.changed:
                    while self.queued > MOST_QUEUED and not self.ended:
                        self.changed.wait(TICK)
                    self.queue.append((self.free_at + relay.delay, data))
                    self.queued += len(data)
                    self.changed.notify_all()
                # A link takes no more than it can pass on: the sender's own window feels the rate.
                if relay.rate and self.free_at - now > 0.01:
                    time.sleep(self.free_at - now)
        except OSError:
            pass
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def write(self):
        try:
            while True:
                with self.changed:
                    while not self.queue and not self.ended:
                        self.changed.wait(TICK)
                    if not self.queue:
                        break
                    due, data = self.queue.popleft()
                    self.queued -= len(data)
                    self.changed.notify_all()
                time.sleep(max(due - time.monotonic(), 0))
                self.target.sendall(data)
            self.target.shutdown(socket.SHUT_WR)
        except OSError:
            self.relay.close_pair(self.source, self.target)


class Relay:
    def __init__(self, target, listen="127.0.0.1:0", rate=0.0, delay=0.0, record=None, cut=0):
        self.target = split_address(target) if target else None
        self.rate, self.delay, self.cut = rate, delay, cut
        self.file = open(record, "ab") if record else None
        self.n_bytes, self.lock, self.sockets = 0, threading.Lock(), []
        host, port = split_address(listen)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, port), family=family, backlog=128)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MOST_WAITING)
        name = self.listener.getsockname()
        self.address = f"[{name[0]}]:{name[1]}" if family == socket.AF_INET6 else f"{name[0]}:{name[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def set_target(self, target):
        """For ranks that say their address only after they know the relay's."""
        self.target = split_address(target)

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.target, timeout=10)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MOST_WAITING)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets += [near, far]
            Direction(self, near, far).start()
            Direction(self, far, near).start()

    def note(self, data):
        with self.lock:
            self.n_bytes += len(data)
            if self.file:
                self.file.write(data)
                self.file.flush()
            if self.cut and self.n_bytes >= self.cut:
                self.close_pair(*self.sockets)
                raise OSError("cut")

    @staticmethod
    def close_pair(*ends):
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()
        for end in self.sockets:
            end.close()
        if self.file:
            self.file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--rate", type=float, default=0, help="bytes a second in each direction")
    parser.add_argument("--delay", type=float, default=0, help="seconds in each direction")
    parser.add_argument("--record", help="file for the bytes")
    parser.add_argument("--cut", type=int, default=0, help="close after so many bytes")
    args = parser.parse_args()
    with Relay(args.target, args.listen, args.rate, args.delay, args.record, args.cut) as relay:
        print(relay.address, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
