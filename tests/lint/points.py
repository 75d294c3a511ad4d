"""FIRN_SOMETIMES points: each name is "<its room>: what", no two are the same, and all are short."""
import os
import sys

import tree

sys.path.insert(0, os.path.join(tree.ROOT, "tests"))
import sometimes  # noqa: E402

NAME_MAX = 47  # what a simulator's result has room for


def main():
    problems, points = [], sometimes.points()
    for name, files in points.items():
        if len(files) > 1:
            problems.append(f"{files[1]}: the point \"{name}\" is in {files[0]}, too")
        if len(name) > NAME_MAX:
            problems.append(f"{files[0]}: the point \"{name}\" is longer than {NAME_MAX} bytes")
        for path in files:
            room = os.path.basename(os.path.dirname(path))
            if not name.startswith(room + ": "):
                problems.append(f"{path}: the point \"{name}\" does not begin with \"{room}: \"")
    tree.finish("points", len(points), problems)


if __name__ == "__main__":
    main()
