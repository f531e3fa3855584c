"""
Programs of gmig that live a short life in a place of their own, each judged from outside: what tests/fault/syscalls and its
neighbours have in common. Which fault meets them is said by a Run of their own.
"""
import argparse, contextlib, json, os, re, shutil, signal, socket, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BIN = os.path.join(os.environ.get("GMIG_BUILD", os.path.join(ROOT, "build/release")), "bin")
PATIENCE = float(os.environ.get("GMIG_PATIENCE", os.environ.get("GMIG_LAB_PATIENCE", "1")))


def limit(seconds):
    return time.monotonic() + seconds * PATIENCE


class Gone(Exception):
    """The peer has ended, or does not answer."""


class Client:
    """One connection of the control protocol (docs/protocol.md)."""

    def __init__(self, path):
        self.path, self.sock, self.rest = path, None, b""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20 * PATIENCE)
        try:
            self.sock.connect(self.path)
            self.rest = b""
            self.line()
        except OSError:
            self.close()
            raise

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def line(self):
        while b"\n" not in self.rest:
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionResetError("closed")
            self.rest += more
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def ask(self, name, **arguments):
        """A connection that breaks is made anew a few times: a call on it may be what failed."""
        for trial in range(4):
            try:
                if not self.sock:
                    self.connect()
                self.sock.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
                while True:
                    answer = self.line()
                    if "return" in answer or "error" in answer:
                        return answer
            except socket.timeout:
                self.close()
                raise Gone(f"{name}: no answer")
            except OSError as error:
                self.close()
                if trial == 3:
                    raise Gone(f"{name}: {error}")
                time.sleep(0.05)


class Run:
    """A program in a place of its own."""

    def __init__(self, base=None):
        self.base = base  # the same without a fault; None: it is that itself
        self.dir = tempfile.mkdtemp(prefix="gmig-fault-")
        self.proc, self.told, self.notes, self.jobs = None, [], [], []
        self.fds = self.threads = 0
        os.mkdir(os.path.join(self.dir, "gmig"), 0o700)

    def path(self, name):
        return os.path.join(self.dir, name)

    def start(self, command, whole=False, home=None, fds=(), around=list, stdin=subprocess.DEVNULL):
        """whole: what is tried begins with the program, not with begin(); around: what runs before it in the same process."""
        with open(self.path("out"), "wb") as out, open(self.path("err"), "wb") as err:
            self.proc = subprocess.Popen(around(self.wrap(command, whole)), stdin=stdin, stdout=out, stderr=err,
                                         env=self.environment(home or self.dir), start_new_session=True, pass_fds=fds)

    def wrap(self, command, whole):
        return command

    def environment(self, home):
        return dict(os.environ, XDG_RUNTIME_DIR=home)

    def begin(self):
        """From here on faults may come."""

    def pid(self):
        return self.proc.pid if self.proc else None

    def count(self):
        pid, names = self.pid(), []
        for task in os.listdir(f"/proc/{pid}/task"):
            try:
                with open(f"/proc/{pid}/task/{task}/comm") as name:
                    names.append(name.read().strip())
            except OSError:
                pass
        self.fds, self.threads, self.names = len(os.listdir(f"/proc/{pid}/fd")), len(names), sorted(names)

    def is_more(self):
        # One more may be liburcu's, which frees what readers have left; it begins with the first call_rcu().
        return self.fds > self.base.fds or self.threads > self.base.threads + 1

    def said(self):
        with open(self.path("err"), "rb") as err:
            return err.read().decode(errors="replace")

    def end(self, seconds):
        """The exit status; None: it does not end."""
        try:
            return self.proc.wait(max(0.1, seconds * PATIENCE))
        except subprocess.TimeoutExpired:
            return None

    def kill(self):
        pid = self.pid()
        for victim in (pid, self.proc.pid if self.proc else None):
            if victim:
                try:
                    os.kill(victim, signal.SIGKILL)
                except OSError:
                    pass
        for child in self.children():
            if child:
                try:
                    child.wait(5)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()

    def children(self):
        return [self.proc]

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def with_own_run(directory, command):
    """The command in a mount namespace where this directory is /run: the hook's socket has one place only."""
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", 'mount --bind "$0" /run && exec "$@"', directory, *command]


def books_agree(job):
    return job["total_bytes"] == sum(job[k] for k in ("moved_bytes", "remaining_bytes", "gone_bytes", "moved_by_others_bytes"))


class Guest:
    """A probe guest of gmig-vmm: boot, first touch, and what a scenario asks of it."""
    may_end = False

    def __init__(self, options, steps):
        self.options, self.steps = options, steps

    def wait_up(self, run, client):
        end = limit(60)
        while time.monotonic() < end:
            if run.proc.poll() is not None:
                return False
            if os.path.exists(client.path):
                try:
                    client.connect()
                    return True
                except OSError:
                    pass
            time.sleep(0.02)
        raise TimeoutError("it is not up")

    def value(self, client, *path):
        answer = client.ask("query-residency")
        if "error" in answer:
            raise Gone(f"query-residency: {answer['error']['desc']}")
        value = answer["return"]
        for key in path:
            value = value[key]
        return value

    def wait_sweep(self, run, client, what):
        end, first = limit(30), None
        while time.monotonic() < end:
            sweeps = self.value(client, "probe", "sweeps")
            first = sweeps if first is None else first
            if sweeps > first or (what == "first" and sweeps > 0):
                return
            time.sleep(0.02)
        raise TimeoutError(f"the guest does not sweep ({what})")

    def wait_job(self, run, client, ident):
        end = limit(30)
        while time.monotonic() < end:
            answer = client.ask("query-jobs")
            for job in answer.get("return", []):
                if job["id"] == ident and job["state"] in ("completed", "cancelled", "failed"):
                    if job["state"] == "failed" or job["remaining_bytes"]:
                        run.told.append(f"job {ident} {job['state']}")
                        run.jobs.append(job)
                    return
            time.sleep(0.02)
        raise TimeoutError(f"job {ident} does not end")

    def play(self, run):
        client = Client(run.path("gmig/f.sock"))
        try:
            if not self.wait_up(run, client):
                return "start"
            self.wait_sweep(run, client, "first")
            run.begin()
            for name, arguments in self.steps:
                answer = client.ask(name, **arguments)
                if "error" in answer:
                    run.told.append(f"{name}: {answer['error']['desc']}")
                elif isinstance(answer["return"], dict) and answer["return"].get("state") and "id" in answer["return"]:
                    self.wait_job(run, client, answer["return"]["id"])
            self.look(run, client)
            with contextlib.suppress(Gone):  # an answer that cannot be sent is lost; that it ends is looked at
                client.ask("quit")
        except Gone as gone:
            run.notes.append(str(gone))
            return "alive" if run.end(3) is None else "ended"
        finally:
            client.close()
        return "done"

    def look(self, run, client):
        self.wait_sweep(run, client, "last")
        if self.value(client, "probe", "errors"):
            run.notes.append("LOST the guest found lost writes")
        check = client.ask("check-invariants")
        if "error" in check:
            run.told.append(f"check: {check['error']['desc']}")
        elif not check["return"]["ok"]:
            run.notes.append(f"WRONG check: {json.dumps(check['return'])}"[:400])
        for job in client.ask("query-jobs").get("return", []):
            if not books_agree(job):
                run.notes.append(f"WRONG job: {json.dumps(job)}"[:400])
        run.count()
        end = limit(5)
        while run.base and run.is_more() and time.monotonic() < end:
            time.sleep(0.05)
            run.count()

    def command(self):
        return [os.path.join(BIN, "gmig-vmm"), "--name", "f", "--mem", "16M", "--fake-nodes", "2", "--cpus", "1", *self.options]


class Command:
    """A command of gmig beside a guest, which serves many runs as long as nothing is wrong with it."""
    mine = threading.local()
    new_guest = Run
    beside = "huge"  # the scenario whose guest it is
    guests, lock = [], threading.Lock()

    def __init__(self, words, says, job=None, undo=None, states=()):
        """job: arguments of one that runs, states: in which it may be when the command has ended; undo: (command, arguments), what takes back what it has set."""
        self.words, self.says, self.job, self.undo = words, re.compile(says), job, undo
        self.states = ("completed", "cancelled", "cancelling", "failed", *states)

    def guest(self):
        """(run, client) of this thread's guest."""
        if not getattr(self.mine, "guest", None):
            run = self.new_guest()
            with self.lock:
                self.guests.append(run)
            run.start(SCENARIOS[self.beside].command(), False)
            client = Client(run.path("gmig/f.sock"))
            if not SCENARIOS[self.beside].wait_up(run, client):
                raise TimeoutError(f"the guest does not start: {run.said()[-300:]}")
            SCENARIOS[self.beside].wait_sweep(run, client, "first")
            self.settle(run, client)
            run.count()
            run.base = argparse.Namespace(fds=run.fds, threads=run.threads)
            self.mine.guest = (run, client)
        return self.mine.guest

    @classmethod
    def drop(cls):
        """Without this thread's guest: the next run gets another."""
        if getattr(cls.mine, "guest", None):
            cls.mine.guest[1].close()
            cls.mine.guest[0].kill()
        cls.mine.guest = None

    @classmethod
    def end_all(cls):
        for run in cls.guests:
            run.kill()
            run.remove()

    @staticmethod
    def jobs(client):
        return client.ask("query-jobs")["return"]

    def settle(self, run, client):
        """No job is left, nothing is set, and all memory is on node 0."""
        if self.undo:
            client.ask(self.undo[0], **self.undo[1])
        for job in self.jobs(client):
            if job["state"] not in ("completed", "cancelled", "failed"):
                client.ask("job-cancel", id=job["id"])
                SCENARIOS[self.beside].wait_job(run, client, job["id"])
        answer = client.ask("migrate-pages", **{"from": [1], "to": [0]})
        if "error" in answer:
            raise Gone(f"migrate-pages: {answer['error']['desc']}")
        SCENARIOS[self.beside].wait_job(run, client, answer["return"]["id"])

    def look(self, guest, client):
        """What the guest says of itself, and an ordinary command; None: all is well."""
        guest.notes, guest.told = [], []
        SCENARIOS[self.beside].look(guest, client)
        if guest.notes:
            return guest.notes[0].split()[0], guest.notes[0]
        if guest.is_more():
            return "LEAK", (f"{guest.fds} descriptors, {guest.base.fds} without; {guest.names}, "
                            f"{guest.base.threads} threads without")
        after = subprocess.run([os.path.join(BIN, "gmig"), "list"], capture_output=True, timeout=30 * PATIENCE,
                               env=dict(os.environ, XDG_RUNTIME_DIR=guest.dir))
        if after.returncode or not re.search(rb"(?m)^f ", after.stdout):
            return "AFTER", f"gmig list: {after}"[:300]
        return None

    def judge(self, run, client, ident, status):
        with open(run.path("out"), "rb") as file:
            out = file.read().decode(errors="replace")
        said = run.said().strip()
        last = said.splitlines()[-1] if said else ""
        if status is None:
            return "HANG", f"{out[-200:]} {last}"
        if status < 0 or status > 128:
            return "CRASH", f"status {status}: {last}"
        if status:
            return ("told", last) if last else ("SILENT", f"status {status}, and not a word")
        if not self.says.search(out):
            return "FALSE", f"status 0, but: {out[-300:]!r} {last}"
        state = {job["id"]: job["state"] for job in self.jobs(client)}.get(ident)
        if ident is not None and state not in self.states:
            return "FALSE", f"status 0, but job {ident} is {state}"
        return "ok", ""

    def truth(self, guest, client):
        """What a command that ended in 0 has to have done; None: it has."""
        return None

    def once(self, run):
        ident = None
        try:
            guest, client = self.guest()
            self.settle(guest, client)
            if self.job:
                ident = client.ask("migrate-pages", **{"from": [0], "to": [1]}, **self.job)["return"]["id"]
            words = [word.replace("JOB", str(ident)) for word in self.words]
            run.start([os.path.join(BIN, "gmig"), *words], True, guest.dir)
            verdict = self.judge(run, client, ident, run.end(30))
            if verdict[0] == "ok":
                verdict = self.truth(guest, client) or verdict
            self.settle(guest, client)  # a job that could not be cancelled has threads
            trouble = self.look(guest, client)
            if trouble:
                self.drop()
            return run, trouble or verdict
        except (Gone, TimeoutError, subprocess.TimeoutExpired) as late:
            self.drop()
            return run, ("HANG", f"of the guest: {late}")
        finally:
            run.kill()


class Agent:
    """gmig-agent from its start to its end, which moves a process that checks its own memory."""
    TARGET = ("import ctypes, os, sys\nfill = os.urandom(4096)\nheld = bytearray(fill * 1024)\n"
              "print(ctypes.addressof(ctypes.c_char.from_buffer(held)), flush=True)\n"
              "for line in sys.stdin: print('same' if held == fill * 1024 else 'LOST', flush=True)")
    CPUSET = "/sys/fs/cgroup/cpuset"  # version 1
    program = "gmig-agent"

    def __init__(self, steps):
        self.steps = steps

    def talk(self, run, sock, known):
        """Asks for all; how far it came. known: what words in capitals stand for; without what one stands for a step is left out."""
        client = Client(None)
        client.sock = sock
        for name, arguments, *later in self.steps:
            arguments = {key: known.get(value) if isinstance(value, str) and value.isupper() else value
                         for key, value in arguments.items()}
            if None in arguments.values():
                continue
            try:
                sock.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
                answer = client.line()
                if "error" in answer:
                    run.told.append(f"{name}: {answer['error']['desc']}")
                    continue
                self.check(run, name, arguments, answer["return"])
                known["JOB"] = answer["return"].get("id") if isinstance(answer["return"], dict) else None
                if known["JOB"] and not later:
                    self.wait_job(run, client, known["JOB"], name == "job-cancel")
            except socket.timeout:
                raise TimeoutError(f"{name}: no answer")
            except OSError as error:
                run.notes.append(f"{name}: {error}")
                return "ended"
        return "done"

    def check(self, run, name, arguments, answer):
        """What it says has been done."""
        if name == "move-pages" and not all(status in (0, -2, -14, -16) for status in answer["status"]):
            run.notes.append(f"WRONG move-pages: {answer}"[:300])
        for key in ("cpus", "mems") if "cgroup" in arguments else ():
            with open(f"{self.CPUSET}{arguments['cgroup']}/cpuset.{key}") as file:
                if key in arguments and file.read().strip() != str(arguments[key][0]):
                    run.notes.append(f"WRONG {name}: {key} of the cgroup are others")

    @staticmethod
    def wait_job(run, client, ident, cancelled=False):
        end = limit(20)
        while time.monotonic() < end:
            client.sock.sendall(json.dumps({"execute": "job-status", "arguments": {"id": ident}}).encode() + b"\n")
            answer = client.line()
            if "error" in answer:
                run.told.append(f"job-status: {answer['error']['desc']}")
            elif answer["return"]["state"] in ("completed", "cancelled", "failed"):
                if answer["return"]["state"] != "completed" and not (cancelled and answer["return"]["state"] == "cancelled"):
                    run.told.append(f"job {answer['return']}"[:300])
                return
            time.sleep(0.02)
        raise TimeoutError(f"job {ident} does not end")

    @classmethod
    def make_cgroup(cls, pid):
        """A cgroup of its own for the process, as a name of the agent's; None: none can be made here."""
        name = f"/gmig-fault-{pid}"
        try:
            os.mkdir(cls.CPUSET + name)
            for key in ("cpus", "mems"):
                with open(f"{cls.CPUSET}/cpuset.{key}") as above, open(f"{cls.CPUSET}{name}/cpuset.{key}", "w") as file:
                    file.write(above.read())
            with open(f"{cls.CPUSET}{name}/tasks", "w") as file:
                file.write(str(pid))
        except OSError:
            return None
        return name

    @classmethod
    def remove_cgroup(cls, name):
        end = limit(5)
        while name and os.path.isdir(cls.CPUSET + name) and time.monotonic() < end:
            try:
                os.rmdir(cls.CPUSET + name)
            except OSError:
                time.sleep(0.02)  # a process that has ended is in it a moment longer

    def once(self, run):
        cgroup = None
        target = subprocess.Popen([sys.executable, "-c", self.TARGET], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ours, theirs = socket.socketpair()
        try:
            address = int(target.stdout.readline())
            cgroup = self.make_cgroup(target.pid)
            known = {"PID": target.pid, "CGROUP": cgroup, "PAGES": [(address & ~4095) + 4096 * i for i in (1, 2, 9)]}
            ours.settimeout(20 * PATIENCE)
            with open(run.path("conf"), "w") as conf:
                conf.write("# everything\n")
            command = [os.path.join(BIN, self.program), "--config", run.path("conf"), "--fd", str(theirs.fileno())]
            run.start(command, True, fds=[theirs.fileno()])
            theirs.close()
            phase = self.talk(run, ours, known)
            ours.close()
            status = run.end(20)
            target.stdin.write(b"?\n")
            target.stdin.flush()
            if target.stdout.readline() != b"same\n":
                run.notes.append("LOST the process's memory")
            verdict = judge(run, phase, status)
            # An agent that ends and says why is started again by its unit.
            return run, ("refused", verdict[1]) if verdict[0] == "ENDED" and status else verdict
        except TimeoutError as late:
            return run, ("HANG", f"{late}; {run.said().strip()[-300:]}")
        finally:
            if run.proc:
                try:
                    os.killpg(run.proc.pid, signal.SIGKILL)  # its opener, too, whatever has become of it
                except OSError:
                    pass
            run.kill()
            target.kill()
            target.wait()
            ours.close()
            self.remove_cgroup(cgroup)


MIGRATE = [("migrate-pages", {"from": [0], "to": [1]}), ("migrate-pages", {"from": [1], "to": [0], "mode": "block"})]
SCENARIOS = {
    "boot": Guest([], []),
    "huge": Guest([], MIGRATE),
    "small": Guest(["--page", "4K"], [("migrate-pages", {"from": [0], "to": [1], "mode": "readable"}), MIGRATE[1]]),
    "split": Guest([], [("migrate-pages", {"from": [0], "to": [1], "huge": "split"}), MIGRATE[1]]),
    "lazy": Guest([], [("migrate-pages", {"from": [0], "to": [1], "mode": "lazy", "deadline": 300000000}),
                       ("migrate-pages", {"from": [1], "to": [0], "mode": "lazy", "lazy": "write", "deadline": 300000000})]),
    "pages": Guest([], [("move-pages", {"pages": [4194304, 8192, 1, 8388608, 2097152, 1]}),
                        ("query-pages", {"pages": [4194304, 8388608]}),
                        ("bind-memory", {"gpa": 0, "bytes": 8388608, "policy": "interleave", "nodes": [0, 1], "move": True}),
                        ("fix-memory", {"gpa": 0, "bytes": 2097152, "fixed": True}), MIGRATE[0]]),
    "sample": Guest([], [("sample-memory", {"on": True, "rate": 1000}), MIGRATE[0], ("query-heat", {}),
                         ("sample-memory", {"on": False})]),
    "retire": Guest([], [("retire-page", {"gpa": 4194304, "keep": True}), MIGRATE[0], ("repair-table", {})]),
    "memfd": Guest(["--memory", "memfd"], MIGRATE[:1]),
    "agent": Agent([("guest-ping", {}), ("guest-info", {}), ("numa-topology", {}), ("processes", {"count": 3}),
                    ("numa-maps", {"pid": "PID"}), ("migrate-pages", {"pid": "PID", "from": [0], "to": [0]}),
                    ("set-affinity", {"pid": "PID", "cpus": [0]}), ("collapse", {"pid": "PID"}), ("query-jobs", {})]),
    "agent-pages": Agent([("numa-maps", {"pid": "PID", "mappings": True}), ("move-pages", {"pid": "PID", "addresses": "PAGES"}),
                          ("move-pages", {"pid": "PID", "addresses": "PAGES", "nodes": 0}),
                          ("migrate-pages", {"pid": "PID", "from": [0], "to": [0], "method": "migrate_pages"}),
                          ("stall-probe", {"seconds": 5, "bytes": 1048576}, "later"), ("job-cancel", {"id": "JOB"})]),
    "agent-cgroup": Agent([("set-affinity", {"cgroup": "CGROUP", "cpus": [0]}), ("set-affinity", {"cgroup": "CGROUP", "mems": [0]}),
                           ("migrate-pages", {"cgroup": "CGROUP", "from": [0], "to": [0]}), ("query-jobs", {})]),
    "gmig-list": Command(["list"], r"(?m)^f "),
    "gmig-show": Command(["show", "f"], r"(?i)node"),
    "gmig-top": Command(["top", "--once"], r"(?m)\bf\b"),
    "gmig-migrate": Command(["migrate", "f", "--from", "0", "--to", "1"], r"(?i)moved|completed"),
    "gmig-jobs": Command(["jobs", "f"], r"completed"),
    "gmig-wait": Command(["wait", "f", "JOB"], r"", {"rate": 1 << 26}),
    "gmig-cancel": Command(["cancel", "f", "JOB"], r"", {"rate": 1 << 20}),
    "gmig-pause": Command(["pause-job", "f", "JOB"], r"", {"rate": 1 << 20}, states=["paused"]),
    "gmig-set-rate": Command(["set-rate", "f", "JOB", "2M"], r"", {"rate": 1 << 20}, states=["running", "created"]),
    "gmig-move": Command(["move", "f", "--gpa", "0,4M", "--to", "1"], r"\S"),
    "gmig-bind": Command(["bind", "f", "--range", "0+4M", "--policy", "bind", "--nodes", "1", "--move"], r"",
                         undo=("bind-memory", {"gpa": 0, "bytes": 4194304, "policy": "default"})),
    "gmig-sample": Command(["sample", "f", "on"], r"", undo=("sample-memory", {"on": False})),
    "gmig-check": Command(["check", "f"], r"\S"),
    "gmig-histogram": Command(["histogram", "f"], r"\S"),
}

def judge(run, phase, status):
    """(kind, words). A kind in capitals may not be."""
    said = run.said().strip()
    last = said.splitlines()[-1] if said else ""
    bad = [note for note in run.notes if note.split()[0] in ("LOST", "WRONG")]
    if bad:
        return bad[0].split()[0], bad[0]
    if status is None:
        return "HANG", f"{phase}: {'; '.join(run.notes)} {last}"
    if status < 0 or status > 128:
        return "CRASH", f"status {status}: {last}"
    left = [name for name in os.listdir(run.path("gmig")) if name.endswith(".sock")]
    if left:
        return "LEFT", f"{left}: {last}"
    if phase == "start":
        return ("refused", last) if status and last else ("SILENT", f"status {status}, and not a word")
    if phase == "ended":
        return ("ENDED", last) if last else ("SILENT", f"status {status}, and not a word")
    if run.base and run.is_more():
        return "LEAK", f"{run.fds} descriptors, {run.base.fds} without; {run.names}, {run.base.threads} threads without"
    if status:
        return ("told", last) if last else ("SILENT", f"status {status}, and not a word")
    return ("told", run.told[0]) if run.told else ("ok", "")


def live(scenario, run):
    """One life of that name: (run, (kind, words))."""
    if hasattr(SCENARIOS[scenario], "once"):
        return SCENARIOS[scenario].once(run)
    try:
        run.start(SCENARIOS[scenario].command(), scenario == "boot")
        phase = "alive"
        try:
            phase = SCENARIOS[scenario].play(run)
        except TimeoutError as late:
            run.notes.append(str(late))
            return run, ("HANG", f"{late}; {run.said().strip()[-300:]}")
        except (OSError, KeyError, TypeError, ValueError) as odd:
            run.notes.append(repr(odd))
        status = run.end(30) if phase in ("done", "start", "ended") else None
        return run, judge(run, phase, status)
    finally:
        run.kill()
