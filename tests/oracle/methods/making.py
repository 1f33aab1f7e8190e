"""What the scripts here share: make the committed files, or with --check make them elsewhere and compare."""

import filecmp
import shutil
import sys
import tempfile
from pathlib import Path


def files(folder, names):
    places = [folder / name for name in names] if names else [folder]
    found = {path for place in places for path in ([place] if place.is_file() else place.rglob("*")) if path.is_file()}
    return {path.relative_to(folder) for path in found}


def make(write_all, here, names=()):
    """`write_all(folder)` fills a folder. `here` is the committed one; its files and folders `names` are made, or else
    all of it. Returns the exit code."""
    with tempfile.TemporaryDirectory() as name:
        there = Path(name)
        write_all(there)
        made, known = files(there, names), files(here, names)
        if "--check" in sys.argv:
            differ = [path for path in made | known if path not in made or path not in known
                      or not filecmp.cmp(here / path, there / path, shallow=False)]
            print("the same" if not differ else "different: " + ", ".join(map(str, sorted(differ))))
            return 1 if differ else 0
        for path in known - made:
            (here / path).unlink()
        for path in made:
            (here / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(there / path, here / path)
        return 0
