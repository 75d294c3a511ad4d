#!/usr/bin/env python3
"""Check the Promela models of docs/PROTOCOL.md with SPIN, one line per case of cases.txt.

A case holds when every state was visited and no assertion failed; a mutation is caught when one failed. A search that was cut
off (depth, memory) decides nothing and counts as a failure of the run.
"""
import argparse, concurrent.futures, os, re, subprocess, sys, tempfile, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEPTH = 2_000_000
COMPILE = ["-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=2048"]
SKIPPED = 77  # ctest's code for a test that could not run


def cases():
    for number, line in enumerate((HERE / "cases.txt").read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [f.strip() for f in line.split("|")]
        if len(fields) != 5 or fields[3] not in ("ok", "fails") or fields[4] not in ("ci", "long"):
            sys.exit(f"cases.txt:{number}: want name | model | options | ok or fails | ci or long")
        yield dict(zip(("name", "model", "options", "want", "size"), fields))


def check(case, memory_mb):
    """(verdict, states, seconds); the verdict is "ok", "fails" or why nothing was decided."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="firn-model-") as tmp:
        def call(*argv):
            return subprocess.run(argv, cwd=tmp, capture_output=True, text=True)
        defines = [f"-D{o}" for o in case["options"].split()]
        made = call("spin", "-a", *defines, str(HERE / f"{case['model']}.pml"))
        if made.returncode:
            return f"spin: {made.stdout}{made.stderr}", 0, 0.0
        made = call("gcc", *COMPILE, f"-DMEMLIM={memory_mb}", "-o", "pan", "pan.c")
        if made.returncode:
            return f"gcc: {made.stderr}", 0, 0.0
        out = call("./pan", f"-m{DEPTH}", "-n").stdout
    states = re.search(r"^\s*(\d+) states, stored", out, re.M)
    errors = re.search(r"errors: (\d+)", out)
    seconds = time.monotonic() - start
    if not states or not errors:
        return "pan printed no result", 0, seconds
    if int(errors.group(1)):
        failed = "assertion violated" in out
        return ("fails" if failed else "an error that is no assertion"), int(states.group(1)), seconds
    if "Search not completed" in out or "max search depth too small" in out:
        return "search not completed", int(states.group(1)), seconds
    return "ok", int(states.group(1)), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="the long cases, too (an hour, up to 8 GiB each)")
    parser.add_argument("--only", metavar="TEXT", help="cases with TEXT in their name")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--memory-mb", type=int, default=8000, help="bound of one search")
    args = parser.parse_args()
    if subprocess.run(["sh", "-c", "command -v spin"], capture_output=True).returncode:
        print("SKIP: spin is not installed")
        return SKIPPED
    chosen = [c for c in cases() if (args.all or args.only or c["size"] == "ci") and (args.only or "") in c["name"]]
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for case, (verdict, states, seconds) in zip(chosen, pool.map(lambda c: check(c, args.memory_mb), chosen)):
            right = verdict == case["want"]
            bad += not right
            print(f"{'ok  ' if right else 'FAIL'} {case['name']:36} {verdict:6} {states:>10,} states {seconds:6.1f} s", flush=True)
    left = sum(1 for _ in cases()) - len(chosen)
    print(f"{len(chosen) - bad} as wanted, {bad} not; {left} cases not run")
    return 1 if bad or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
