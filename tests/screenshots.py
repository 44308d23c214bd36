"""Takes the pictures of a report that the documentation shows: docs/img/report-*.png.

python tests/screenshots.py
"""

import pathlib
import shutil
import tempfile

import browser

from ddjax.report.page import render

ROOT = pathlib.Path(__file__).parents[1]
LOOKS = {
    "desk": {"width": 1280, "height": 800},
    "desk-dark": {"width": 1280, "height": 800, "dark": True},
    "tablet": {"width": 820, "height": 1180},
    "phone": {"width": 390, "height": 844, "phone": True, "scale": 1.5},
}
LARGEST = 300_000  # bytes of a picture


def main():
    """Photographs the first screen of the report of `results/cad_prune_digits`."""
    executable = browser.find()
    if executable is None:
        raise SystemExit(f"found no browser among {', '.join(browser.NAMES)}")
    folder = ROOT / "docs/img"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made, browser.Browser(executable) as running:
        shutil.copytree(ROOT / "results/cad_prune_digits", made, dirs_exist_ok=True)
        report = render(made)
        for name, look in LOOKS.items():
            with running.page(**look) as page:
                page.open(report)
                picture = page.picture()
            if len(picture) > LARGEST:
                raise SystemExit(f"report-{name}.png has {len(picture)} bytes")
            (folder / f"report-{name}.png").write_bytes(picture)


if __name__ == "__main__":
    main()
