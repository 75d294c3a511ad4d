"""docs/CONFIG.md is what firn_config_md prints.

usage: config_doc.py PROGRAM
"""
import difflib
import subprocess
import sys

import tree


def main():
    want = subprocess.run([sys.argv[1]], capture_output=True, check=True, text=True).stdout
    have = tree.read("docs/CONFIG.md")
    diff = list(difflib.unified_diff(have.splitlines(), want.splitlines(), "docs/CONFIG.md", "the table", lineterm=""))
    if diff:
        diff.append("run: cmake --build BUILD --target config_md")
    tree.finish("config_doc", want.count("\n"), diff)


if __name__ == "__main__":
    main()
