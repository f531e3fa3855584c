"""
Guests of gmig-vmm whose memory moves between nodes that the host has, by movers that pretended nodes do not have, and commands of gmig that plan for
all guests. What a job or a command says is held against the kernel's numa_maps. In the lab alone, whose nodes are its own; one at a time (--jobs 1), since
root's nodes are closed for all.
"""
import os, re, threading

from scenarios import Command, Gone, Guest, limit

SLACK = 64 << 10
POOL = "/sys/devices/system/node/node{}/hugepages/hugepages-2048kB/nr_hugepages"


class HostGuest(Guest):
    """Its memory begins on node 0."""

    def __init__(self, options, steps, huge_pool=0):
        super().__init__(options, steps)
        self.huge_pool = huge_pool  # pages of 2 MiB on each node

    def missing(self):
        """Why it cannot be run here, or None."""
        if not os.environ.get("GMIG_IN_LAB"):
            return "nodes of a lab's own are needed"
        if not os.path.isdir("/sys/devices/system/node/node1"):
            return "one node only"
        for node in (0, 1) if self.huge_pool else ():
            with open(POOL.format(node), "r+") as pool:
                if int(pool.read()) < self.huge_pool:
                    pool.seek(0)
                    pool.write(str(self.huge_pool))
            with open(POOL.format(node)) as pool:
                if int(pool.read()) < self.huge_pool:
                    return f"node {node} has no {self.huge_pool} free huge pages"
        return None

    def command(self):
        words = super().command()
        at = words.index("--fake-nodes")
        return [*words[:at], *words[at + 2:], "--node", "id=0,mem=16M,cpus=0,host=0"]

    def on_node(self, run, client, node):
        """Bytes of guest memory there, as the kernel has it."""
        regions = [(region["hva"], region["hva"] + region["bytes"]) for region in self.value(client, "regions")]
        total = 0
        with open(f"/proc/{run.pid()}/numa_maps") as lines:
            for line in lines:
                start = int(line.split()[0], 16)
                if any(first <= start < last for first, last in regions):
                    pages = re.search(rf" N{node}=(\d+)", line)
                    size = re.search(r"kernelpagesize_kB=(\d+)", line)
                    total += int(pages[1]) * int(size[1] if size else 4) * 1024 if pages else 0
        return total

    def wait_job(self, run, client, ident):
        super().wait_job(run, client, ident)
        for job in client.ask("query-jobs").get("return", []):
            if job["id"] == ident and job["state"] == "completed":
                left = sum(self.on_node(run, client, node) for node in job["from"])
                if left > job["bytes_on_source"] + SLACK:
                    run.notes.append(f"WRONG {left} bytes are on its source: {job}"[:400])


class HostCommand(Command):
    """Beside such a guest. empty: the node that a command that ended in 0 has left without guest memory."""
    mine = threading.local()
    beside = "host"

    def __init__(self, words, says, job=None, empty=None, pinned=None):
        super().__init__(words, says, job)
        self.empty, self.pinned = empty, pinned

    def missing(self):
        return SCENARIOS_OF_HOST[self.beside].missing()

    def settle(self, run, client):
        """No node is closed, and the vCPU runs where the scenario has it."""
        for closed in (run.path("gmig/closed-nodes"), "/run/gmig/closed-nodes"):
            if os.path.exists(closed):
                os.unlink(closed)
        answer = client.ask("pin-vcpu", **({"auto": True} if self.pinned is None else {"node": self.pinned}))
        if "error" in answer:
            raise Gone(f"pin-vcpu: {answer['error']['desc']}")
        super().settle(run, client)

    def truth(self, guest, client):
        if self.empty is None:
            return None
        left = SCENARIOS_OF_HOST[self.beside].on_node(guest, client, self.empty)
        return ("FALSE", f"status 0, but {left} bytes are on node {self.empty}") if left > SLACK else None


def to_and_fro(**more):
    return [("migrate-pages", {"from": [0], "to": [1], **more}), ("migrate-pages", {"from": [1], "to": [0], **more})]


SCENARIOS_OF_HOST = {
    "host": HostGuest([], to_and_fro()),
    "host-small": HostGuest(["--page", "4K"], to_and_fro()),
    "host-kernel": HostGuest([], to_and_fro(mover="kernel")),
    "host-kernel-small": HostGuest(["--page", "4K"], to_and_fro(mover="kernel")),
    "host-memfd": HostGuest(["--memory", "memfd"], to_and_fro()),
    "host-hugetlb": HostGuest(["--memory", "hugetlb"], to_and_fro(), 40),
    "host-plan": HostCommand(["plan"], r"\bf\b", pinned=1),
    "host-rebalance": HostCommand(["rebalance", "--yes"], r"\S", empty=0, pinned=1),
    "host-drain": HostCommand(["drain", "--node", "0", "--yes"], r"\S", empty=0),
    "host-drain-dry": HostCommand(["drain", "--node", "0", "--dry-run"], r"\bf\b"),
}
