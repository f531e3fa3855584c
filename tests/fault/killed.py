"""Rounds of tests/fault/kills in which gmigd or gmig-agent is killed or stopped, beside processes that check their own memory."""
import glob, json, os, signal, socket, subprocess, sys, threading, time

import scenarios
from scenarios import BIN, PATIENCE, Agent, Client, Run, limit

# A process that a domain's QEMU looks like: its command line, the name of its vCPU's thread, its memory.
QEMU = ("import os, sys, threading, time\n"
        "def vcpu():\n    open(f'/proc/self/task/{threading.get_native_id()}/comm', 'w').write('CPU 0/KVM')\n    up.set()\n    time.sleep(1e6)\n"
        "up = threading.Event(); threading.Thread(target=vcpu, daemon=True).start(); up.wait()\n" + Agent.TARGET.replace("* 1024", "* 4096"))
DOMAIN = ("<domain type='test'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>"
          "<os><type arch='x86_64'>hvm</type></os></domain>")


class Failed(Exception):
    pass


def gmig(run, *words, **more):
    return subprocess.Popen([os.path.join(BIN, "gmig"), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True,
                            env=dict(os.environ, XDG_RUNTIME_DIR=run.dir, GMIG_SYSTEM_DIR=run.path("gmig"),
                                     GMIGD_SOCKET=run.path("gmigd.sock"), **more))


def ended(process, seconds):
    """(status, what it said)"""
    try:
        said, _ = process.communicate(timeout=seconds * PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        raise Failed(f"{' '.join(process.args[1:])} does not end: {said[-300:]}")
    return process.returncode, said


class Target:
    """A process that says whether its memory is as it was."""

    def __init__(self, *words, code=Agent.TARGET):
        self.proc = subprocess.Popen([sys.executable, "-c", code, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.proc.stdout.readline()
        self.pid = self.proc.pid

    def check(self):
        self.proc.stdin.write(b"?\n")
        self.proc.stdin.flush()
        if self.proc.stdout.readline() != b"same\n":
            raise Failed("LOST the memory of a process that was moved")

    def kill(self):
        self.proc.kill()
        self.proc.wait()


# ---- gmigd ----------------------------------------------------------------------------------------------------------------

class Daemon:
    """gmigd on libvirt's test driver, with two domains, in a mount namespace whose /run is its own. What it leaves is the next one's."""

    def __init__(self, rng, run=None):
        self.run, self.domains = run or Run(), {}
        for directory in ("pids", "private", "state"):
            os.mkdir(self.run.path(directory), 0o700)
        os.mkdir(self.run.path("private/gmig"))
        for name in ("web1", "web2"):
            uuid = f"{rng.getrandbits(32):08x}-0f1b-4d1a-9d5c-{os.getpid():06x}{rng.getrandbits(24):06x}"
            target = Target("-name", f"guest={name},debug-threads=on", "-uuid", uuid, code=QEMU)
            self.domains[name] = (uuid, target)
            self.write(f"pids/{name}.pid", f"{target.pid}\n")
        self.write("node.xml", "<node>" + "".join(DOMAIN.format(name=n, uuid=d[0]) for n, d in self.domains.items()) + "</node>")
        self.write("conf", f"[gmigd]\nmetrics = {self.run.path('gmig.prom')}\n")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(self.run.path("notify"))
        self.sign = 0
        self.ear = threading.Thread(target=self.hear, daemon=True)
        self.ear.start()

    def write(self, name, text):
        with open(self.run.path(name), "w") as file:
            file.write(text)

    def start(self, variables=()):
        """variables: of gmigd's environment alone, as env(1) takes them."""
        # Watched, as by systemd: a sign of life each second.
        watched = ("-u", "WATCHDOG_PID", "NOTIFY_SOCKET=" + self.run.path("notify"), "WATCHDOG_USEC=2000000")
        self.run.start(scenarios.with_own_run(self.run.path("private"), [
            "env", *watched, *variables, os.path.join(BIN, "gmigd"), "--config", self.run.path("conf"), "--connect",
            "test://" + self.run.path("node.xml"), "--socket", self.run.path("gmigd.sock"), "--state", self.run.path("state"),
            "--group", "", "--run-dir", self.run.path("pids")]))

    def hear(self):
        """Reads what systemd would: a peer that is not heard waits."""
        while True:
            message = self.notify.recv(4096)
            if b"WATCHDOG=1" in message:
                self.sign = time.monotonic()
            if message == b"end":
                return

    def lives(self, seconds):
        """Does it give a sign of life, later than now?"""
        now = time.monotonic()
        while time.monotonic() < now + seconds:
            if self.sign > now:
                return True
            time.sleep(0.01)
        return False

    def wait_serving(self):
        """Both domains are there."""
        end, said = limit(30), ""
        while time.monotonic() < end:
            if self.run.proc.poll() is not None:
                raise Failed(f"it does not start: {self.run.said()[-400:]}")
            status, said = ended(gmig(self.run, "list"), 20)
            if status == 0 and "web1 " in said and "web2 " in said:
                return
            time.sleep(0.02)
        raise Failed(f"it does not serve: {said} {self.run.said()[-400:]}")

    def pin(self, name, wait):
        """The vCPU to the node's CPUs, which libvirt is asked for: an order, whose end is waited for."""
        client = Client(self.run.path("gmigd.sock"))
        try:
            client.connect()
            if not wait:
                client.sock.sendall(json.dumps({"execute": "pin-vcpus", "arguments": {"guest": name, "vcpus": [0], "node": 0}}).encode() + b"\n")
                return
            answer, end = client.ask("pin-vcpus", guest=name, vcpus=[0], node=0), limit(20)
            number = answer.get("return", {}).get("order")
            while "error" not in answer and answer["return"]["state"] in ("pending", "restoring"):
                if time.monotonic() > end:
                    raise Failed(f"the order does not end: {answer}")
                answer = client.ask("query-pins", guest=name, order=number)
            if "error" in answer or answer["return"]["state"] not in ("followed", "unneeded"):
                raise Failed(f"pin-vcpus: {answer} {self.run.said()[-300:]}")
        except (OSError, ValueError, scenarios.Gone) as gone:
            if wait:
                raise Failed(f"pin-vcpus: {gone!r} {self.run.said()[-300:]}")
        finally:
            client.close()

    def order(self, rng, name):
        if rng.random() < 0.3:
            self.pin(name, False)
        return gmig(self.run, *rng.choice([["migrate", name, "--from", "0", "--to", "0"], ["show", name, "--fresh"], ["list"],
                                           ["jobs", name], ["check", name]]))

    def plant(self, rng):
        """What another one may have left; what is to become of it: {file: kept aside?}."""
        uuid, target = self.domains[rng.choice(["web1", "web2"])]
        suffix = rng.choice([".json", ".tell", ".kept", ".pins"])
        path = os.path.join(self.run.path("state"), uuid + suffix)
        kind = rng.choice(["torn", "other", "process"])
        whole = {"version": 1, "uuid": uuid, "pid": target.pid, "start_time": 1, "nodes": "0"}
        if kind == "other":  # a uuid that is not the file's
            whole["uuid"] = "00000000-0f1b-4d1a-9d5c-000000000000"
        text = json.dumps(whole)
        if kind == "torn":
            text = text[:rng.randrange(1, len(text))]
        # Of a process that had the pid before, a note is about nothing.
        with open(path, "w") as file:
            file.write(text)
        return {path: kind != "process" or suffix not in (".tell", ".kept")}

    def settle(self):
        """The next one serves, does what it is told, keeps what it cannot understand, and ends."""
        self.wait_serving()
        for name in self.domains:
            for words in (["migrate", name, "--from", "0", "--to", "0"], ["show", name, "--fresh"]):
                status, said = ended(gmig(self.run, *words), 40)
                if status:
                    raise Failed(f"gmig {' '.join(words)}: {status}, {said[-300:]} {self.run.said()[-300:]}")
            self.pin(name, True)
        for _, target in self.domains.values():
            target.check()

    def stop(self):
        self.run.proc.send_signal(signal.SIGTERM)
        status = self.run.end(30)
        if status != 0:
            raise Failed(f"SIGTERM: {status}, {self.run.said()[-300:]}")
        left = [name for name in os.listdir(self.run.path("state")) if name not in ("lock", "boot") and ".bad-" not in name
                and not name.endswith(".aside")]
        if left or os.path.exists(self.run.path("gmigd.sock")):
            raise Failed(f"it leaves {left}, {os.listdir(self.run.dir)}")

    def judge_planted(self, planted):
        for path, aside in planted.items():
            kept = glob.glob(path + ".bad-*")
            if os.path.exists(path) or bool(kept) != aside:
                raise Failed(f"{path}: {kept}, there: {os.path.exists(path)}; {self.run.said()[-600:]}")
            if aside and ".bad-" not in self.run.said():
                raise Failed(f"{path} is kept aside without a word: {self.run.said()[-600:]}")
            for name in kept:
                os.unlink(name)

    def end(self, remove=True):
        if self.run.proc:
            self.run.kill()
        for _, target in self.domains.values():
            target.kill()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"end", self.run.path("notify"))
        self.ear.join()
        self.notify.close()
        if remove:
            self.run.remove()


def why_no_gmigd():
    """None: its rounds can be played here."""
    if not os.path.exists(os.path.join(BIN, "gmigd")):
        return "gmigd is not built"
    if subprocess.run(["unshare", "-m", "--propagation", "private", "true"], capture_output=True).returncode:
        return "no mount namespace: unshare(1) is refused"
    return None


def round_gmigd(rng, state):
    """Killed while it starts, looks, moves or pins; the next one starts in what it has left, and in what others may have."""
    daemon = state.setdefault("daemon", None) or state.update(daemon=Daemon(rng)) or state["daemon"]
    daemon.start()
    end, orders = time.monotonic() + rng.random() * rng.choice([0.05, 0.3, 1.0]), []
    while time.monotonic() < end:
        if os.path.exists(daemon.run.path("gmigd.sock")) and sum(order.poll() is None for order in orders) < 2:
            orders.append(daemon.order(rng, rng.choice(["web1", "web2"])))
        time.sleep(0.005)
    daemon.run.proc.kill()
    daemon.run.proc.wait()
    for order in orders:
        ended(order, 20)
    if state["n"] % 10 == 9:
        planted = daemon.plant(rng)
        daemon.start()
        daemon.settle()
        daemon.judge_planted(planted)
        daemon.stop()


def round_gmigd_stopped(rng, state):
    """Stopped for a moment, or until a client gives up: who asks hears of it, and afterwards all is as before."""
    daemon = state.setdefault("daemon", None) or state.update(daemon=Daemon(rng)) or state["daemon"]
    if not daemon.run.proc or daemon.run.proc.poll() is not None:
        daemon.start()
        daemon.wait_serving()
    long = state["n"] % 20 == 9
    order = daemon.order(rng, "web1")
    time.sleep(rng.random() * 0.03)
    daemon.run.proc.send_signal(signal.SIGSTOP)
    try:
        if long:
            if daemon.lives(0.5 * PATIENCE) and daemon.lives(0.5 * PATIENCE):
                raise Failed("signs of life of one that is stopped")
            status, said = ended(gmig(daemon.run, "show", "web1"), 60)
            if not status or "does not answer" not in said and "no answer" not in said:
                raise Failed(f"gmig show of a gmigd that is stopped: {status}, {said}")
        else:
            time.sleep(rng.random() * 0.1)
    finally:
        daemon.run.proc.send_signal(signal.SIGCONT)
    ended(order, 60)
    if state["n"] % 5 == 4 and not daemon.lives(10 * PATIENCE):
        raise Failed("no sign of life within 10 s after SIGCONT")
    if state["n"] % 10 == 9:
        daemon.settle()


# ---- gmig-agent -----------------------------------------------------------------------------------------------------------

class Served:
    """gmig-agent at a socket that gmig connects to, as it would be in a guest; the next one takes the next connection."""

    def __init__(self):
        self.run, self.target = Run(), Target()
        with open(self.run.path("conf"), "w") as conf:
            conf.write("# everything\n")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.run.path("port"))
        self.listener.listen(8)

    def start(self, ours):
        ours, theirs = socket.socketpair() if ours is None else (None, ours)
        self.run.start([os.path.join(BIN, "gmig-agent"), "--config", self.run.path("conf"), "--fd", str(theirs.fileno())],
                       fds=[theirs.fileno()])
        theirs.close()
        if ours:
            ours.settimeout(20 * PATIENCE)
        return ours

    def family(self):
        """The agent and the process that opens files for it."""
        pids = [self.run.proc.pid]
        try:
            with open(f"/proc/{pids[0]}/task/{pids[0]}/children") as children:
                pids += map(int, children.read().split())
        except OSError:
            pass
        return pids

    def end(self):
        if self.run.proc:
            self.run.kill()
        self.target.kill()
        self.listener.close()
        self.run.remove()


STEPS = [("migrate-pages", {"pid": "PID", "from": [0], "to": [0]}), ("collapse", {"pid": "PID"}), ("numa-maps", {"pid": "PID"}),
         ("set-affinity", {"pid": "PID", "cpus": [0]}), ("migrate-pages", {"pid": "PID", "from": [0], "to": [0], "rate": 1 << 20}),
         ("processes", {"count": 3}), ("guest-ping", {})]


def runs(pid):
    """Not: it waits to be reaped by whoever does that here."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def wait_gone(pids):
    end = limit(10)
    while any(map(runs, pids)):
        if time.monotonic() > end:
            raise Failed(f"of the agent that was killed {list(filter(runs, pids))} are left")
        time.sleep(0.005)


def ask_all(served, sock, steps):
    """None, or what went wrong."""
    talk = Run(None)
    try:
        if Agent(steps).talk(talk, sock, {"PID": served.target.pid}) != "done" or talk.told:
            return f"{talk.told} {talk.notes} {served.run.said()[-300:]}"
    finally:
        talk.remove()
    return None


def round_agent(rng, state):
    """Killed while it moves a process; the process's memory is whole, and the next agent does it all."""
    served = state.setdefault("served", None) or state.update(served=Served()) or state["served"]
    sock = served.start(None)
    for name, arguments in rng.sample(STEPS, 4):
        line = {"execute": name, "arguments": {k: served.target.pid if v == "PID" else v for k, v in arguments.items()}}
        try:
            sock.sendall(json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise Failed(f"it ended by itself: {error} {served.run.said()[-300:]}")
    time.sleep(rng.random() * rng.choice([0.005, 0.05, 0.2]))
    family = served.family()
    served.run.proc.kill()
    served.run.proc.wait()
    sock.close()
    wait_gone(family)
    served.target.check()
    if state["n"] % 10 == 9:
        sock = served.start(None)
        wrong = ask_all(served, sock, [("guest-ping", {}), *STEPS[:4]])
        sock.close()
        status = served.run.end(20)
        served.target.check()
        if wrong or status:
            raise Failed(f"the next agent: {status}, {wrong} {served.run.said()[-300:]}")


def guest_of(state):
    """A guest whose jobs have nothing to do with the agent."""
    if "guest" not in state:
        guest, run = scenarios.SCENARIOS["huge"], Run()
        run.start(guest.command())
        state["guest"], client = run, Client(run.path("gmig/f.sock"))
        if not guest.wait_up(run, client):
            raise Failed(f"the guest does not start: {run.said()[-300:]}")
        guest.wait_sweep(run, client, "first")
        client.close()
    return state["guest"]


def guests_job(state):
    """A job of the guest, to the other node."""
    guest, here = guest_of(state), 1 - state.get("here", 1)
    state["here"] = here
    status, said = ended(gmig(guest, "migrate", "f", "--from", str(here), "--to", str(1 - here)), 60)
    if status:
        raise Failed(f"a job of the guest beside an agent that is stopped: {status}, {said}")


def stop_for_long(served, state, order):
    """An agent that serves is stopped before gmig asks it: gmig says that it does not answer."""
    sock = served.start(None)
    wrong = ask_all(served, sock, [("guest-ping", {})])
    if wrong:
        raise Failed(wrong)
    served.run.proc.send_signal(signal.SIGSTOP)
    try:
        conn, _ = served.listener.accept()
        sock.sendall(conn.recv(65536))
        guests_job(state)
        status, said = ended(order, 120)
        conn.close()
        if not status or "does not answer" not in said:
            raise Failed(f"gmig agent of an agent that is stopped: {status}, {said}")
    finally:
        served.run.proc.send_signal(signal.SIGCONT)
    if not sock.recv(65536):
        raise Failed("an agent that goes on does not answer")
    sock.close()


def stop_for_a_moment(rng, served, state, order):
    conn, _ = served.listener.accept()
    served.start(conn)
    time.sleep(rng.random() * 0.05)
    served.run.proc.send_signal(signal.SIGSTOP)
    try:
        guests_job(state)
    finally:
        served.run.proc.send_signal(signal.SIGCONT)
    status, said = ended(order, 60)
    if status:
        raise Failed(f"gmig agent of an agent that was stopped: {status}, {said}")


def round_agent_stopped(rng, state):
    """Stopped for a moment, and its job goes on; or until gmig says that it does not answer. The guest's jobs are done meanwhile."""
    served = state.setdefault("served", None) or state.update(served=Served()) or state["served"]
    pid = str(served.target.pid)
    words = rng.choice([["collapse", "--pid", pid], ["ping"], ["maps", "--pid", pid],
                        ["migrate", "--pid", pid, "--from-vnode", "0", "--to-vnode", "0"]])
    order = gmig(guest_of(state), "agent", "f", *words, "--socket", served.run.path("port"))
    served.listener.settimeout(20 * PATIENCE)
    if state["n"] % 20 == 9:
        stop_for_long(served, state, order)
    else:
        stop_for_a_moment(rng, served, state, order)
    if served.run.end(20) != 0:
        raise Failed(f"the agent does not end with its port: {served.run.said()[-300:]}")
    served.target.check()
