"""What differs between two guests, and which of it a table explains."""

import fnmatch
import hashlib
import os
import stat


def listing(root):
    """Every path below a mounted root with all that a change could show in, but times."""
    found = {}
    for folder, directories, files in os.walk(root):
        for name in directories + files:
            at = os.path.join(folder, name)
            status = os.lstat(at)
            seen = {
                "kind": stat.S_IFMT(status.st_mode),
                "mode": oct(stat.S_IMODE(status.st_mode)),
                "owner": (status.st_uid, status.st_gid),
                "xattrs": sorted(
                    (key, os.getxattr(at, key, follow_symlinks=False))
                    for key in os.listxattr(at, follow_symlinks=False)
                ),
            }
            if stat.S_ISLNK(status.st_mode):
                seen["target"] = os.readlink(at)
            elif stat.S_ISREG(status.st_mode):
                with open(at, "rb") as file:
                    seen["content"] = hashlib.sha256(file.read()).hexdigest()
            found["/" + os.path.relpath(at, root)] = seen
    return found


def differences(theirs, ours):
    """(path, how) for each, by path: `only theirs`, `only ours`, or what of it differs."""
    for path in sorted(theirs.keys() | ours.keys()):
        if path not in ours:
            yield path, "only theirs"
        elif path not in theirs:
            yield path, "only ours"
        else:
            left, right = theirs[path], ours[path]
            how = [key for key in left.keys() | right.keys() if left.get(key) != right.get(key)]
            if how:
                yield path, ", ".join(sorted(how))


class Explained:
    """The rows of a Markdown table: guest or option | paths | how they differ | why."""

    def __init__(self, file):
        self.rows, self.used = [], set()
        for line in open(file):
            cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split(" | ")]
            if line.startswith("| ") and len(cells) == 4 and cells[0] != "where":
                self.rows.append(cells)

    def why(self, where, path, how):
        for number, (places, pattern, form, why) in enumerate(self.rows):
            there = places == "any" or where in places.split(", ")
            if there and fnmatch.fnmatchcase(path, pattern) and form == how:
                self.used.add(number)
                return why
        return None

    def unused(self):
        return [row for number, row in enumerate(self.rows) if number not in self.used]
