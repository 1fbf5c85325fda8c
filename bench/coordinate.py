#!/usr/bin/env python3
"""Compares `podgate run` with tini, dumb-init and catatonit, and measures how soon a sidecar stops,
and how soon an app starts when its sidecar has sent READY=1.

    bench/coordinate.py --podgate PATH

The delay of a sidecar is the time from the end of its main to SIGTERM at the sidecar's command. The
script needs gcc, and root for namespaces. It omits peers that are not installed (Debian packages:
tini, dumb-init, catatonit). The clock is CLOCK_MONOTONIC, which all processes of a machine share.
This is not a test: the figures depend on the machine and on its load.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time

HELPER = r"""
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
static void stamp(const char *path) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    char temporary[4096];
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    FILE *file = fopen(temporary, "w");
    fprintf(file, "%lld\n", now.tv_sec * 1000000000LL + now.tv_nsec);
    fclose(file);
    rename(temporary, path);
}
static int is_ready(const char *record) {
    char text[4096];
    int file = open(record, O_RDONLY);
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    text[size > 0 ? size : 0] = 0;
    return !!strstr(text, "state: ready\n");
}
/* notifies MILLISECONDS SENT RECORD READY: stamps SENT, sends READY=1, stamps READY when that is in
   the record. */
static int notifies(char **words) {
    struct timespec nap = {0, atol(words[2]) * 1000000L};
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    memcpy(to.sun_path + 1, name + 1, strlen(name) - 1);
    int sender = socket(AF_UNIX, SOCK_DGRAM, 0);
    nanosleep(&nap, 0);
    stamp(words[3]);
    sendto(sender, "READY=1", 7, 0, (void *)&to,
           offsetof(struct sockaddr_un, sun_path) + strlen(name));
    while (!is_ready(words[4])) sched_yield();
    stamp(words[5]);
    pause();
    return 0;
}
int main(int count, char **words) {
    (void)count;
    if (!strcmp(words[1], "notifies")) return notifies(words);
    if (!strcmp(words[1], "ends")) {            /* ends FILE MILLISECONDS: work, stamp, end */
        struct timespec nap = {0, atol(words[3]) * 1000000L};
        nanosleep(&nap, 0);
        stamp(words[2]);
        return 0;
    }
    sigset_t set;                               /* waits UP FILE: stamp UP, then FILE at SIGTERM */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, 0);
    stamp(words[2]);
    int number;
    sigwait(&set, &number);
    stamp(words[3]);
    return 0;
}
"""


def p50(values):
    return sorted(values)[len(values) // 2]


def p95(values):
    return sorted(values)[int(len(values) * 0.95)]


def until(path, limit=10):
    """Waits for a file. Returns its time stamp."""
    comes(path, limit)
    return int(open(path).read())


def comes(path, limit=10):
    start = time.monotonic()
    while not os.path.exists(path):
        if time.monotonic() - start > limit:
            sys.exit(f"bench: {path} did not come")
        time.sleep(0.0005)


class Bench:
    def __init__(self, podgate):
        self.podgate = podgate
        self.folder = tempfile.mkdtemp(prefix="podgate-bench-")
        source = os.path.join(self.folder, "helper.c")
        self.helper = os.path.join(self.folder, "helper")
        open(source, "w").write(HELPER)
        subprocess.run(["gcc", "-O2", "-static", "-o", self.helper, source], check=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, *words):
        return [self.podgate, "run", "--quiet", "--dir", self.folder, "--allow-plain-dir", *words]

    def clean(self):
        for name in os.listdir(self.folder):
            if name not in ("helper", "helper.c"):
                os.remove(self.path(name))

    def stop_after_main(self, rounds, kill):
        """From main's end or SIGKILL to SIGTERM at the sidecar's command, in ms."""
        delays = []
        for _ in range(rounds):
            self.clean()
            sidecar = subprocess.Popen(
                self.run(
                    "--name",
                    "proxy",
                    "--until",
                    "main",
                    "--",
                    self.helper,
                    "waits",
                    self.path("up"),
                    self.path("stopped"),
                )
            )
            until(self.path("up"))
            # As in a container: PID 1 of its own namespace, so that SIGKILL ends all of it.
            command = ["unshare", "--pid", "--fork", "--kill-child"] if kill else []
            command += self.run("--name", "main", "--", self.helper,
                                *(["waits", self.path("up2"), self.path("never")] if kill else
                                  ["ends", self.path("ended"), "30"]))
            main = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            if kill:
                until(self.path("up2"))
                children = open(f"/proc/{main.pid}/task/{main.pid}/children").read().split()
                before = time.monotonic_ns()
                os.kill(int(children[0]), signal.SIGKILL)
            else:
                before = until(self.path("ended"))
            delays.append((until(self.path("stopped")) - before) / 1e6)
            main.wait()
            sidecar.wait()
        return delays

    def ready_by_notify(self, rounds):
        """From READY=1 to the published state, and to the start of an app that waits for it, in
        ms."""
        published, started = [], []
        for number in range(rounds):
            self.clean()
            app = subprocess.Popen(
                self.run("--name", "app", "--after", "ready:db", "--", self.helper, "ends",
                         self.path("started"), "0")
            )
            comes(self.path("app.record"))
            # Between 100 and 500 ms.
            nap = str(100 + number * 37 % 400)
            sidecar = subprocess.Popen(
                self.run("--name", "db", "--ready", "notify", "--", self.helper, "notifies", nap,
                         self.path("sent"), self.path("db.record"), self.path("ready"))
            )
            # This process must not be awake when it matters.
            app.wait()
            before = until(self.path("sent"))
            published.append((until(self.path("ready")) - before) / 1e6)
            started.append((until(self.path("started")) - before) / 1e6)
            sidecar.terminate()
            sidecar.wait()
        return published, started

    def wrappers(self):
        found = [("podgate run", [self.podgate, "run", "--"])]
        for name, words in (("tini", ["-s", "--"]), ("dumb-init", []), ("catatonit", ["--"])):
            path = next(
                (
                    os.path.join(folder, name)
                    for folder in ("/usr/bin", "/usr/local/bin", "/bin")
                    if os.path.exists(os.path.join(folder, name))
                ),
                None,
            )
            if path:
                found.append((name, [path, *words]))
        return found

    def start(self, command, rounds):
        """Wall-clock time (median) and CPU time (mean) of `wrapper -- true`, in ms."""
        walls, before = [], os.times()
        for _ in range(rounds):
            start = time.perf_counter()
            subprocess.run(command, check=True)
            walls.append((time.perf_counter() - start) * 1000)
        after = os.times()
        cpu = (
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
        return p50(walls), cpu / rounds * 1000

    def forward(self, wrapper, rounds):
        """From SIGTERM at the wrapper to SIGTERM at its child, in ms."""
        delays = []
        for _ in range(rounds):
            self.clean()
            process = subprocess.Popen(
                [*wrapper, self.helper, "waits", self.path("up"), self.path("stopped")]
            )
            until(self.path("up"))
            before = time.monotonic_ns()
            process.send_signal(signal.SIGTERM)
            delays.append((until(self.path("stopped")) - before) / 1e6)
            process.wait()
        return delays

    def idle(self, wrapper, seconds):
        """Resident memory in KiB, and the number of voluntary context switches in `seconds`."""
        self.clean()
        process = subprocess.Popen(
            [*wrapper, self.helper, "waits", self.path("up"), self.path("stopped")]
        )
        until(self.path("up"))
        time.sleep(1)

        def status(key):
            for line in open(f"/proc/{process.pid}/status"):
                if line.startswith(key + ":"):
                    return int(line.split()[1])
            return 0
        before = status("voluntary_ctxt_switches")
        time.sleep(seconds)
        result = (status("VmRSS"), status("voluntary_ctxt_switches") - before)
        process.terminate()
        process.wait()
        return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--podgate", required=True)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    bench = Bench(os.path.abspath(options.podgate))
    print(f"podgate: {os.path.getsize(options.podgate):,} bytes\n")
    print(
        "| from main's end to SIGTERM at the sidecar's command | p50 | p95 | worst |"
        "\n| --- | ---: | ---: | ---: |"
    )
    for what, kill in (
        ("main ends by itself", False),
        ("main's whole container is killed (SIGKILL)", True),
    ):
        delays = bench.stop_after_main(options.rounds, kill)
        print(f"| {what} | {p50(delays):.2f} ms | {p95(delays):.2f} ms | {max(delays):.2f} ms |")
    print(
        "\n| from READY=1 of a sidecar (`--ready notify`) | p50 | p95 | worst |"
        "\n| --- | ---: | ---: | ---: |"
    )
    published, started = bench.ready_by_notify(options.rounds)
    for what, delays in (
        ("to `ready` in its record", published),
        ("to the start of the app (`run --after ready:db`)", started),
    ):
        print(f"| {what} | {p50(delays):.2f} ms | {p95(delays):.2f} ms | {max(delays):.2f} ms |")
    print(
        "\n| wrapper | `-- true` wall p50 | CPU | SIGTERM to child p50 | p95 | idle memory "
        "| wake-ups in 10 s |"
        "\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    base, base_cpu = bench.start(["/bin/true"], 5 * options.rounds)
    print(f"| none | {base:.2f} ms | {base_cpu:.2f} ms | | | | |")
    for name, wrapper in bench.wrappers():
        wall, cpu = bench.start([*wrapper, "/bin/true"], 5 * options.rounds)
        delays = bench.forward(wrapper, options.rounds)
        memory, wakes = bench.idle(wrapper, 10)
        print(
            f"| {name} | {wall:.2f} ms | {cpu:.2f} ms | {p50(delays):.3f} ms "
            f"| {p95(delays):.3f} ms | {memory} KiB | {wakes} |"
        )
    member = bench.run("--name", "main", "--")
    memory, wakes = bench.idle(member, 10)
    print(f"| podgate run --name main | | | | | {memory} KiB | {wakes} |")
    bench.clean()
    member = bench.run("--name", "proxy", "--until", "main", "--")
    other = subprocess.Popen(bench.run("--name", "main", "--", "sleep", "13"))
    memory, wakes = bench.idle(member, 10)
    print(
        "| podgate run --name proxy --until main, while main runs | | | | "
        f"| {memory} KiB | {wakes} |"
    )
    other.terminate()
    other.wait()


main()
