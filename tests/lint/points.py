"""FIRN_SOMETIMES points: each name is "<its room>: what", and no two are the same."""
import os
import sys

import tree

sys.path.insert(0, os.path.join(tree.ROOT, "tests"))
import sometimes  # noqa: E402


def main():
    problems, points = [], sometimes.points()
    for name, files in points.items():
        if len(files) > 1:
            problems.append(f"{files[1]}: the point \"{name}\" is in {files[0]}, too")
        for path in files:
            room = os.path.basename(os.path.dirname(path))
            if not name.startswith(room + ": "):
                problems.append(f"{path}: the point \"{name}\" does not begin with \"{room}: \"")
    tree.finish("points", len(points), problems)


if __name__ == "__main__":
    main()
