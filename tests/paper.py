"""What a PDF of Chromium says.

It reads what Chromium's printer writes and no more: objects in the open, compressed
contents, hexadecimal strings. The printer leaves out letters that a box or the page's
end cuts off, so what is cut is missing here.
"""

import re
import unicodedata
import zlib

_STEP = re.compile(r"/(?P<font>\w+) \S+ Tf|<(?P<glyphs>\w+)> Tj|/(?P<form>\w+) Do")


def text(pdf: bytes) -> str:
    """Returns the text of all pages in the order of painting, as `squeezed` has it."""
    found = re.findall(rb"\n(\d+) 0 obj\n(.*?)\nendobj", pdf, re.S)
    objects = {int(number): body for number, body in found}
    pages = [body for body in objects.values() if b"/Type /Page\n" in body]
    parts = []
    for page in pages:
        contents = int(re.search(rb"/Contents (\d+)", page)[1])
        parts += _painted(objects[contents], page, objects)
    return squeezed("".join(parts))


def pictures(pdf: bytes) -> set[tuple[int, int]]:
    """Returns the sizes of the pages' pictures, (width, height) in their own pixels."""
    heads = re.findall(rb"<<[^>]*/Subtype /Image[^>]*>>", pdf)
    sides = (re.findall(rb"/(?:Width|Height) (\d+)", head) for head in heads)
    return {(int(width), int(height)) for width, height in sides}


def squeezed(text: str) -> str:
    """Returns text without white space, with ligatures taken apart."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def _painted(contents, resources, objects):
    """The strings of a page's contents, those of forms within it included."""
    named = re.findall(rb"/(\w+) (\d+) 0 R", resources.partition(b"stream\n")[0])
    names = {name.decode(): objects[int(number)] for name, number in named}
    width, letters = 4, {}
    for step in _STEP.finditer(_stream(contents).decode("latin-1")):
        if step["font"]:
            font = names[step["font"]]
            width, letters = 2 if b"/Type3" in font else 4, _letters(font, objects)
        elif step["glyphs"]:
            digits = step["glyphs"]
            for start in range(0, len(digits), width):
                glyph = int(digits[start : start + width], 16)
                yield letters.get(glyph, "\ufffd")
        elif b"/Form" in names[step["form"]]:
            form = names[step["form"]]
            yield from _painted(form, form, objects)


def _letters(font, objects):
    """Returns glyph -> text."""
    table = re.search(rb"/ToUnicode (\d+)", font)
    lines = _stream(objects[int(table[1])]).decode("latin-1") if table else ""
    found = {}
    for part in re.findall(r"beginbfchar(.*?)endbfchar", lines, re.S):
        for glyph, letter in re.findall(r"<(\w+)> <(\w+)>", part):
            found[int(glyph, 16)] = bytes.fromhex(letter).decode("utf-16-be")
    for part in re.findall(r"beginbfrange(.*?)endbfrange", lines, re.S):
        for low, high, letter in re.findall(r"<(\w+)> <(\w+)> <(\w+)>", part):
            for glyph in range(int(low, 16), int(high, 16) + 1):
                found[glyph] = chr(int(letter, 16) + glyph - int(low, 16))
    return found


def _stream(body):
    data = body.partition(b"stream\n")[2].rpartition(b"\nendstream")[0]
    return zlib.decompress(data) if b"/FlateDecode" in body else data
