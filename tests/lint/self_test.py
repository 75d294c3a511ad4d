"""The checks can fail: each is shown a tree that breaks its rule."""
import os
import shutil
import subprocess
import sys
import tempfile

import tree

HERE = os.path.dirname(os.path.abspath(__file__))
GOOD = {
    "common/CMakeLists.txt": "firn_room(base LIBS x)\nfirn_room(env USES base)\nfirn_room(engine USES env base)\n",
    "common/base/a.c": '#include "base/a.h"\n',
    "common/base/a.h": "int a;\n",
    "common/env/a.c": "void f(void)\n{\n    FIRN_SOMETIMES(\"env: a\");\n}\n",
    "README.md": "[a](common/base/a.h) [b](#first-words)\n\n# First words\n",
}
CASES = [  # check, file, content, what its output must name
    ("rooms", "common/base/b.c", '#include "env/env.h"\n', "base must not include"),
    ("rooms", "common/env/b.c", "#include <uv.h>\n", "belongs to"),
    ("rooms", "common/env/b.c", "#include <time.h>\n", "core room must not include <time.h>"),
    ("rooms", "common/env/b.c", '#include "base/base_priv.h"\n', "private to base"),
    ("source", "common/base/b.c", "void f(void)\n{\n    strcpy(a, b);\n}\n", "strcpy() is banned"),
    ("source", "common/base/b.c", "void f(void)\n{\n    free(a);\n}\n", "goes around base/mem.h"),
    ("source", "common/base/b.c", "int x;\n" * 851, "851 lines"),
    ("source", "common/base/b.c", "void f(void)\n{\n" + "    g();\n" * 81 + "}\n", "function of 81 lines"),
    ("source", "common/base/b.c", "/* TO" "DO */\n", "left over"),
    ("format", "common/base/b.c", "int   x ;\n", "b.c:1"),
    ("points", "common/env/b.c", "void g(void)\n{\n    FIRN_SOMETIMES_IF(a(1, 2), \"env: a\");\n}\n", "is in common/env/a.c, too"),
    ("points", "common/env/b.c", "void g(void)\n{\n    FIRN_SOMETIMES(\"base: b\");\n}\n", "does not begin with"),
    ("links", "docs/X.md", "[a](nothing.md)\n", "no such file"),
    ("links", "docs/X.md", "[a](../README.md#second)\n", "no such heading"),
]


def run(check, root):
    return subprocess.run([sys.executable, f"{root}/tests/lint/{check}.py"], capture_output=True, text=True, check=False)


def write(root, path, text):
    full = os.path.join(root, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "w", encoding="utf-8") as f:
        f.write(text)


def purity_sees_a_clock():
    """An archive of base that asks the time is refused, one that does not is not."""
    cc, results = shutil.which("cc"), []
    for body in ("return a[0] + (int)strlen(a);", "return a[0] + (int)time(0);"):
        with tempfile.TemporaryDirectory() as build:
            os.mkdir(f"{build}/common")
            write(build, "x.c", f"#include <string.h>\n#include <time.h>\nint f(char *a);\nint f(char *a) {{ {body} }}\n")
            subprocess.run([cc, "-O0", "-fno-builtin", "-c", f"{build}/x.c", "-o", f"{build}/x.o"], check=True)
            subprocess.run(["ar", "rc", f"{build}/common/libfirn_base.a", f"{build}/x.o"], check=True)
            results.append(subprocess.run([sys.executable, f"{HERE}/purity.py", build], capture_output=True, text=True,
                                          check=False))
    good, bad = results
    if good.returncode != 0 or bad.returncode == 0 or "base: time is called" not in bad.stdout:
        return [f"purity: {good.stdout}{bad.stdout}{bad.stderr}"]
    return []


def main():
    problems = purity_sees_a_clock()
    for check, path, text, want in [(c, None, None, None) for c in ("rooms", "source", "format", "points", "links")] + CASES:
        with tempfile.TemporaryDirectory() as root:
            subprocess.run(["git", "init", "-q", root], check=True)
            for p, t in GOOD.items():
                write(root, p, t)
            for name in ("tree.py", f"{check}.py"):
                os.makedirs(f"{root}/tests/lint", exist_ok=True)
                shutil.copy(os.path.join(HERE, name), f"{root}/tests/lint/{name}")
            shutil.copy(os.path.join(tree.ROOT, ".clang-format"), root)
            shutil.copy(os.path.join(tree.ROOT, "tests/sometimes.py"), f"{root}/tests/sometimes.py")
            if path:
                write(root, path, text)
            out = run(check, root)
            if out.returncode == tree.SKIPPED:
                continue
            if path is None and out.returncode != 0:
                problems.append(f"{check} refuses a good tree: {out.stdout}{out.stderr}")
            elif path and (out.returncode == 0 or want not in out.stdout):
                problems.append(f"{check} lets pass: {want}: {out.stdout}{out.stderr}")
    tree.finish("self_test", len(CASES) + 1, problems)


if __name__ == "__main__":
    main()
