#!/usr/bin/env python3
"""Speaks sd_notify(3) for the tests: notify.py [--found] ACTION VALUE...

Without --found the socket is NOTIFY_SOCKET. With it, it is every socket of podgate that
/proc/net/unix lists, which is how a neighbour container finds it.

  send TEXT         a datagram
  as TEXT           the same, with credentials that name PID 1 (SCM_CREDENTIALS)
  with COUNT,TEXT   the same, with that many descriptors
  barrier SECONDS   sd_notify_barrier(3): prints `barrier passed`, or exits with 1
  many COUNT        that many datagrams, each when there is room; prints `many sent`
  fill COUNT        that many datagrams without waiting; prints how many were taken
  flood SECONDS     garbage, much too long datagrams and descriptors, as fast as possible
  sleep SECONDS
"""

import array
import os
import select
import socket
import struct
import sys
import time


def addresses(found):
    if not found:
        name = os.environ["NOTIFY_SOCKET"]
        return ["\0" + name[1:] if name.startswith("@") else name]
    with open("/proc/net/unix") as table:
        names = [line.split()[-1] for line in table]
    return ["\0" + name[1:] for name in names if name.startswith("@podgate.notify.")]


def open_socket():
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def rights(count, fd):
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd] * count))]


def barrier(address, seconds):
    reader, writer = os.pipe()
    open_socket().sendmsg([b"BARRIER=1"], rights(1, writer), 0, address)
    os.close(writer)
    poll = select.poll()
    poll.register(reader, 0)
    if not poll.poll(float(seconds) * 1000):
        sys.exit("the descriptor of the barrier is not closed")
    print("barrier passed", flush=True)


def flood(address, seconds):
    sender = open_socket()
    sender.setblocking(False)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    garbage = [
        b"",
        b"\0",
        b"READY=1\0READY=1",
        b"\xff" * 4096,
        b"READY=1\n" + b"x" * 100_000,
        b"STATUS=" + b"\x1b" * 4000,
        b"\n" * 4096,
    ]
    end, count = time.monotonic() + float(seconds), 0
    null = os.open("/dev/null", os.O_RDONLY)
    while time.monotonic() < end:
        text = garbage[count % len(garbage)]
        try:
            sender.sendmsg([text], rights(250, null) if count % 3 else [], 0, address)
            count += 1
        except (BlockingIOError, ConnectionRefusedError, OSError):
            time.sleep(0)
    print(f"flooded with {count}", flush=True)


def act(action, value, address):
    if action == "send":
        open_socket().sendto(value.encode().decode("unicode_escape").encode("latin-1"), address)
    elif action == "as":
        credentials = struct.pack("3i", 1, 0, 0)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)]
        open_socket().sendmsg([value.encode()], ancillary, 0, address)
    elif action == "with":
        count, text = value.split(",", 1)
        null = os.open("/dev/null", os.O_RDONLY)
        open_socket().sendmsg([text.encode()], rights(int(count), null), 0, address)
        os.close(null)
    elif action == "barrier":
        barrier(address, value)
    elif action == "many":
        sender = open_socket()
        for number in range(int(value)):
            sender.sendto(f"STATUS=number {number}".encode(), address)
        print("many sent", flush=True)
    elif action == "fill":
        sender = open_socket()
        sender.setblocking(False)
        taken = 0
        try:
            while taken < int(value):
                sender.sendto(b"STATUS=x", address)
                taken += 1
        except BlockingIOError:
            pass
        print(f"{taken} taken", flush=True)
    elif action == "flood":
        flood(address, value)
    else:
        time.sleep(float(value))


def main():
    words = sys.argv[1:]
    found = words[:1] == ["--found"]
    words = words[found:]
    all_addresses = addresses(found)
    if not all_addresses:
        sys.exit("no socket was found")
    for action, value in zip(words[::2], words[1::2]):
        for address in all_addresses:
            act(action, value, address)


main()
