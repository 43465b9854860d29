"""A PNG, JPEG or WebP without its metadata, for those that cannot be read because of it."""

import struct

PNG, KEPT_OF_PNG = b"\x89PNG\r\n\x1a\n", (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
KEPT_OF_JPEG = (0xE0, 0xEE)  # APP0 (JFIF) and APP14 (Adobe), which say how the colours are written
KEPT_OF_WEBP = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF")


def bare(content: bytes) -> bytes | None:
    """``content`` with what its pixels need and no more; None where it is of another kind.

    What the pixels need is kept as it is, damaged or not, so a reader still refuses damaged pixels.
    """
    if content.startswith(PNG):
        chunks = list(png(content))
        if not any(chunk[4:8] == b"IDAT" for chunk in chunks):
            return None
        return PNG + b"".join(chunks) + b"\0\0\0\0IEND\xaeB`\x82"
    if content.startswith(b"\xff\xd8\xff"):
        return jpeg(content)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        kept = b"".join(webp(content))
        return b"RIFF" + struct.pack("<I", 4 + len(kept)) + b"WEBP" + kept
    return None


def png(content: bytes):
    """The chunks that hold pixels, each with its length and checksum; ends where the file does."""
    place = len(PNG)
    while place + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        if kind in KEPT_OF_PNG and place + 12 + length <= len(content):
            yield content[place : place + 12 + length]
        if kind == b"IEND":
            return
        place += 12 + length


def jpeg(content: bytes) -> bytes | None:
    """Without application segments and comments, up to the first scan, and everything from there."""
    kept, place = [content[:2]], 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:  # fill
            place += 1
            continue
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if marker == 0xDA:
            return b"".join(kept) + content[place:]
        if marker in KEPT_OF_JPEG or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(content[place:end])
        place = end
    return None


def webp(content: bytes):
    """The chunks that hold pixels. In the header, the bits for ICC, EXIF and XMP are cleared."""
    place = 12
    while place + 8 <= len(content):
        kind, length = struct.unpack("<4sI", content[place : place + 8])
        end = place + 8 + length + length % 2
        if kind == b"VP8X":
            yield content[place : place + 8] + bytes([content[place + 8] & ~0x2C]) + content[place + 9 : end]
        elif kind in KEPT_OF_WEBP:
            yield content[place:end]
        place = end
