"""canvases.py: drawings as a browser's canvas gives them, and how long zlib takes to inflate their data.

    canvases.py FILE DIRECTORY

Ten of the digits in FILE, 784 bytes each, enlarged to 280 x 280, as RGBA PNGs of 10 to 15 kB, to DIRECTORY/0.png ... 9.png.  It prints
the microseconds that zlib alone needs to inflate one of them, the median of several.
"""
import io
import statistics
import struct
import sys
import time
import zlib

from PIL import Image


def canvas(pixels):
    ink = Image.frombytes("L", (28, 28), pixels).resize((280, 280), Image.BICUBIC)
    png = io.BytesIO()
    Image.merge("RGBA", (ink, ink, ink, Image.new("L", ink.size, 255))).save(png, "PNG")
    return png.getvalue()


def compressed(png):
    data, at = b"", 8
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at:at + 8])
        if kind == b"IDAT":
            data += png[at + 8:at + 8 + size]
        at += 12 + size
    return data


images = open(sys.argv[1], "rb").read()
found = []
for start in range(0, len(images), 784):
    png = canvas(images[start:start + 784])
    if 10000 <= len(png) <= 15000:
        open(f"{sys.argv[2]}/{len(found)}.png", "wb").write(png)
        found.append(compressed(png))
    if len(found) == 10:
        break
times = []
for _ in range(100):
    begun = time.perf_counter()
    for data in found:
        zlib.decompress(data, bufsize=(4 * 280 + 1) * 280)
    times.append((time.perf_counter() - begun) / len(found))
print(f"{1e6 * statistics.median(times):.1f}")
