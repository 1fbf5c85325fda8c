"""Behaves like a documented sidecar from the outside: its ports and paths, and how it stops.

    fake NAME [--ready PORT/PATH] [--quit PORT/PATH] [--after SECONDS|FILE] [--dies SECONDS]
         [--lasts SECONDS] [--code N] [--deaf]

At --ready it answers with 200 when it is ready, and with 503 before that. It is ready --after this
many seconds, or when the test has created /test/FILE. A POST to --quit from loopback ends it, and
so does SIGTERM, except with --deaf. --dies ends it after this many seconds. A stop takes --lasts
seconds. It notes each event in /test/events before the effect is visible.
"""

import argparse
import os
import select
import signal
import socket
import sys
import time


class Stop(Exception):
    """It has to end."""


def note(word):
    with open("/test/events", "a") as events:
        events.write(f"{time.time():.9f} {options.name} {word}\n")


def on_sigterm(number, frame):
    note("told")
    if not options.deaf:
        raise Stop


def listen(place):
    port, path = place.split("/", 1)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", int(port)))
    listener.listen(64)
    return int(port), "/" + path, listener


def answer(stream, port, peer):
    """Answers a request. Was it the request to quit?"""
    stream.settimeout(2)
    head = b""
    while b"\r\n\r\n" not in head:
        more = stream.recv(4096)
        if not more:
            return False
        head += more
    method, path = head.decode().split(" ", 2)[:2]
    quits = (port, path) in quit_at and method == "POST" and peer.startswith("127.")
    if quits or ((port, path) in ready_at and is_ready):
        status = 200
    else:
        status = 503 if (port, path) in ready_at else 404
    stream.sendall(
        f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    )
    return quits


def is_due():
    try:
        return time.monotonic() >= begin + float(options.after)
    except ValueError:
        return os.path.exists("/test/" + options.after)


arguments = argparse.ArgumentParser()
arguments.add_argument("name")
arguments.add_argument("--ready", action="append", default=[])
arguments.add_argument("--quit", action="append", default=[])
arguments.add_argument("--after", default="0")
arguments.add_argument("--dies", type=float, default=float("inf"))
arguments.add_argument("--lasts", type=float, default=0)
arguments.add_argument("--code", type=int, default=0)
arguments.add_argument("--deaf", action="store_true")
options = arguments.parse_args()

begin, is_ready = time.monotonic(), False
signal.signal(signal.SIGTERM, on_sigterm)
places = [(place, True) for place in options.ready] + [(place, False) for place in options.quit]
listeners, ready_at, quit_at = {}, set(), set()
for place, is_for_ready in places:
    if int(place.split("/")[0]) not in [port for port, _ in listeners.values()]:
        port, path, listener = listen(place)
        listeners[listener] = (port, path)
    port, path = place.split("/", 1)
    (ready_at if is_for_ready else quit_at).add((int(port), "/" + path))

try:
    note("up")
    while True:
        if not is_ready and is_due():
            note("ready")
            is_ready = True
        if time.monotonic() >= begin + options.dies:
            note("dies")
            sys.exit(options.code or 1)
        for listener in select.select(list(listeners), [], [], 0.01)[0]:
            stream, peer = listener.accept()
            with stream:
                try:
                    quits = answer(stream, listeners[listener][0], peer[0])
                except OSError:
                    quits = False
            if quits:
                note("quit")
                raise Stop
except Stop:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(options.lasts)
    note("ended")
    sys.exit(options.code)
