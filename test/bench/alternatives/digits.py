"""digits.py: what the alternatives share: keras_cnn in PyTorch, and a drawing brought to MNIST's form by Pillow and numpy.

The weights are random: what is measured does not depend on them.
"""
import io

import numpy
import torch
from PIL import Image
from torch import nn

torch.manual_seed(1)


def keras_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))


def preprocess(png):
    """A PNG's bytes as (1, 1, 28, 28) of 0..1: grey, ink bright, cropped, fitted into 20 x 20, centred by mass."""
    image = Image.open(io.BytesIO(png))
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(paper, image)
    ink = numpy.asarray(image.convert("L"))
    if numpy.concatenate((ink[0], ink[-1], ink[:, 0], ink[:, -1])).mean() > 127:
        ink = 255 - ink
    rows = numpy.flatnonzero(ink.max(axis=1) > 10)
    columns = numpy.flatnonzero(ink.max(axis=0) > 10)
    form = numpy.zeros((28, 28), numpy.float32)
    if len(rows) > 0:
        ink = ink[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
        height, width = ink.shape
        scale = 20 / max(height, width)
        if scale != 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            ink = numpy.asarray(Image.fromarray(ink).resize(size, Image.LANCZOS))
            height, width = ink.shape
        mass = ink.sum()
        top = round(13.5 - (ink.sum(axis=1) @ numpy.arange(height)) / mass)
        left = round(13.5 - (ink.sum(axis=0) @ numpy.arange(width)) / mass)
        top = min(max(top, 0), 28 - height)
        left = min(max(left, 0), 28 - width)
        form[top:top + height, left:left + width] = ink
    return torch.from_numpy(form / 255).reshape(1, 1, 28, 28)


class Reader:
    """One thread: what serves has other requests for the other cores."""

    def __init__(self):
        torch.set_num_threads(1)
        self.network = keras_cnn().eval()

    def probabilities(self, png):
        with torch.inference_mode():
            return torch.softmax(self.network(preprocess(png)), dim=1)[0].tolist()
