#!/usr/bin/env python3
"""ctrl_c_ends_the_job_and_the_loop_around_it: a shell runs gmig again and again, each time with a job of an agent's that never ends.
usage: interrupt.py GMIG"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading

LIMIT_S = 60


def serve(listener, began, asked):
    """An agent whose jobs run until they are cancelled."""
    while True:
        client, _ = listener.accept()
        state = "running"
        for line in client.makefile("rb"):
            request = json.loads(line.lstrip(b"\xff"))
            command = request["execute"]
            asked.append(command)
            if command == "guest-sync-delimited":
                answer = {"return": request["arguments"]["id"]}
            else:
                if command == "job-cancel":
                    state = "cancelled"
                answer = {"id": request["id"], "return": {"id": "1", "kind": "migrate", "state": state, "total_bytes": 8192,
                                                          "moved_bytes": 4096, "remaining": {}, "seconds": 1.0}}
            if command == "job-status":
                began.set()
            mark = b"\xff" if command == "guest-sync-delimited" else b""
            client.sendall(mark + json.dumps(answer).encode() + b"\n")


def main():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "agent")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(4)
        began, asked = threading.Event(), []
        threading.Thread(target=serve, args=(listener, began, asked), daemon=True).start()
        loop = f'for i in 1 2 3; do echo round; "{sys.argv[1]}" agent --socket {path} migrate --all --from-vnode 0 --to-vnode 1; done'
        # As a terminal does: the signal goes to all of the group, and none of it ignores it.
        shell = subprocess.Popen(["bash", "-c", loop], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
                                 preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        if not began.wait(LIMIT_S):
            os.killpg(shell.pid, signal.SIGKILL)
            sys.exit("no job began")
        os.killpg(shell.pid, signal.SIGINT)
        try:
            said, _ = shell.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            sys.exit("the loop goes on")
    if said.count("round") != 1 or "job 1 cancelled" not in said or shell.returncode != -signal.SIGINT or "job-cancel" not in asked:
        sys.exit(f"ended in {shell.returncode}, asked {asked}, said:\n{said}")
    print("ok")


main()
