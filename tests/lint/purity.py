"""Core archives call nothing outside the core but what purity.allow lists (nm -u).

usage: purity.py BUILD_DIR
"""
import fnmatch
import os
import re
import subprocess
import sys

import tree

CORE = ("base", "obs", "env", "conf", "format", "store", "manifest", "lsm", "log", "resp", "engine")
ROLES = ("writer", "reader", "compactor")


def allowed():
    """[(rooms, pattern)]: lines `room[,room]|* symbol…`."""
    rules = []
    for line in tree.read("tests/lint/purity.allow").splitlines():
        words = line.split("#")[0].split()
        rules += [(words[0].split(","), p) for p in words[1:]]
    return rules


def symbols(archive):
    """(undefined {symbol: members}, defined) of an archive."""
    out = subprocess.run(["nm", "-A", archive], capture_output=True, check=True, text=True).stdout
    undefined, defined = {}, set()
    for line in out.splitlines():
        m = re.match(r".*?:([^:]+):\s*[0-9a-f]*\s+(\w)\s+(\S+)$", line)
        if not m:
            continue
        member, kind, name = m.groups()
        if kind == "U":
            undefined.setdefault(name, set()).add(member)
        elif kind != "w":
            defined.add(name)
    return undefined, defined


def main():
    build = sys.argv[1]
    archives = {r: f"{build}/common/libfirn_{r}.a" for r in CORE}
    archives |= {r: f"{build}/{r}/libfirn_{r}.a" for r in ROLES}
    archives = {r: a for r, a in archives.items() if os.path.exists(a)}
    seen = {r: symbols(a) for r, a in archives.items()}
    ours = set().union(*(d for _, d in seen.values())) if seen else set()
    proto = f"{build}/proto/libfirn_proto.a"
    if os.path.exists(proto):
        ours |= symbols(proto)[1]
    rules, problems, checked = allowed(), [], 0
    for room, (undefined, _) in seen.items():
        for name, members in sorted(undefined.items()):
            if name in ours:
                continue
            checked += 1
            hit = next((r for r in rules if (r[0] == ["*"] or room in r[0])
                        and fnmatch.fnmatchcase(name, r[1])), None)
            if not hit:
                problems.append(f"{room}: {name} is called by {', '.join(sorted(members))}")
    tree.finish("purity", checked, problems)


if __name__ == "__main__":
    main()
