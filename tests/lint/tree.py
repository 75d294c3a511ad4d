"""What the checks share: the files of the tree, and how a check reports."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED = 77  # exit status that ctest shows as "skipped"


def files(*suffixes):
    """Paths below ROOT of the files git knows or would take, with one of the suffixes, sorted."""
    out = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others",
         "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True).stdout.decode()
    found = {p for p in out.split("\0") if p.endswith(suffixes)}
    return sorted(p for p in found if os.path.isfile(os.path.join(ROOT, p)))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def finish(name, checked, problems):
    """Print what is wrong and exit; a check that looked at nothing has failed."""
    for p in problems:
        print(p)
    print(f"{name}: {checked} checked, {len(problems)} wrong")
    sys.exit(1 if problems or not checked else 0)


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)
