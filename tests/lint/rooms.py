"""Rooms include only what common/CMakeLists.txt says they use, and core rooms no system headers but a few."""
import re
import sys

import tree

# System headers that core rooms may include: what is pure, and the formats' libraries.
CORE = {"assert.h", "ctype.h", "errno.h", "float.h", "inttypes.h", "limits.h", "math.h", "stdalign.h",
        "stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h",
        "strings.h", "sys/types.h"}
MORE = {
    "base": {"xxhash.h", "nmmintrin.h", "immintrin.h", "emmintrin.h", "smmintrin.h"},
    "env": {"linux/futex.h", "sys/syscall.h", "unistd.h"},  # the lock port
    "format": {"zstd.h", "zstd_errors.h", "lz4.h", "protobuf-c/protobuf-c.h"},
    "lsm": {"emmintrin.h", "immintrin.h"},
}
# Headers with one owner each.
OWNED = {"uv.h": ("io_uv", "io_s3", "io_http"), "microhttpd.h": ("io_http",), "liburing.h": ("io_file",)}
OWNED_DIRS = {"curl/": ("io_s3",), "openssl/": ("io_s3",)}
PROGRAMS = ("main", "ctl")  # what programs are made of beside cores: may call the system
ROLES = ("writer", "reader", "compactor")


def declared():
    """{room: rooms it may include}, from the firn_room() lines."""
    rooms = {}
    for m in re.finditer(r"^firn_room\((\w+)([^)]*)\)", tree.read("common/CMakeLists.txt"), re.M):
        uses = re.search(r"USES([^)]*?)(?:LIBS|$)", m.group(2), re.S)
        rooms[m.group(1)] = set(uses.group(1).split()) if uses else set()
    return rooms


def room_of(path):
    parts = path.split("/")
    if parts[0] == "common" and len(parts) > 2:
        return parts[1]
    return parts[0] if parts[0] in ROLES and len(parts) > 1 else None


def check_system(path, room, header, core, adapters):
    if header in OWNED and room not in OWNED[header]:
        return f"{path}: <{header}> belongs to {', '.join(OWNED[header])}"
    for d, owners in OWNED_DIRS.items():
        if header.startswith(d) and room not in owners:
            return f"{path}: <{header}> belongs to {', '.join(owners)}"
    if room in core and header not in CORE | MORE.get(room, set()):
        return f"{path}: a core room must not include <{header}>"
    return None


def main():
    rooms = declared()
    adapters = {r for r in rooms if r.startswith("io_")}
    core = set(rooms) - adapters - set(PROGRAMS) | set(ROLES)
    engine = rooms["engine"] | {"engine"}
    for role in ROLES:
        rooms[role] = set(engine)
    order = list(rooms)
    problems = [f"common/CMakeLists.txt: {r} uses {u}, which is not above it"
                for i, r in enumerate(order) for u in rooms[r] if u not in order[:i]]
    checked = 0
    for path in tree.files(".c", ".h"):
        room = room_of(path)
        if room not in rooms:
            continue
        checked += 1
        is_main = path.endswith("/main.c")  # mains wire adapters to cores
        for kind, header in re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', tree.read(path), re.M):
            target = header.split("/")[0] if "/" in header else None
            if kind == "<":
                wrong = None if is_main else check_system(path, room, header, core, adapters)
                problems += [wrong] if wrong else []
            elif target in rooms and target != room:
                if is_main and target not in ROLES:
                    continue
                if target not in rooms[room]:
                    problems.append(f'{path}: {room} must not include "{header}"')
                elif header.endswith("_priv.h"):
                    problems.append(f'{path}: "{header}" is private to {target}')
            elif target is None and not header.endswith(".pb-c.h"):
                problems.append(f'{path}: "{header}": name the room: "{room}/{header}"')
    tree.finish("rooms", checked, problems)


if __name__ == "__main__":
    sys.exit(main())
