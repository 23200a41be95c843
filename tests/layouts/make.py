"""Writes the layout that the program makes now as tests/layouts/store_N.sql, for tests of later ones.

When host/store/store_layouts.c has got a new step: build, run this once, add rows for what is new by hand, commit.
What stands in the newest earlier file is brought to the new layout by the program itself. Files that are there
are never changed.

    python3 tests/layouts/make.py
"""

import os
import pathlib
import re
import sqlite3
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("DERD_BUILD", HERE.parents[1] / "build"))


def number(path):
    return int(re.search(r"store_(\d+)\.sql", path.name)[1])


def main():
    newest = max(HERE.glob("store_*.sql"), key=number)
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "derd.db"
        database = sqlite3.connect(file)
        database.executescript(newest.read_text())
        database.close()
        subprocess.run([BUILD / "derd", "token", "list", "--store", folder], check=True, stdout=subprocess.DEVNULL)
        database = sqlite3.connect(file)
        version, = database.execute("PRAGMA user_version").fetchone()
        application, = database.execute("PRAGMA application_id").fetchone()
        target = HERE / f"store_{version}.sql"
        if target.exists():
            print(f"{target.name} is there: nothing to do")
            return
        target.write_text(
            f"-- derd.db as derd left it in layout {version}. Never changed; a new layout is a new file (make.py).\n"
            f"PRAGMA application_id = {application};\nPRAGMA user_version = {version};\n"
            + "\n".join(database.iterdump()) + "\n")
        print(f"{target.name} is made; add rows for what is new in it, and what they become to test_layouts.c")


if __name__ == "__main__":
    main()
