"""What the tests read from the folder of a run."""

import json

SECONDS = {"train_seconds", "find_seconds"}  # the fields that measure time


def rows_of(folder):
    lines = (folder / "members.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def numbers_of(folder):
    return [
        {name: value for name, value in row.items() if name not in SECONDS}
        for row in rows_of(folder)
    ]


def created(folder):
    """Artifact's name -> when it was finished, to the nanosecond."""
    return {
        path.parent.name: (
            path.stat().st_mtime_ns,
            json.loads(path.read_text())["created"],
        )
        for path in folder.glob("artifacts/*/manifest.json")
    }
