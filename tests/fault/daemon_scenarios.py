"""
gmigd, from its start to its end, beside libvirt's test driver, and libvirt's hook: in a mount namespace with a /run of its own, with a process
that says it is the domain's QEMU and checks its own memory. For tests/fault/syscalls; see scenarios.py.
"""
import contextlib, json, os, re, signal, socket, subprocess, sys, time, uuid

from scenarios import BIN, PATIENCE, Client, Gone, books_agree, limit, with_own_run

HELD = 8 << 20
NODE = """<node><domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><name>web1</name><uuid>{}</uuid>
<memory unit='MiB'>{}</memory><vcpu>2</vcpu><os><type arch='x86_64'>hvm</type></os><devices/></domain></node>"""
CONF = "[gmigd]\nuri = test://{0}/node.xml\nsocket = {0}/gmig/gmigd.sock\nstate = {0}/state\ngroup = daemon\n" \
       "metrics = {0}/gmig.prom\nscan-interval = 1s\n[default]\nplacement = follow-vcpus\n{1}"


def missing():
    """Why none of this can be run here, or None."""
    if os.geteuid():
        return "only root may do without /run"
    return None if os.path.exists(os.path.join(BIN, "gmigd")) else "gmigd is not built: libvirt-dev is missing"


class Daemon:
    """steps: methods of a Life, in this order. first: one that makes what is there before the start. whole: faults begin with the program."""
    # By parts: a copy of it all would be as much memory again.
    TARGET = ("import mmap, os, sys\nfill, held = os.urandom(4096) * 16, mmap.mmap(-1, int(sys.argv[1]), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
              "parts = range(0, len(held), len(fill))\nfor at in parts: held[at:at + len(fill)] = fill\n"
              "print('up', flush=True)\n"
              "for line in sys.stdin: print('same' if all(held[at:at + len(fill)] == fill for at in parts) else 'LOST', flush=True)")

    def __init__(self, *steps, whole=False, first=None):
        self.steps, self.whole, self.first = steps, whole, first

    missing = staticmethod(missing)

    life = staticmethod(lambda run: Life(run))

    def once(self, run):
        life = self.life(run)
        try:
            if self.first:
                self.first(life)
            verdict = life.play(self.steps, self.whole)
            return run, life.after() or verdict if verdict[0].islower() else verdict
        except (TimeoutError, subprocess.TimeoutExpired, Gone) as late:
            return run, ("HANG", f"{late}; {run.said().strip()[-300:]}")
        finally:
            run.kill()
            life.end()


class Life:
    """A gmigd, the domain's process, and who asks."""
    held = HELD
    usual = r"\[nonsense\]:"  # warnings that there are without a fault

    def __init__(self, run):
        self.run, self.next = run, None
        self.sock, self.state = run.path("gmig/gmigd.sock"), run.path("state")
        self.client = Client(self.sock)
        os.makedirs(run.path("run/gmig"))
        self.uuid = str(uuid.uuid4())  # two at a time would each be the other's domain, too
        self.write("node.xml", NODE.format(self.uuid, self.held >> 20))
        self.configure("")
        self.target = subprocess.Popen(self.in_its_place([sys.executable, "-c", Daemon.TARGET, str(self.held), "-uuid", self.uuid, "-name", "guest=web1"]),
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
        self.target.stdout.readline()

    def in_its_place(self, command):
        """The command of the domain's process."""
        return command

    def write(self, name, text):
        with open(self.run.path(name), "w") as file:
            file.write(text)

    def configure(self, more):
        self.write("gmigd.conf", CONF.format(self.run.dir, more))

    def command(self, *more):
        return [os.path.join(BIN, "gmigd"), "--config", self.run.path("gmigd.conf"), *more]

    def private(self, command):
        return with_own_run(self.run.path("run"), command)

    def wait(self, what, seconds, done):
        end = limit(seconds)
        while not done():
            if time.monotonic() > end:
                raise TimeoutError(what)
            if self.run.proc.poll() is not None:
                raise Gone(f"{what}: it has ended")
            time.sleep(0.02)

    # ---- Its start and its end ----

    def play(self, steps, whole):
        run = self.run
        run.start(self.command(), whole, around=self.private)
        phase = "start"
        try:
            self.wait("it does not serve", 30, self.serves)
            phase = "work"
            self.is_listed()
            if not whole:
                run.begin()
            for step in steps:
                step(self)
            self.is_listed()
            self.look()
            phase = "end"
        except Gone as gone:
            run.notes.append(str(gone))
            if run.end(2) is None:  # it lives, and does not answer
                return "HANG", f"{phase}: {gone}; {run.said().strip()[-300:]}"
        self.client.close()
        self.stop()
        return self.judge(phase, run.end(20))

    def serves(self):
        try:
            self.client.connect()
            return True
        except OSError:
            return False

    def stop(self):
        with contextlib.suppress(OSError, TypeError):
            os.kill(self.run.pid(), signal.SIGTERM)

    def judge(self, phase, status):
        run, said = self.run, self.run.said().strip()
        last = said.splitlines()[-1] if said else ""
        bad = [note for note in run.notes if note.split()[0] in ("FALSE", "WRONG", "LEAK")]
        if status is None:
            return "HANG", f"{phase}: {'; '.join(run.notes)} {last}"
        if status < 0 or status > 128:
            return "CRASH", f"{phase}: status {status}: {last}"
        if bad:
            return bad[0].split()[0], bad[0]
        if not self.is_same():
            return "LOST", "the process's memory"
        if status:
            word = "refused" if phase == "start" else "ended"
            return (word, last) if re.search(r"(?m)^gmigd: |error while loading", said) else ("SILENT", f"status {status}: {last}")
        if phase != "end":
            return "SILENT", f"it ends in {phase} with status 0: {last}"
        left = self.left((".tell", ".kept", ".pins", ".json"))  # those are for the next one
        if left:
            return "LEFT", f"{left}: {last}"
        told = run.told + [line for line in said.splitlines() if re.search(rf"^gmigd: (warning|error) (?!.*{self.usual})", line)]
        return ("told", told[0]) if told else ("ok", "")

    def left(self, but=()):
        return [name for folder in ("gmig", "run/gmig", "state") if os.path.isdir(self.run.path(folder))
                for name in os.listdir(self.run.path(folder)) if name not in ("lock", "boot", "gmigd-plans.lock", "closed-nodes") and not name.endswith(but)]

    def is_same(self):
        self.target.stdin.write(b"?\n")
        self.target.stdin.flush()
        return self.target.stdout.readline() == b"same\n"

    def after(self):
        """The next one, without a fault, must work, whatever this one has left; None: it does."""
        self.configure("")
        with open(self.run.path("next"), "wb") as out:
            self.next = subprocess.Popen(self.private(self.command()), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.run.proc, before = self.next, self.run.proc
        try:
            self.wait("the next one does not serve", 20, self.serves)
            self.is_listed(20)
            self.put_right()
            self.client.close()
            self.next.terminate()
            status = self.next.wait(20 * PATIENCE)
        except (Gone, TimeoutError, subprocess.TimeoutExpired) as trouble:
            with open(self.run.path("next")) as said:
                return "AFTER", f"{trouble}: {said.read()[-300:]}"
        finally:
            self.run.proc = before
        if status or self.left():
            return "AFTER", f"status {status}, {self.left()} is left"
        return None if self.is_same() else ("LOST", "the process's memory, by the next one")

    def put_right(self):
        self.move()

    def end(self):
        self.client.close()
        for child in (self.next, self.target):
            if child:
                child.kill()
                child.wait()

    # ---- What is asked ----

    def ask_again(self, name, **arguments):
        """What is answered; again as long as a move is just ending, of which it is said that it should be tried again."""
        answer, end = self.client.ask(name, **arguments), limit(20)
        while "just ending" in answer.get("error", {}).get("desc", "") and time.monotonic() < end:
            time.sleep(0.05)
            answer = self.client.ask(name, **arguments)
        return answer

    def ask(self, name, **arguments):
        """The answer, or None: refused with a text."""
        answer = self.ask_again(name, **arguments)
        if "error" not in answer:
            return answer["return"]
        if not answer["error"].get("desc"):
            self.run.notes.append(f"FALSE {name}: an error without a text")
        self.run.told.append(f"{name}: {answer['error'].get('desc')}")
        return None

    def entry(self):
        answer = self.ask("query-guests") or {"guests": []}
        return next((guest for guest in answer["guests"] if guest["name"] == "web1"), {})

    def is_listed(self, seconds=5):
        """Never with another's pid, nor as ended. strace fails the N-th call of each new thread, too: it may not be found at all, which is said."""
        entry, end = {}, limit(seconds)
        while entry.get("state") != "running":
            if time.monotonic() > end:
                said = entry.get("why") or re.search(r"(?m)^gmigd: (?:warning|error).*", self.run.said())
                if not said or self.run.proc is self.next:
                    raise TimeoutError(f"the domain is not listed: {entry}")
                return
            if self.run.proc.poll() is not None:
                raise Gone("it has ended")
            time.sleep(0.02)
            entry = self.entry()
            if entry.get("pid", self.target.pid) != self.target.pid or entry.get("state") == "ended":
                self.run.notes.append(f"FALSE it lists {entry}")
                return

    def look(self):
        run = self.run
        answer = self.ask("query-residency", guest="web1", fresh=True)
        if answer and not answer.get("unknown"):
            here = sum(answer["vnodes"][0]["resident"].values())
            # A page that the kernel moves at this moment is on no node.
            if not self.held // 2 <= here <= 8 * self.held:
                run.notes.append(f"FALSE {here} bytes are resident")
        elif answer:
            run.told.append(f"query-residency: {answer['unknown']}")
        run.count()
        end = limit(5)
        while run.base and run.is_more() and time.monotonic() < end:
            time.sleep(0.05)
            run.count()
        if run.base and run.is_more():
            run.notes.append(f"LEAK {run.fds} descriptors, {run.base.fds} without; {run.names}, {run.base.threads} without")

    def round(self):
        """libvirt's hook tells of something, metrics are written anew, and all is looked at again."""
        with contextlib.suppress(OSError):
            os.unlink(self.run.path("gmig.prom"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            sock.sendto(b"x", self.run.path("run/gmig/gmigd-hook"))
        self.wait("no metrics", 20, lambda: os.path.exists(self.run.path("gmig.prom")))
        for name in ("query-numa", "check-invariants", "query-jobs"):
            self.ask(name, guest="web1")
        self.look()

    def move(self):
        answer = self.ask("migrate-pages", guest="web1", **{"from": [0], "to": [0]})
        job = answer and self.wait_job(answer["id"])
        if job and not books_agree(job):
            self.run.notes.append(f"WRONG job: {json.dumps(job)}"[:400])
        if job and job["state"] == "failed":
            self.run.told.append(f"job {json.dumps(job)}"[:300])

    def wait_job(self, ident):
        end = limit(20)
        while time.monotonic() < end:
            for job in self.ask("query-jobs", guest="web1") or []:
                if job["id"] == ident and job["state"] in ("completed", "cancelled", "failed"):
                    return job
            time.sleep(0.02)
        raise TimeoutError(f"job {ident} does not end")

    def pin(self):
        answer = self.ask("pin-vcpus", guest="web1", vcpus=[0, 1], node=0)
        end = limit(30)
        while answer:
            state = self.ask("query-pins", guest="web1", order=answer["order"])
            if state and state["state"] != "pending":
                return
            if time.monotonic() > end:
                raise TimeoutError(f"pins are {state}")
            time.sleep(0.02)

    def shut_nodes(self):
        self.ask("close-nodes", close=[0])
        answer = self.ask("close-nodes", open=[0])
        if answer and answer["closed_nodes"]:
            self.run.notes.append(f"FALSE nodes {answer['closed_nodes']} are closed")

    def reload(self):
        for more, word in (("[domain web2]\nplacement = none\n", "configuration has been read again"),
                           ("[nonsense]\n", "configuration is wrong"), ("", "configuration has been read again")):
            self.configure(more)
            before = self.run.said()
            os.kill(self.run.pid(), signal.SIGHUP)
            try:
                self.wait(f"no '{word}'", 10, lambda: re.search(r"configuration (has been|is wrong)", self.run.said()[len(before):]))
            except TimeoutError:
                if not any(" write(2<" in call for call in self.run.injected()):
                    raise
                self.run.told.append("the line itself could not be written")
            said = self.run.said()[len(before):]
            if more == "[nonsense]\n" and "read again" in said:
                self.run.notes.append("FALSE a wrong configuration has been read")

    # ---- What an earlier one has left ----

    def leave(self):
        """Journals of a killed one: libvirt is still to be told where memory is, and to pin a thread; sockets; one that is no journal."""
        os.mkdir(self.state, 0o700)
        with open(f"/proc/{self.target.pid}/stat") as file:
            start = int(file.read().rsplit(")", 1)[1].split()[19])
        owner = {"version": 1, "uuid": self.uuid, "pid": self.target.pid, "start_time": start}
        self.write(f"state/{self.uuid}.tell", json.dumps({**owner, "nodes": "0"}))
        for name in ("gmig/gmigd.sock", "run/gmig/gmigd-hook"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if name.endswith("sock") else socket.SOCK_DGRAM) as sock:
                sock.bind(self.run.path(name))


class Hook:
    """gmig-libvirt-hook: exit status 0 and no output, whatever happens, and the datagram is true, or lost."""
    missing = staticmethod(missing)
    WORDS = ["web1", "started", "begin", "-"]

    def once(self, run):
        with open(run.path("xml"), "w") as file:
            file.write(NODE.format(uuid.uuid4(), HELD >> 20))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, open(run.path("xml"), "rb") as xml:
            sock.bind(run.path("hook"))
            sock.setblocking(False)
            around = lambda command: ["env", f"GMIG_HOOK_SOCKET={run.path('hook')}", *command]
            try:
                run.start([os.path.join(BIN, "gmig-libvirt-hook"), *self.WORDS], True, around=around, stdin=xml)
                return run, self.judge(run, run.end(20), sock)
            finally:
                run.kill()

    def judge(self, run, status, sock):
        with open(run.path("out")) as file:
            said = file.read() + run.said()
        if status is None:
            return "HANG", said
        if status:
            return "VETO", f"status {status}: {said}"
        if said:
            return "FALSE", f"it prints {said!r}"
        try:
            datagram = sock.recv(1 << 18)
        except BlockingIOError:
            return "lost", ""
        with open(run.path("xml"), "rb") as file:
            return self.truth(datagram.split(b"\0", 9), file.read())

    def truth(self, fields, xml):
        operation = [b"gmig-hook 1", *(word.encode() for word in self.WORDS[1:]), self.WORDS[0].encode()]
        if len(fields) != 10 or fields[:5] != operation:
            return "FALSE", f"the datagram is {fields}"
        name, which, size, digest, rest = *fields[5:9], fields[9]
        read, mark = xml[:int(size)], 0xcbf29ce484222325
        for byte in read:
            mark = (mark ^ byte) * 0x100000001b3 & (1 << 64) - 1
        if digest != b"%016x" % mark or name not in (b"", re.search(b"<uuid>(.*)</uuid>", xml)[1]):
            return "FALSE", f"not of what was read: {fields}"
        if which == b"whole":
            return ("ok", "") if rest == xml else ("FALSE", f"not the whole XML: {fields}")
        return ("told", which.decode()) if which == b"cut" and not rest else ("FALSE", f"the datagram is {fields}")


DAEMON = {
    "gmigd-start": Daemon(whole=True),
    "gmigd-left": Daemon(whole=True, first=Life.leave),
    "gmigd-round": Daemon(Life.round, Life.round),
    "gmigd-move": Daemon(Life.move, Life.pin, Life.move, Life.shut_nodes),
    "gmigd-reload": Daemon(Life.reload),
    "gmigd-end": Daemon(),
    "gmigd-hook": Hook(),
}
