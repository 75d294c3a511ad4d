"""Relative links in Markdown files lead to files that are there, and to headings that are there."""
import os
import re

import tree


def anchors(path):
    """GitHub's anchors of a file's headings."""
    found = set()
    for line in tree.read(path).splitlines():
        m = re.match(r"#+\s+(.*?)\s*#*$", line)
        if m:
            text = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", m.group(1)).lower()
            found.add(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return found


def check(path, link):
    target, _, anchor = link.partition("#")
    full = os.path.normpath(os.path.join(os.path.dirname(path), target)) if target else path
    if full.startswith("..") or not os.path.exists(os.path.join(tree.ROOT, full)):
        return f"{path}: {link}: no such file"
    if anchor and full.endswith(".md") and anchor not in anchors(full):
        return f"{path}: {link}: no such heading"
    return None


def main():
    problems, checked = [], 0
    for path in tree.files(".md"):
        text = re.sub(r"```.*?```|`[^`\n]*`", "", tree.read(path), flags=re.S)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", link):
                continue
            checked += 1
            wrong = check(path, link)
            problems += [wrong] if wrong else []
    tree.finish("links", checked, problems)


if __name__ == "__main__":
    main()
