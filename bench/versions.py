#!/usr/bin/env python3
"""Measures two builds of podgate side by side, in one run, and prints Markdown.

    bench/versions.py --before OLD/podgate --now target/x86_64-unknown-linux-musl/release/podgate

Start, size and memory of `check`, `wait` and an idle `run`. The builds take turns, so that a
change of the machine's speed hits both. Servers are in this process. Needs Linux, Python 3.11 and
a C compiler, for the launcher that measures peak memory (see HELPER in measure.py). A full run
takes about two minutes.
"""

import argparse
import os
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

from measure import ENVIRONMENT, HELPER, Child, memory_kib

IDLE_AFTER = 1.0  # seconds until `run` has started its command and sleeps


def accept_all(listener: socket.socket) -> None:
    """Accepts connections and answers each with an HTTP 200, until the process ends."""
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(0.05)
            try:
                if connection.recv(4096):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            except OSError:
                pass


def serve(family: int, address: object) -> socket.socket:
    listener = socket.socket(family)
    listener.bind(address)
    listener.listen(64)
    threading.Thread(target=accept_all, args=(listener,), daemon=True).start()
    return listener


class Launcher:
    """Runs a command from a small parent, so that its peak memory is its own."""

    def __init__(self, folder: Path) -> None:
        self.program, self.report = str(folder / "launcher"), str(folder / "report")
        source = folder / "launcher.c"
        source.write_text(HELPER)
        subprocess.run(["cc", "-O2", "-o", self.program, source], check=True)

    def run(self, command: list[str], expected: int) -> tuple[float, int]:
        """The time that the command took, in milliseconds, and its peak memory in KiB."""
        subprocess.run([self.program, "run", self.report, *command], check=True, env=ENVIRONMENT,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        status, wall, _, peak = Path(self.report).read_text().split()
        code = os.waitstatus_to_exitcode(int(status))
        assert code == expected, f"{command} ended with {code}"
        return float(wall) * 1000, int(peak)


def timed(
    launcher: Launcher, builds: list[str], words: list[str], runs: int, expected: int = 0
) -> list[str]:
    """Both builds in turn: median times, the median of the paired differences, and peak memory."""
    figures: list[list[tuple[float, int]]] = [[], []]
    for turn in range(runs + 5):
        for index, build in enumerate(builds):
            figure = launcher.run([build, *words], expected)
            if turn >= 5:  # the first ones warm the caches
                figures[index].append(figure)
    before, now = figures
    difference = median(b[0] - a[0] for a, b in zip(before, now))
    times = [f"{median(wall for wall, _ in figure):.3f} ms" for figure in figures]
    peaks = [f"{median(peak for _, peak in figure):.0f} KiB" for figure in figures]
    return [*times, f"{difference:+.3f} ms", *peaks]


def idle(builds: list[str], runs: int) -> list[str]:
    """The resident memory of a `run` that sleeps: VmRSS of proc(5)."""
    figures: list[list[int]] = [[], []]
    for _ in range(runs):
        for index, build in enumerate(builds):
            with Child([build, "run", "-q", "--", "/bin/sleep", "60"]) as child:
                time.sleep(IDLE_AFTER)
                figures[index].append(memory_kib([child.pid], "status", "VmRSS") or 0)
    before, now = (median(figure) for figure in figures)
    return ["-", "-", "-", f"{before:.0f} KiB", f"{now:.0f} KiB"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", required=True, metavar="PATH")
    parser.add_argument("--now", required=True, metavar="PATH")
    parser.add_argument("--runs", type=int, default=1000, help="of each build, for each command")
    arguments = parser.parse_args()
    builds = [str(Path(path).resolve()) for path in (arguments.before, arguments.now)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        launcher, runs = Launcher(folder), arguments.runs
        unix = str(folder / "app.sock")
        serve(socket.AF_UNIX, unix)
        port = serve(socket.AF_INET, ("127.0.0.1", 0)).getsockname()[1]
        http = f"http://127.0.0.1:{port}/"
        sizes = [f"{Path(build).stat().st_size:,}" for build in builds]
        rows = {
            "size, bytes": [*sizes, "", "-", "-"],
            "`check unix://…`, ready": timed(
                launcher, builds, ["check", "-q", f"unix://{unix}"], runs
            ),
            "`check http://…`, ready": timed(launcher, builds, ["check", "-q", http], runs),
            "`wait tcp://…`, ready": timed(
                launcher, builds, ["wait", "-q", f"tcp://127.0.0.1:{port}"], runs
            ),
            "`wait file://…`, 200 ms, never ready": timed(
                launcher,
                builds,
                ["wait", "-q", "--timeout", "200ms", "file:///not-there"],
                20,
                expected=124,
            ),
            "`run -- true`": timed(launcher, builds, ["run", "-q", "--", "/bin/true"], runs),
            "`run`, idle: resident memory": idle(builds, 5),
        }
    print("| | before | now | median difference | memory before | memory now |")
    print("|---|---:|---:|---:|---:|---:|")
    for title, cells in rows.items():
        print(f"| {title} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
