#!/usr/bin/env python3
"""Apply deliberate protocol mistakes one by one and see whether the tests notice: mutations.txt lists them.

  tests/mutations/run.py [--only TEXT] [--list] [--stage directed,log,cluster] [--all-stages] [--seeds N] [--report FILE]

The tree is copied once (build/mutations/tree) and built there, so that nothing is ever changed in the tree itself. First the
copy as it is must pass everything that is going to be run; then each mutation is applied, built and tried by stages:

  directed   the unit and property tests of the rooms that were changed, and those the mutation names
  log        sim_log_interleave_test: writers, sealers and a tail, interleaved
  cluster    sim_cluster, seed after seed up to --seeds

until one fails (the mutation is killed) or none is left (it survived). With --all-stages every stage has its try, which says
what each of them is worth alone. An edit whose old text is not there exactly once, or that does not build, is an error of the
list and not a kill. Exits non-zero when a mutation survived all the stages it is to be killed by, or on an error.
"""
import argparse, json, os, re, resource, shutil, signal, subprocess, sys, time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STAGES = ("directed", "log", "cluster")
LOG_TEST = "sim_log_interleave_test"
LOG_ROOMS = {"store", "manifest", "log"}  # what it is made of
CLUSTER = "sim_cluster"
CLUSTER_CHUNK = 20    # seeds of one process
SUITE_SECONDS = 300   # a test that hangs has noticed, too
MEMORY_BYTES = 4 << 30
PRODUCT = ("common", "writer", "reader", "compactor")


@dataclass
class Edit:
    path: str
    old: str
    new: str


@dataclass
class Mutation:
    name: str
    breaks: str = ""
    tests: list = field(default_factory=list)   # programs besides those of the changed rooms
    stages: tuple = STAGES                      # that can see it at all
    edits: list = field(default_factory=list)

    def can_see(self, stage):
        return stage in self.stages and (stage != "log" or LOG_ROOMS & set(self.rooms()))

    def rooms(self):
        found = []
        for e in self.edits:
            parts = e.path.split("/")
            room = parts[1] if parts[0] == "common" else parts[0]
            if room not in found:
                found.append(room)
        return found


# ---- the list

def bad(number, why):
    sys.exit(f"mutations.txt:{number}: {why}")


def load(path):
    """The mutations of a list; its format is told at its head."""
    mutations, edit, side = [], None, None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("=== "):
            mutations.append(Mutation(line[4:].strip()))
            edit = side = None
        elif not mutations:
            if line.strip() and not line.startswith("#"):
                bad(number, "text before the first mutation")
        elif line.startswith("*** "):
            edit, side = Edit(line[4:].strip(), "", ""), "old"
            mutations[-1].edits.append(edit)
        elif line == "--->" and side == "old":
            side = "new"
        elif line == "<---" and side == "new":
            side = None
        elif side:
            setattr(edit, side, getattr(edit, side) + line + "\n")
        elif line.strip() and not line.startswith("#"):
            key, _, value = line.partition(":")
            value = value.strip()
            if key == "breaks":
                mutations[-1].breaks = value
            elif key == "tests":
                mutations[-1].tests = value.split()
            elif key == "stages" and set(value.split()) <= set(STAGES):
                mutations[-1].stages = tuple(value.split())
            else:
                bad(number, f"unknown line: {line}")
    names = [m.name for m in mutations]
    for m in mutations:
        if not m.edits or not m.breaks or names.count(m.name) > 1:
            sys.exit(f"mutations.txt: {m.name}: no edit, no word on what it breaks, or twice in the list")
    return mutations


# ---- the copy of the tree

def sync(work):
    """Make work/tree a copy of the files git knows or would take; unchanged ones keep their times."""
    out = subprocess.run(["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others",
                          "--exclude-standard"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    wanted = {p for p in out.split("\0") if p and (ROOT / p).is_file()}
    tree = work / "tree"
    for name in wanted:
        to, data = tree / name, (ROOT / name).read_bytes()
        if not to.is_file() or to.read_bytes() != data:
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(data)
            shutil.copymode(ROOT / name, to)
    for path in tree.rglob("*"):
        if path.is_file() and "build" not in path.relative_to(tree).parts[:1] and str(path.relative_to(tree)) not in wanted:
            path.unlink()
    return tree


class Tree:
    """The copy, and its release build."""

    def __init__(self, work, jobs):
        self.root, self.jobs = sync(work), jobs
        self.bin = self.root / "build/release/bin"
        self.unmutated = self.root / "build" / f"{CLUSTER}.unmutated"
        self.env = dict(os.environ, CCACHE_BASEDIR=str(work), CCACHE_NOHASHDIR="1")
        launcher = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
        self.call("cmake", "--preset", "release", *launcher)
        known = self.call("cmake", "--build", "build/release", "--target", "help")
        self.targets = set(re.findall(r"^([\w.-]+): phony", known, re.M))

    def call(self, *argv):
        done = subprocess.run(argv, cwd=self.root, env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout

    def build(self, targets):
        self.call("cmake", "--build", "build/release", "-j", str(self.jobs), "--target", *sorted(targets))

    def directed(self, m):
        """The unit and property tests of its rooms, and those it names."""
        found = [t for t in m.tests]
        for room in m.rooms():
            found += sorted(t for t in self.targets if re.match(rf"(unit|prop)_{room}_\w+_test$", t))
        missing = [t for t in found if t not in self.targets]
        if missing:
            raise RuntimeError(f"{m.name}: no such program: {' '.join(missing)}")
        return list(dict.fromkeys(found))

    def apply(self, m):
        """The files as they were, {path: text}."""
        before = {}
        for e in m.edits:
            path = self.root / e.path
            text = path.read_text() if path.is_file() else ""
            if text.count(e.old) != 1:
                self.restore(before)
                raise RuntimeError(f"{m.name}: does not apply: its text is {text.count(e.old)} times in {e.path}")
            before.setdefault(e.path, text)
            path.write_text(text.replace(e.old, e.new))
        return before

    def restore(self, before):
        for path, text in before.items():
            (self.root / path).write_text(text)


# ---- running

@dataclass
class Outcome:
    killed: bool
    by: str = ""       # test or seed
    why: str = ""
    seconds: float = 0


def limits():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(argv, cwd, env=None):
    """(exit status or None for a hang, what it said)."""
    child = subprocess.Popen(argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             errors="replace", preexec_fn=limits, start_new_session=True)
    try:
        out, _ = child.communicate(timeout=SUITE_SECONDS)
        return child.returncode, out
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, _ = child.communicate()
        return None, out


def reason(status, out):
    """One line on why a program failed."""
    for pattern in (r"firn: (assertion failed: .*)", r"^(seed \d+ at .*)", r"^(.*: error: .*)", r"\[  ERROR   \] --- (.*)"):
        m = re.search(pattern, out, re.M)
        if m:
            return re.sub(r"\s+", " ", m.group(1)).strip()[:160]
    if status is None:
        return f"did not end within {SUITE_SECONDS} s"
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"


def failed_test(out):
    m = re.search(r"\[  FAILED  \] (\w+)$", out, re.M)
    last = re.findall(r"\[ RUN      \] (\w+)", out)
    return m.group(1) if m else last[-1] if last else "?"


def try_programs(tree, programs):
    start = time.monotonic()
    for p in programs:
        status, out = run([str(tree.bin / p)], tree.root)
        if status != 0:
            return Outcome(True, f"{p}: {failed_test(out)}", reason(status, out), time.monotonic() - start)
    return Outcome(False, seconds=time.monotonic() - start)


def run_seeds(tree, program, first, seeds, jobs):
    """(exit status, {seed that failed: why}, what it said)"""
    status, out = run([str(program), "--first", str(first), "--seeds", str(seeds), "--jobs", str(jobs), "--traces",
                       str(tree.root)], tree.root)
    failed = re.findall(r"^FAILED: .*--seed (\d+).*? # (.*?); trace:", out, re.M)
    return status, {int(seed): re.sub(r"\s+", " ", why)[:160] for seed, why in failed}, out


def try_cluster(tree, seeds, jobs):
    """Seed after seed, some at a time; of those that fail the first is told that does not fail without the mutation."""
    start = time.monotonic()
    for first in range(1, seeds + 1, CLUSTER_CHUNK):
        n = min(CLUSTER_CHUNK, seeds + 1 - first)
        status, failed, out = run_seeds(tree, tree.bin / CLUSTER, first, n, jobs)
        for seed in sorted(failed):
            seconds = time.monotonic() - start
            if run_seeds(tree, tree.unmutated, seed, 1, 1)[0] == 0:
                return Outcome(True, f"seed {seed}", failed[seed], seconds)
            print(f"           seed {seed} fails without any mutation: {failed[seed]}", flush=True)
        if status != 0 and not failed:
            return Outcome(True, f"seeds {first} to {first + n - 1}", reason(status, out), time.monotonic() - start)
    return Outcome(False, f"{seeds} seeds", seconds=time.monotonic() - start)


def try_stage(tree, m, stage, args):
    if stage == "directed":
        return try_programs(tree, tree.directed(m))
    if stage == "log":
        return try_programs(tree, [LOG_TEST])
    return try_cluster(tree, args.seeds, args.jobs)


def needed(tree, m, stages):
    targets = set(tree.directed(m)) if "directed" in stages else set()
    return targets | ({LOG_TEST} if "log" in stages else set()) | ({CLUSTER} if "cluster" in stages else set())


def try_mutation(tree, m, args):
    """{stage: Outcome}; stops at the first kill unless all stages are wanted."""
    stages = [s for s in args.stage if m.can_see(s)]
    outcomes, before = {}, tree.apply(m)
    try:
        tree.build(needed(tree, m, stages))
        for stage in stages:
            outcomes[stage] = try_stage(tree, m, stage, args)
            if outcomes[stage].killed and not args.all_stages:
                break
    finally:
        tree.restore(before)
    return outcomes


def check_unmutated(tree, chosen, args):
    """What is going to be run must pass on the tree as it is; so must one seed in ten."""
    programs = {t for m in chosen for t in needed(tree, m, [s for s in args.stage if m.can_see(s)])}
    tree.build(programs)
    done = try_programs(tree, sorted(programs - {CLUSTER}))
    if not done.killed and CLUSTER in programs:
        shutil.copy2(tree.bin / CLUSTER, tree.unmutated)
        status, failed, out = run_seeds(tree, tree.unmutated, 1, max(CLUSTER_CHUNK, args.seeds // 10), args.jobs)
        done = Outcome(status != 0, f"seeds {sorted(failed)}", reason(status, out), done.seconds)
    if done.killed:
        sys.exit(f"the tree fails without any mutation: {done.by}: {done.why}")
    print(f"unmutated: {len(programs)} programs pass, {done.seconds:.0f} s", flush=True)


# ---- reporting

def say(m, outcomes):
    killed = [(s, o) for s, o in outcomes.items() if o.killed]
    print(f"{'killed  ' if killed else 'SURVIVED'} {m.name}", flush=True)
    for stage, o in outcomes.items():
        print(f"           {stage:9}{o.seconds:6.1f} s  {o.by + ': ' + o.why if o.killed else 'passes ' + o.by}", flush=True)


def report(path, results, args):
    rows = [{"name": m.name, "breaks": m.breaks, "stages": {s: vars(o) for s, o in outcomes.items()}}
            for m, outcomes in results]
    Path(path).write_text(json.dumps({"seeds": args.seeds, "mutations": rows}, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="TEXT", action="append", help="mutations with TEXT in their name")
    parser.add_argument("--list", action="store_true", help="print the mutations and what they break")
    parser.add_argument("--stage", metavar="LIST", default=",".join(STAGES), help="only these stages, with commas between")
    parser.add_argument("--all-stages", action="store_true", help="do not stop at the stage that kills")
    parser.add_argument("--seeds", type=int, default=100, help="seeds of sim_cluster at most (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="of the build and of sim_cluster")
    parser.add_argument("--work", type=Path, default=ROOT / "build/mutations", help="where to copy and build")
    parser.add_argument("--report", metavar="FILE", help="write the results there as JSON")
    args = parser.parse_args()
    args.stage = tuple(s for s in STAGES if s in args.stage.split(","))
    chosen = [m for m in load(HERE / "mutations.txt") if not args.only or any(t in m.name for t in args.only)]
    if args.list:
        for m in chosen:
            print(f"{m.name:45} {m.breaks}")
        return 0
    tree = Tree(args.work.resolve(), args.jobs)
    check_unmutated(tree, chosen, args)
    results, errors = [], []
    for m in chosen:
        try:
            outcomes = try_mutation(tree, m, args)
        except RuntimeError as e:
            errors.append(m.name)
            print(f"ERROR    {m.name}: {e}", flush=True)
            continue
        say(m, outcomes)
        results.append((m, outcomes))
    killed = sum(any(o.killed for o in outcomes.values()) for _, outcomes in results)
    print(f"{killed} of {len(chosen)} mutations killed, {len(results) - killed} survived, {len(errors)} errors")
    if args.report:
        report(args.report, results, args)
    return 1 if errors or killed < len(chosen) or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
