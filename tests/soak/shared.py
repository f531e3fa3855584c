"""What random commands for a long time have in common, on the bare machine (soak) and in the lab (host): commands of gmig that are drawn, and slopes."""
import math

MIB = 1 << 20
BLOCK = 2 * MIB
WARM_UP = 200  # jobs of a guest: it remembers the last 64 (JOB_ENDED), and its memory was seen to grow for 150
BATCHES, STUDENT = 12, 2.228  # of samples, so that neighbours that are alike count once; t of 95% for 10 degrees of freedom
JUDGED_HOURS = 0.25  # a slope over less is told, not judged
# What a slope's interval must not lie above, each hour.
BOUNDS = {"rss_kib": 2048.0, "fds": 1.0, "threads": 1.0}
ENDED = ("completed", "cancelled", "failed")


class Failed(Exception):
    pass


def slope(samples, key):
    """(slope each hour, half of its interval of 95%), by least squares over the means of batches."""
    size = len(samples) // BATCHES
    if not size:
        return None
    parts = [samples[i * size:(i + 1) * size] for i in range(BATCHES)]
    x, y = ([sum(s[k] for s in part) / size for part in parts] for k in ("hours", key))
    mx, my = sum(x) / BATCHES, sum(y) / BATCHES
    sxx = sum((u - mx) ** 2 for u in x)
    b = sum((u - mx) * (v - my) for u, v in zip(x, y)) / sxx
    rest = sum((v - my - b * (u - mx)) ** 2 for u, v in zip(x, y))
    return b, STUDENT * math.sqrt(rest / (BATCHES - 2) / sxx)


def draw_job(rng):
    words = []
    for share, choices in ((0.7, [["--mode", m] for m in ("auto", "readable", "block")] + [["--mode", "lazy", "--deadline", "200ms"]]),
                           (0.2, [["--mover", "uffd"]]),
                           (0.5, [["--rate", "16M"], ["--rate", "64M"], ["--rate", "200M"], ["--max-slowdown", "20%"], ["--max-stall", "500us"]]),
                           (0.3, [["--max", "2M"], ["--max", "10M"]]),
                           (0.3, [["--order", "random"], ["--order", "hot-first"], ["--order", "cold-first"]]),
                           (0.3, [["--threads", "4"], ["--batch", "16"], ["--hold-vcpus"]]),
                           (0.3, [["--frames", "fresh"], ["--frames", "recycled"]]),
                           (0.3, [["--huge", "split"], ["--huge", "keep"]])):
        if rng.random() < share:
            words += rng.choice(choices)
    return words


def draw(rng, kind=None, job=None, count=3):
    """One command but for its guest, on a host of so many nodes. It depends on the seed alone, never on an answer: @N is the guest's N-th newest job."""
    nodes = rng.sample(range(count), 2)
    kind = kind or rng.choices(["migrate", "move", "bind", "fix", "job", "set-rate", "sample", "pin", "stop", "look",
                                "repair"],
                               [40, 6, 8, 4, 20, 5, 4, 4, 3, 6, 2])[0]
    job = job or rng.choice(["@1", "@1", "@1", "@2", "@3"])
    block = rng.randrange(0, 16) * BLOCK
    if kind == "migrate":
        # From both other nodes: wherever the memory is, there is something to move.
        words = ["--from", ",".join(str(n) for n in range(count) if n != nodes[0]), "--to", str(nodes[0]), *draw_job(rng)]
        if rng.random() < 0.1:
            words = ["--retry", job]
        if rng.random() < 0.75:
            words.append("--detach")
            if not set(words) & {"--rate", "--max-slowdown", "--max-stall"} and rng.random() < 0.6:
                words += ["--rate", "16M"]
        return ["migrate", *words]
    if kind == "move":
        pages = ",".join(str(block + rng.randrange(512) * 4096) for _ in range(rng.randint(1, 8)))
        return ["move", "--gpa", pages, "--to", str(nodes[0])]
    if kind == "bind":
        policy = rng.choice([["default"], ["bind", "--nodes", str(nodes[0])], ["preferred", "--nodes", str(nodes[0])],
                             ["interleave", "--nodes", f"{min(nodes)},{max(nodes)}"]])
        return ["bind", "--range", f"{block}+4M", "--policy", *policy, *rng.choice([[], ["--move"]])]
    if kind == "fix":
        return ["bind", "--range", f"{block}+2M", rng.choice(["--fixed", "--movable"])]
    if kind == "job":
        return [rng.choice(["cancel", "cancel", "pause-job", "resume-job", "resume-job"]), job]
    if kind == "set-rate":
        return ["set-rate", job, rng.choice(["0", "8M", "200M"])]
    if kind == "sample":
        return ["sample", *rng.choice([["on", "--rate", "200"], ["off"]])]
    if kind == "pin":
        return ["pin", *rng.choice([["--any"], ["--auto"], ["--node", "0"]])]
    if kind == "stop":
        return [rng.choice(["stop", "cont", "cont"])]
    if kind == "repair":
        return ["check", "--repair"]
    return rng.choice([["show"], ["show", "--fresh"], ["show", "--heat"], ["jobs"], ["histogram"], ["balloon"]])


def tell_slopes(guests):
    """Of each one's samples; the guests' own checks have passed. How many are above their bound."""
    passed, failed, skipped = 1, 0, 0
    for number, guest in enumerate(guests):
        hours = guest.samples[-1]["hours"] - guest.samples[0]["hours"] if guest.samples else 0
        for key, bound in BOUNDS.items():
            line = slope(guest.samples, key)
            name = f"slope of {key}, {getattr(guest, 'what', f'guest {number}')}"
            if line is None:
                print(f"skip {name} - {len(guest.samples)} samples are too few")
                skipped += 1
                continue
            told = f"{line[0]:.2f} +- {line[1]:.2f} an hour, bound {bound}, {len(guest.samples)} samples of {hours * 60:.0f} minutes"
            if hours < JUDGED_HOURS:
                print(f"skip {name} - too short to judge: {told}")
                skipped += 1
            else:
                rises = line[0] - line[1] > bound
                failed += rises
                passed += not rises
                print(f"{'not ok' if rises else 'ok'} {name}: {told}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return failed
