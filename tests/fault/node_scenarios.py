"""
gmigd that moves a process's memory from node to node, whose cpusets it widens and narrows, beside libvirt's test driver: what daemon_scenarios.py
cannot do on one node. In the lab alone: nodes and cgroups are the lab's own.
"""
import contextlib, os, re, subprocess, time

import daemon_scenarios
from daemon_scenarios import Daemon, Life
from scenarios import Client, Gone, Run, books_agree, limit

KEPT = 32 << 20  # gmigd keeps a node open on which there is more than that
SLACK = 2 << 20


def missing():
    """Why none of this can be run here, or None."""
    if not os.environ.get("GMIG_IN_LAB"):
        return "nodes and cpusets of a lab's own are needed"
    if not os.path.isdir("/sys/devices/system/node/node1"):
        return "one node only"
    return daemon_scenarios.missing()


class Groups:
    """The domain's own group and one below it, as libvirt makes them: both have a set of nodes, and its process is in the lower one."""

    def __init__(self, uuid):
        self.top = f"/sys/fs/cgroup/gmig-{uuid}.libvirt-qemu"
        self.low = self.top + "/emulator"
        for above, group in (("/sys/fs/cgroup", self.top), (self.top, self.low)):
            self.write(above + "/cgroup.subtree_control", "+cpuset")
            os.mkdir(group)
            self.write(group + "/cpuset.mems", "0")

    @staticmethod
    def write(path, text):
        with open(path, "w") as file:
            file.write(text)

    def mems(self):
        nodes = []
        for group in (self.top, self.low):
            with open(group + "/cpuset.mems") as file:
                nodes.append(file.read().strip())
        return nodes

    def remove(self):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                for group in (self.low, self.top):
                    if os.path.isdir(group):
                        os.rmdir(group)
                return
            time.sleep(0.05)


class NodesLife(Life):
    """The same on two nodes: more memory than gmigd lets the kernel move at once. It begins on node 0."""
    held = KEPT + (8 << 20)
    usual = "(its cpusets keep nodes|interrupted move goes on)"
    in_parts, heard = False, 0  # has one been moved in part? so much had gmigd said when the last move began

    def in_its_place(self, command):
        self.groups = Groups(self.uuid)
        return ["sh", "-c", f'echo $$ >{self.groups.low}/cgroup.procs && exec "$@"', "sh", *command]

    def end(self):
        super().end()
        self.groups.remove()

    def maps(self):
        """Of each mapping its line of numa_maps, and {node: bytes}."""
        with open(f"/proc/{self.target.pid}/numa_maps") as lines:
            return [(line, {int(node): int(pages) * 4096 for node, pages in re.findall(r" N(\d+)=(\d+)", line)}) for line in lines]

    @staticmethod
    def of_nodes(maps):
        return {node: sum(here.get(node, 0) for here in maps) for node in (0, 1)}

    def memory(self):
        """{node: bytes} of what the process checks, as the kernel has it; of mappings of at least KEPT."""
        return self.of_nodes([here for line, here in self.maps() if sum(here.values()) >= KEPT])

    def whole(self):
        """
        The same of all that this process alone has, and of files. Their pages are moved with whatever maps them, by another run's gmigd as well, or with its
        domain when that leaves a node.
        """
        maps = [(" file=" in line and sum(here.values()) < KEPT, here) for line, here in self.maps()]
        return [self.of_nodes([here for of_file, here in maps if of_file == want]) for want in (False, True)]

    def here(self):
        memory = self.memory()
        return max(memory, key=memory.get)

    # ---- What is asked ----

    def move(self, **more):
        """To the other node."""
        run, source = self.run, self.here()
        before, self.before, self.heard = self.memory()[1 - source], self.whole(), len(run.said())
        answer = self.ask("migrate-pages", guest="web1", **{"from": [source], "to": [1 - source]}, **more)
        job = answer and self.wait_job(answer["id"])
        if job:
            self.judge_job(job, source, "max-bytes" in more)
        elif self.memory()[1 - source] > before + SLACK:
            run.notes.append(f"FALSE refused, and {self.memory()}, {before} there before")

    def judge_job(self, job, source, in_part):
        run, memory = self.run, self.memory()
        if not books_agree(job):
            run.notes.append(f"WRONG job: {job}"[:400])
        if job["state"] != "completed":
            run.told.append(f"job {job}"[:300])
        # Of whatever memory: a job that cannot know which is the guest's takes all for it.
        now = self.whole()
        left, of_files = (before[source] - after[source] for before, after in zip(self.before, now))
        # A whole move brought files, too, which may be back. A part of that size is the guest's, as long as it can be told apart.
        left += max(of_files, 0) if in_part else sum(now[1].values())
        # After a job that failed the set may be narrowed to what it was: what had moved, if it is little, goes back by that. The group above may keep both nodes.
        back = job["state"] != "completed" and self.groups.mems()[1] == str(source)
        if left < job["moved_bytes"] - SLACK and not back:
            run.notes.append(f"FALSE {job['moved_bytes']} bytes have moved, and at most {left} have left node {source}: {self.before} before, {now} now, "
                             f"{memory} of it checked; {job}"[:900])
        if job["state"] == "completed" and (in_part or not job["remaining_bytes"]):
            if memory[source] > SLACK and not in_part:
                run.notes.append(f"FALSE all has moved, and {memory}")
            self.judge_cpusets("0-1" if in_part else str(1 - source))

    def are_narrow(self, nodes):
        """
        Have both cpusets these nodes? The upper one, once it has had both nodes, keeps them: cpuset_scope_moved() of cpuset_scope.h. That is so after a
        move in part, and after one that failed, or of which it could not be known where memory is: then it is said that cpusets keep a node.
        """
        top, low = self.groups.mems()
        both = self.in_parts or "its cpusets keep nodes" in self.run.said()
        return low == nodes and top in ([nodes, "0-1"] if both else [nodes])

    def judge_cpusets(self, nodes):
        """They are narrowed at the end of a move, which query-jobs may tell of a moment before; or it is said why not."""
        end = limit(10)
        while not self.are_narrow(nodes) and time.monotonic() < end and not self.warned():
            time.sleep(0.02)
        if not self.are_narrow(nodes) and not self.warned():
            self.run.notes.append(f"FALSE cpusets {self.groups.mems()} after a move, not {nodes}; {self.memory()}, and no word of it")

    def warned(self):
        return re.search(r"(?m)^gmigd: (warning|error) .*(cpuset|journal|interrupted move(:| cannot))", self.run.said()[self.heard:])

    def move_in_part(self):
        """So much stays that its node is kept open."""
        self.in_parts = True
        self.move(**{"max-bytes": 4 << 20})

    def look(self):
        """Where it says that memory lies, it does."""
        answer = self.ask("query-residency", guest="web1", fresh=True)
        if answer and not answer.get("unknown"):
            told = {int(node): size for node, size in answer["vnodes"][0]["resident"].items()}
            memory = self.memory()
            if any(abs(told.get(node, 0) - memory[node]) > 2 * SLACK for node in memory):
                self.run.notes.append(f"FALSE it says {told}, and {memory}")
        super().look()

    def jobs_end(self):
        """All jobs there are, once they have ended; None: the domain is not to be had, which is said."""
        end, patient = limit(40), limit(5)
        while True:
            jobs = self.ask("query-jobs", guest="web1")
            if jobs is not None and all(job["state"] in ("completed", "cancelled", "failed") for job in jobs):
                return jobs
            if jobs is None and time.monotonic() > patient and re.search(r"(?m)^gmigd: (warning|error)", self.run.said()):
                return None
            if time.monotonic() > end:
                raise TimeoutError(f"jobs do not end: {jobs}")
            time.sleep(0.05)

    def taken_up(self):
        """A move that was interrupted is gone on with, to its end, or it is said that it is not."""
        jobs = self.jobs_end()
        if jobs:
            self.run.told += [f"job {job}"[:300] for job in jobs if job["state"] != "completed"]
        if jobs == [] and not self.warned():
            self.run.notes.append(f"FALSE an interrupted move does not go on, and no word of it: {self.run.said()[-200:]}")
        elif jobs and all(job["state"] == "completed" for job in jobs):
            self.judge_cpusets(str(self.promised))
            if self.memory()[1 - self.promised] > SLACK:
                self.run.notes.append(f"FALSE an interrupted move to {self.promised} is completed, and {self.memory()}")

    def put_right(self):
        """By the next one, without a fault: a job that goes on ends; memory may be where it lies; and back on node 0 cpusets are what they were."""
        self.jobs_end()
        memory, allowed = self.memory(), set("".join(self.groups.mems()).replace("-", "").replace(",", ""))
        if any(memory[node] > KEPT and str(node) not in allowed for node in memory):
            raise Gone(f"memory {memory}, cpusets {self.groups.mems()}")
        for source in (0, 1):
            answer = self.ask_again("migrate-pages", guest="web1", **{"from": [source], "to": [1 - source]})
            if "error" in answer:
                raise Gone(f"the next one does not move: {answer}")
            job = self.wait_job(answer["return"]["id"])
            # Pages of files stay (EAGAIN) while another run's gmigd moves them.
            if not job or job["state"] != "completed" or job["remaining_bytes"] > SLACK + sum(self.whole()[1].values()) or not books_agree(job):
                raise Gone(f"the next one's job: {job}")
        end = limit(10)
        while (not self.are_narrow("0") or self.memory()[1] > SLACK) and time.monotonic() < end:
            time.sleep(0.05)
        if not self.are_narrow("0") or self.memory()[1] > SLACK:
            raise Gone(f"the next one leaves cpusets {self.groups.mems()} and memory {self.memory()}")

    # ---- A gmigd that is killed ----

    @contextlib.contextmanager
    def killed_in_the_end(self):
        """A gmigd that lives as long as the block."""
        with open(self.run.path("err"), "ab") as out:
            killed = subprocess.Popen(self.private(self.command()), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        (self.run.proc, before), (self.client, of_all) = (killed, self.run.proc), (Client(self.sock), self.client)
        try:
            yield
        finally:
            self.client.close()
            killed.kill()
            killed.wait()
            self.run.proc, self.client = before, of_all

    def begin_and_kill(self, rate=16 << 20, moved=1 << 20, seconds=None):
        """One is killed in the middle of a move: when so much has moved, or so many seconds after it was asked for."""
        begin = time.monotonic()
        with self.killed_in_the_end():
            self.wait("the first one does not serve", 30, self.serves)
            self.is_listed(20)
            self.start_s = time.monotonic() - begin
            source = self.here()
            answer = self.client.ask("migrate-pages", guest="web1", rate=rate, **{"from": [source], "to": [1 - source]})
            if "error" in answer:
                raise Gone(f"the first one does not move: {answer}")
            self.promised = 1 - source
            if seconds is not None:
                time.sleep(seconds)
            else:
                self.wait("the first one does not move", 30, lambda: self.memory()[1 - source] >= moved)

    def take_up_and_kill(self, seconds):
        """The next one is killed, too, while it starts or goes on."""
        with self.killed_in_the_end():
            time.sleep(seconds)


class Nodes(Daemon):
    missing = staticmethod(missing)
    life = staticmethod(NodesLife)


NODES = {
    "gmigd-nodes": Nodes(NodesLife.move, NodesLife.move_in_part, NodesLife.move),
    "gmigd-taken-up": Nodes(NodesLife.taken_up, whole=True, first=NodesLife.begin_and_kill),
}


class KilledLife(NodesLife):
    def put_right(self):
        """What was answered is done, whoever was killed meanwhile: the memory is where it was to go, and the cpusets have that node alone."""
        self.jobs_end()
        node, end = self.promised, limit(10)
        while (self.groups.mems() != [str(node)] * 2 or self.memory()[1 - node] > SLACK) and time.monotonic() < end:
            time.sleep(0.05)
        if self.groups.mems() != [str(node)] * 2 or self.memory()[1 - node] > SLACK:
            raise Gone(f"a move to node {node} was begun, and ends with cpusets {self.groups.mems()} and memory {self.memory()}")
        if self.to_and_fro:
            super().put_right()

    def end(self):
        super().end()
        self.run.remove()


def round_nodes(rng, state):
    """
    Of tests/fault/kills: gmigd is killed while it widens, moves or narrows, and perhaps one or two more while they start and take that up; the last
    one puts all right.
    """
    life = state["daemon"] = state.get("daemon") or KilledLife(Run())
    life.to_and_fro = state["n"] % 5 == 4
    life.begin_and_kill(rng.choice([0, 16 << 20, 64 << 20, 200 << 20]), seconds=rng.random() * rng.choice([0.1, 0.5, 2, 4]))
    for _ in range(rng.choice([0, 0, 1, 2])):
        life.take_up_and_kill(rng.random() * 2 * life.start_s)
    trouble = life.after()
    if trouble or life.run.notes:
        raise Gone(f"{trouble} {life.run.notes}")
