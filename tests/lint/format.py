"""All .c and .h files are as clang-format-14 writes them."""
import os
import shutil
import subprocess

import tree


def main():
    tool = shutil.which("clang-format-14")
    if not tool:
        tree.skip("clang-format-14 is not installed")
    paths = tree.files(".c", ".h")
    problems = []
    for i in range(0, len(paths), 40):
        part = [os.path.join(tree.ROOT, p) for p in paths[i:i + 40]]
        out = subprocess.run([tool, "--dry-run", "-Werror", "--ferror-limit=1", *part],
                             capture_output=True, text=True, check=False)
        problems += [line for line in out.stderr.splitlines() if "error:" in line]
    tree.finish("format", len(paths), [p.replace(tree.ROOT + "/", "") for p in problems])


if __name__ == "__main__":
    main()
