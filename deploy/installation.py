"""Makes the distribution: python -m deploy.installation --dest DIR [--archive].

A self-contained directory tengrid-<version> (mgmt/transport/bundle.py), or a .tar.gz of it: unpack
it on the first management host and run bin/ttInstanceCreate.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from mgmt.transport import bundle
from mgmt.transport.installation import release


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="deploy.installation", description=__doc__)
    parser.add_argument("--dest", type=Path, default=Path("dist"))
    parser.add_argument("--archive", action="store_true", help="a .tar.gz instead of a directory")
    words = parser.parse_args()
    tree = words.dest.absolute() / f"tengrid-{release()}"
    if tree.exists() and any(tree.iterdir()):
        print(f"{tree} is there already: remove it first", file=sys.stderr)
        return 1
    print(f"building {tree} ...", flush=True)
    bundle.build(tree)
    if not words.archive:
        print(f"{tree}\nFirst instance: {tree}/bin/ttInstanceCreate -location DIR -grid")
        return 0
    archive = tree.with_name(f"{tree.name}.tar.gz")
    print(f"packing {archive} ...", flush=True)
    subprocess.run(
        ["tar", "-I", "gzip -6", "-cf", str(archive), "-C", str(tree.parent), tree.name],
        check=True,
    )
    shutil.rmtree(tree)
    print(archive)
    return 0


if __name__ == "__main__":
    sys.exit(main())
