"""Guests for the side by side runs: a real Debian tree with every golden file's artefacts laid over it."""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "sysprep-rs"
OFFSET = 1 << 20  # of the one partition

# What makes a guest of the other family of the same tree: both tools go by the release files.
RHEL = {
    "etc/os-release": 'NAME="Red Hat Enterprise Linux"\nID="rhel"\nID_LIKE="fedora"\nVERSION_ID="9.4"\n'
    'PRETTY_NAME="Red Hat Enterprise Linux 9.4 (Plow)"\n',
    "etc/redhat-release": "Red Hat Enterprise Linux release 9.4 (Plow)\n",
}
DEBIAN = ["usr/lib/os-release", "etc/os-release", "etc/debian_version", "var/cache/apt"]


def die(message):
    sys.exit(f"{os.path.basename(sys.argv[0])}: {message}")


def run(*command, **options):
    """Runs a program; its output is shown when it fails."""
    try:
        done = subprocess.run([str(it) for it in command], capture_output=True, errors="replace",
                              stdin=subprocess.DEVNULL, **options)
    except subprocess.TimeoutExpired as expired:
        die(f"{' '.join(map(str, command))}: not ended after {expired.timeout:.0f} s")
    if done.returncode not in (0, 3):
        die(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def need(*tools):
    if os.geteuid() != 0:
        die("it mounts images, which takes root")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    for tool in tools:
        if subprocess.run(["sh", "-c", f"command -v {tool}"], capture_output=True).returncode:
            die(f"{tool} is missing")
    # Emulated, unless told otherwise: a /dev/kvm that is there need not work.
    os.environ.setdefault("LIBGUESTFS_BACKEND", "direct")
    os.environ.setdefault("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")


def binary():
    run("cargo", "build", "-q", "--release", "--locked", cwd=ROOT)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release/sysprep-rs"


def tree():
    """The Debian tree that the benchmark uses, made once."""
    at = CACHE / "tree"
    if not at.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = CACHE / "tree.part"
        run("rm", "-rf", part)
        run("debootstrap", "--include=linux-image-amd64,openssh-server,systemd-sysv", "bookworm", part)
        part.rename(at)
    return at


def theirs(tool, image, *words):
    """Runs a tool of libguestfs, as long as its appliance may take when it is emulated."""
    return run(tool, "-a", image, *words, timeout=900)


class Mounted:
    """An image's filesystem, mounted."""

    def __init__(self, image, writable=False):
        self.image, self.writable = image, writable
        self.at = pathlib.Path(str(image) + ".mnt")

    def __enter__(self):
        self.at.mkdir(exist_ok=True)
        how = f"loop,offset={OFFSET}" + ("" if self.writable else ",ro,noload")
        run("mount", "-t", "ext4", "-o", how, self.image, self.at)
        return self.at

    def __exit__(self, *_):
        run("umount", self.at)
        self.at.rmdir()


def disk(image, mib=2046):
    """A disk with the tree on one partition."""
    filesystem = f"{image}.fs"
    run("mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-d", tree(), filesystem, f"{mib}M")
    run("truncate", "-s", f"{mib + 2}M", image)
    run("sgdisk", "-n", f"1:2048:+{mib}M", "-t", "1:8304", image)
    run("dd", f"if={filesystem}", f"of={image}", "bs=1M", "seek=1", "conv=notrunc,sparse")
    os.remove(filesystem)


def lay(golden, root):
    """Lays the tree that a golden file begins with over a guest; what is there already stays."""
    text = golden.read_text().split("\n----\n")[0]
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        path, _, rest = line.partition(" ")
        at = root / path.lstrip("/")
        if path in ("/etc/os-release", "/usr/lib/os-release") or os.path.lexists(at):
            continue
        made = at.parent
        if not inside(made, root):
            continue
        made.mkdir(parents=True, exist_ok=True)
        mode, owner, kind, value = None, (0, 0), "dir" if path.endswith("/") else "file", b""
        while rest:
            if rest.startswith("= "):
                value, rest = json.loads(rest[2:]).encode(), ""
            elif rest.startswith("-> "):
                kind, value, rest = "link", rest[3:], ""
            elif rest.startswith("== "):
                kind, value, rest = "hard", root / rest[3:].lstrip("/"), ""
            else:
                word, _, rest = rest.partition(" ")
                if ":" in word:
                    owner = tuple(map(int, word.split(":")))
                else:
                    mode = int(word, 8)
        match kind:
            case "dir":
                at.mkdir(mode=0o755)
            case "link":
                at.symlink_to(value)
            case "hard":
                at.hardlink_to(value)
            case _:
                at.write_bytes(value)
        os.chown(at, *owner, follow_symlinks=False)
        if kind != "link":
            at.chmod(mode if mode is not None else 0o755 if kind == "dir" else 0o644)


def inside(path, root):
    """Whether no link on the way leads out of the guest, or to something that is no directory."""
    here = root
    for name in path.relative_to(root).parts:
        here = here / name
        if here.is_symlink():
            return not os.readlink(here).startswith("/") and here.resolve().is_dir() and (
                root in here.resolve().parents)
        if here.exists() and not here.is_dir():
            return False
    return True


def furnished(image, family, operations):
    """A guest with the artefacts of these operations."""
    disk(image)
    with Mounted(image, writable=True) as root:
        if family == "rhel":
            run("rm", "-r", *(root / it for it in DEBIAN))
            for path, text in RHEL.items():
                (root / path).write_text(text)
        # virt-sysprep's ipa-client runs these in the guest.
        for tool in "update-ca-certificates", "update-ca-trust":
            (root / "usr/sbin" / tool).symlink_to("/bin/true")
        run("chroot", root, "useradd", "-m", "ann")
        run("chroot", root, "useradd", "-m", "bob")
        for name in sorted(operations):
            golden = ROOT / f"tests/golden/{name}.txt"
            if golden.exists():
                lay(golden, root)
