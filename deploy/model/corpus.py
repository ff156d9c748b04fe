"""The training text: the King James Bible and Jane Austen's six novels, both public domain.

Both come out of Debian packages, fetched with `apt-get download` (no root needed) and unpacked
into a cache folder; nothing of the text is kept in this repository.

  bible-kjv, bible-kjv-text   the reader program and its compressed text; "the copyright for the
                              King James Version text of the Bible is expired" (1611)
  r-cran-janeaustenr          an R package around Project Gutenberg's plain texts of the novels
                              (1811-1818, public domain; the packaging itself is MIT)

`documents(cache)` returns a list of (source, text), one entry a chapter, in a fixed order.
"""

import pathlib
import re
import struct
import subprocess
import zlib

PACKAGES = ("bible-kjv", "bible-kjv-text", "r-cran-janeaustenr")


def documents(cache):
    root = unpack(pathlib.Path(cache))
    return [("bible", text) for text in bible(root)] + [("austen", text) for text in austen(root)]


def unpack(cache):
    root = cache.resolve() / "root"
    if not (root / "done").exists():
        root.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "-q", "download", *PACKAGES], cwd=cache, check=True)
        for package in PACKAGES:
            (deb,) = cache.glob(f"{package}_*.deb")
            subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
        (root / "done").touch()
    return root


def bible(root):
    """One text a chapter, one verse a line, without the verse numbers."""
    program, data = root / "usr/bin/bible", root / "usr/lib"
    out = subprocess.run([program, "-l100000", "-p", data, "gen1:1-rev22:21"], check=True,
                         stdin=subprocess.DEVNULL, capture_output=True, encoding="latin-1").stdout
    # A chapter is a heading "Genesis 1" at the margin, then verses "   1 In the beginning ...".
    chapters = []
    for line in out.splitlines():
        verse = re.fullmatch(r" +\d+ (.*\S)\s*", line)
        if verse:
            chapters[-1].append(verse[1])
        elif re.match(r"\S.* \d+\s*$", line):
            chapters.append([])
    return ["\n".join(verses) for verses in chapters]


def austen(root):
    """One text a chapter, one paragraph a line; titles and chapter headings are dropped."""
    rdb = (root / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read_bytes()
    chapters, at = [], 0
    while at < len(rdb):
        # Each object: its size (big-endian) and a zlib stream of R's XDR serialisation.
        inflate = zlib.decompressobj()
        book = inflate.decompress(rdb[at + 4:])
        at = len(rdb) - len(inflate.unused_data)
        for part in re.split(r"(?mi)^ *chapter +[0-9ivxlc]+\.? *$", "\n".join(strings(book)))[1:]:
            paragraphs = re.split(r"\n\s*\n", part)
            lines = [" ".join(paragraph.split()) for paragraph in paragraphs]
            lines = [line.replace("_", "") for line in lines
                     if line and not re.match(r"(?i)(volume [0-9ivxlc]+$|finis$|the end$|end of )",
                                              line)]
            if lines:
                chapters.append("\n".join(lines))
    return chapters


def strings(book):
    """The elements of an R character vector: flags (4 bytes), length (4 bytes), bytes."""
    start = book.index(b"\x00\x00\x00\x10", 14)
    count, = struct.unpack_from(">I", book, start + 4)
    at = start + 8
    for _ in range(count):
        _, size = struct.unpack_from(">Ii", book, at)
        yield book[at + 8:at + 8 + max(size, 0)].decode("utf-8", "replace")
        at += 8 + max(size, 0)
