"""Our C files: banned calls, leftovers, lengths of files and functions."""
import re

import tree

FILE_MAX = 850  # the house style says about 800
FUNCTION_MAX = 80  # the house style says about 70
BANNED = ("gets strcpy stpcpy strcat strncpy strncat sprintf vsprintf alloca system popen rand srand random tmpnam "
          "mktemp strtok atoi atol atoll atof gmtime localtime asctime ctime setjmp longjmp sscanf scanf").split()
ALLOCATORS = "malloc calloc realloc free strdup strndup posix_memalign aligned_alloc asprintf vasprintf".split()
LEFTOVER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
PRODUCT = ("common/", "writer/", "reader/", "compactor/")


def blank(text):
    """The text with comments and literals blanked out, line structure kept."""
    def keep_lines(m):
        return re.sub(r"[^\n]", " ", m.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', keep_lines, text, flags=re.S)


def calls(path, code, names, why):
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(names) + r")\s*\(")
    for n, line in enumerate(code.splitlines(), 1):
        m = pattern.search(line)
        if m:
            yield f"{path}:{n}: {m.group(1)}() {why}"


def functions(path, code):
    start = None
    for n, line in enumerate(code.splitlines(), 1):
        if line == "{":
            start = n
        elif line.startswith("}") and start:
            if n - start - 1 > FUNCTION_MAX:
                yield f"{path}:{start}: a function of {n - start - 1} lines (at most {FUNCTION_MAX})"
            start = None


def main():
    problems, checked = [], 0
    for path in tree.files(".c", ".h"):
        checked += 1
        text = tree.read(path)
        code = blank(text)
        lines = text.count("\n")
        if lines > FILE_MAX and not path.endswith("table.c"):  # one table, however long, is one purpose
            problems.append(f"{path}: {lines} lines (at most {FILE_MAX})")
        problems += calls(path, code, BANNED, "is banned")
        if path.startswith(PRODUCT):
            if not path.startswith("common/base/mem."):
                problems += calls(path, code, ALLOCATORS, "goes around base/mem.h")
            problems += functions(path, code)
    for path in tree.files(".c", ".h", ".py", ".sh", ".txt", ".proto", ".md", ".pml"):
        for n, line in enumerate(tree.read(path).splitlines(), 1):
            m = LEFTOVER.search(line)
            if m:
                problems.append(f"{path}:{n}: left over: {m.group(1)}")
    tree.finish("source", checked, problems)


if __name__ == "__main__":
    main()
