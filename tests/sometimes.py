#!/usr/bin/env python3
"""Print which FIRN_SOMETIMES points a corpus of runs has reached.

  FIRN_SOMETIMES=/tmp/sim build/release/bin/sim_cluster; tests/sometimes.py simulator=/tmp/sim [unit=/tmp/unit …]

Each argument is a corpus: its name and the file its programs added their counters to (tests/sometimes_file.h), or the
report of sim_cluster --report. Points that
no program of a corpus has linked count as not reached there. Exits non-zero when --require is given and a point was reached
in none of them.
"""
import argparse, re, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
POINT = re.compile(r"FIRN_SOMETIMES(?:_IF)?\s*\((?:[^;\"]*?,\s*)?\"((?:[^\"\\]|\\.)*)\"\s*\)", re.S)
PRODUCT = ("common", "writer", "reader", "compactor")


def points():
    """Every point of the source, {name: [file, …]}."""
    found = {}
    for top in PRODUCT:
        for path in sorted((ROOT / top).rglob("*.[ch]")):
            if path.name == "sometimes.h":
                continue
            for name in POINT.findall(path.read_text()):
                found.setdefault(name, []).append(str(path.relative_to(ROOT)))
    return found


def read(path):
    counts = {}
    for line in Path(path).read_text().splitlines():
        m = re.match(r"(?:sometimes (\d+) |(\d+)\t)(.*)", line)
        if not m:
            continue  # another figure of the simulator's report
        count, name = m[1] or m[2], m[3]
        counts[name] = counts.get(name, 0) + int(count)
    return counts


def table(corpora):
    """(lines of a Markdown table, points reached anywhere, all points)."""
    names = sorted(points())
    head = ["point", *corpora]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * len(corpora)]
    reached = 0
    for name in names:
        counts = [c.get(name, 0) for c in corpora.values()]
        reached += any(counts)
        lines.append(f"| {name} | " + " | ".join(f"{n:,}" if n else "–" for n in counts) + " |")
    return lines, reached, len(names)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--require", action="store_true", help="fail where a point was reached in no corpus")
    args = parser.parse_args()
    corpora = {}
    for arg in args.corpus:
        name, _, path = arg.partition("=")
        corpora[name] = read(path)
    lines, reached, total = table(corpora)
    print("\n".join(lines))
    print(f"\n{reached} of {total} points reached")
    return args.require and reached < total


if __name__ == "__main__":
    sys.exit(main())
