#!/usr/bin/env python3
"""Check the Promela models of docs/PROTOCOL.md with SPIN, one line per case of cases.txt.

A case "ok" holds when every state was visited and no assertion failed. Any other case names the property that must break; it
holds when that one did. A search that was cut off (depth, memory) decides nothing and counts as a failure of the run. A property
that no case breaks is one of which nobody knows whether it is looked at: that is an error in cases.txt, and so is a mutation in
a model (or in the list at its head) that no case names.
"""
import argparse, concurrent.futures, json, os, re, resource, subprocess, sys, tempfile, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEPTH = {"ci": 50_000, "long": 2_000_000}
COMPILE = ["-w", "-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=2048"]
SKIPPED = 77  # ctest's code for a test that could not run
SEEN = "SEEN"  # breaks where a model comes to a place that must be reachable; no property


def cases():
    for number, line in enumerate((HERE / "cases.txt").read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [f.strip() for f in line.split("|")]
        if len(fields) != 5 or fields[4] not in ("ci", "long"):
            sys.exit(f"cases.txt:{number}: want name | model | options | ok or a property | ci or long")
        yield dict(zip(("name", "model", "options", "want", "size"), fields))


def gaps(all_cases):
    """What the models declare and no case makes use of."""
    for path in sorted(HERE.glob("*.pml")):
        text, of_model = path.read_text(), [c for c in all_cases if c["model"] == path.stem]
        declared = re.search(r"^bit ([\w, ]+);\n#define CHECK", text, re.M)
        broken = {c["want"] for c in of_model if c["size"] == "ci"}
        used = {o.split("=")[0] for c in of_model for o in c["options"].split()}
        for name in declared.group(1).replace(" ", "").split(","):
            if name != SEEN and name not in broken:
                yield f"{path.name}: no case of CI breaks {name}"
        for name in sorted(set(re.findall(r"^ \*  -D(\w+)", text, re.M)) - used):
            yield f"{path.name}: no case has -D{name}"


class Pan:
    """What one search printed and took."""

    def __init__(self, out, usage, seconds):
        def number(pattern):
            found = re.search(pattern, out, re.M)
            return float(found.group(1)) if found else 0.0
        self.states = int(number(r"^\s*(\d+) states, stored"))
        self.transitions = int(number(r"^\s*(\d+) transitions"))
        self.depth = int(number(r"depth reached (\d+)"))
        self.memory_mb = usage.ru_maxrss / 1024
        self.cpu_s = usage.ru_utime + usage.ru_stime
        self.seconds = seconds
        self.verdict = self._verdict(out)

    @staticmethod
    def _verdict(out):
        errors = re.search(r"errors: (\d+)", out)
        if not errors:
            return "pan printed no result"
        if int(errors.group(1)):
            broken = re.search(r"assertion violated \(.*\|\|(\w+)\) \(at depth", out)
            return broken.group(1) if broken else "an error that is no property"
        if "Search not completed" in out or "max search depth too small" in out:
            return "search not completed"
        return "ok"


def search(tmp, depth, memory_mb):
    start = time.monotonic()
    with open(Path(tmp) / "out", "w+") as out:
        child = subprocess.Popen(["./pan", f"-m{depth}", "-n"], cwd=tmp, stdout=out, stderr=out,
                                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 21,) * 2))
        _, _, usage = os.wait4(child.pid, 0)
        child.returncode = 0
        out.seek(0)
        return Pan(out.read(), usage, time.monotonic() - start)


def check(case, memory_mb):
    """A Pan, or a text that says why there is none."""
    with tempfile.TemporaryDirectory(prefix="firn-model-") as tmp:
        def call(*argv):
            return subprocess.run(argv, cwd=tmp, capture_output=True, text=True)
        defines = [f"-D{o}" for o in case["options"].split()]
        made = call("spin", "-a", *defines, str(HERE / f"{case['model']}.pml"))
        if made.returncode:
            return f"spin: {made.stdout}{made.stderr}"
        # Most searches of CI are shorter than an optimising compiler's run.
        optimise = "-O2" if case["size"] == "long" else "-O1" if case["want"] == "ok" else "-O0"
        made = call("gcc", optimise, *COMPILE, f"-DMEMLIM={memory_mb}", "-o", "pan", "pan.c")
        if made.returncode:
            return f"gcc: {made.stderr}"
        return search(tmp, DEPTH[case["size"]], memory_mb)


def report(path, rows, left, seconds):
    ok = [r for r in rows if r["want"] == "ok"]
    totals = {
        "cases": len(rows), "as_wanted": sum(r["right"] for r in rows), "not_run": left,
        "protocol_cases": len(ok), "protocol_states": sum(r["states"] for r in ok),
        "mutations_tried": len([r for r in rows if r["want"] not in ("ok", SEEN)]),
        "mutations_caught": len([r for r in rows if r["want"] not in ("ok", SEEN) and r["right"]]),
        "states": sum(r["states"] for r in rows), "transitions": sum(r["transitions"] for r in rows),
        "cpu_seconds": round(sum(r["cpu_s"] for r in rows), 1), "seconds": round(seconds, 1),
        "memory_mb_max": max((r["memory_mb"] for r in rows), default=0),
    }
    Path(path).write_text(json.dumps({"totals": totals, "cases": rows}, indent=1) + "\n")


def row_of(case, result):
    if isinstance(result, str):
        result, why = Pan("", resource.struct_rusage((0,) * 16), 0.0), result
    else:
        why = result.verdict
    return dict(case, got=why, right=why == case["want"], states=result.states, transitions=result.transitions, depth=result.depth,
                memory_mb=round(result.memory_mb), cpu_s=round(result.cpu_s, 2), seconds=round(result.seconds, 2))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="the long cases, too (an hour, up to 8 GiB each)")
    parser.add_argument("--only", metavar="TEXT", help="cases with TEXT in their name or model")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--memory-mb", type=int, default=8000, help="bound of one search")
    parser.add_argument("--report", metavar="FILE", help="write all figures there, as JSON")
    args = parser.parse_args()
    if subprocess.run(["sh", "-c", "command -v spin"], capture_output=True).returncode:
        print("SKIP: spin is not installed")
        return SKIPPED
    begun, every, rows, only = time.monotonic(), list(cases()), [], args.only or ""
    missing = list(gaps(every))
    chosen = [c for c in every if (args.all or only or c["size"] == "ci") and (only in c["name"] or only == c["model"])]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for case, result in zip(chosen, pool.map(lambda c: check(c, args.memory_mb), chosen)):
            r = row_of(case, result)
            rows.append(r)
            print(f"{'ok  ' if r['right'] else 'FAIL'} {r['model']:8} {r['name']:38} {r['got']:5} {r['states']:>11,} states "
                  f"depth {r['depth']:>5} {r['cpu_s']:7.1f} s {r['memory_mb']:>5} MB", flush=True)
    for text in missing:
        print(f"FAIL {text}")
    bad = sum(not r["right"] for r in rows)
    print(f"{len(rows) - bad} as wanted, {bad} not; {len(every) - len(chosen)} cases not run; "
          f"{sum(r['states'] for r in rows):,} states, {time.monotonic() - begun:.0f} s")
    if args.report:
        report(args.report, rows, len(every) - len(chosen), time.monotonic() - begun)
    return 1 if bad or missing or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
