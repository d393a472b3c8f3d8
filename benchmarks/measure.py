"""Run one command to its end and account for all it started: ``python -m benchmarks.measure COMMAND ...``.

The process adopts every descendant whose parent goes away (Linux' child subreaper), so the CPU time of worker pools and
fork servers is counted, not only that of the command itself. Standard output is handed through; the last line is JSON:
``wall`` and ``cpu`` in seconds, ``rss`` of the largest single process in MB, ``code``.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        sys.exit("benchmarks.measure needs Linux: the CPU time of worker processes cannot be counted here")
    started = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:])
    cpu, rss, wall, code = 0.0, 0, 0.0, 1
    while True:
        try:
            pid, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        cpu += usage.ru_utime + usage.ru_stime
        rss = max(rss, usage.ru_maxrss)
        if pid == process.pid:
            wall, code = time.perf_counter() - started, os.waitstatus_to_exitcode(status)
    print(json.dumps({"wall": wall, "cpu": cpu, "rss": rss / 1024, "code": code}), flush=True)


if __name__ == "__main__":
    main()
