import itertools

import matplotlib as mpl
import matplotlib.colors
import numpy as np
import pytest

from benchmark.activations import names, resolve
from benchmark.plotting.palette import PALETTE, LineStyle, gray_line_style, line_style

# Machado, Oliveira and Fernandes (2009), severity 1.0, for linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}

# sRGB to CIE XYZ, D65; its second row is the luminance.
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)

# Measured: 22.6 at the least (all seven). Okabe and Ito's own six have 16.1 (tritanopia).
LEAST_DISTANCE = 20


def linear(color):
    rgb = np.array(mpl.colors.to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    ratio = TO_XYZ @ rgb.clip(0, 1) / TO_XYZ.sum(axis=1)
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = root
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def least_distance(colors, vision):
    seen = [lab(VISION[vision] @ linear(color)) for color in colors]
    return min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))


def contrast(color, background):
    bright, dim = sorted([TO_XYZ[1] @ linear(color), TO_XYZ[1] @ linear(background)])[::-1]
    return (bright + 0.05) / (dim + 0.05)


def test_lab_of_known_colors():
    np.testing.assert_allclose(lab(linear("white")), [100, 0, 0], atol=1e-3)
    np.testing.assert_allclose(lab(linear("#FF0000")), [53.24, 80.09, 67.20], atol=0.01)
    assert contrast("black", "white") == pytest.approx(21)


@pytest.mark.parametrize("vision", VISION)
def test_colors_are_told_apart_by_color_blind_readers(vision):
    assert least_distance(PALETTE, vision) > LEAST_DISTANCE


def test_the_threshold_refuses_confusable_colors():
    assert least_distance(["#D62728", "#2CA02C", "#8C564B"], "deuteranopia") < LEAST_DISTANCE
    assert least_distance(["#009E73", "#56B4E9"], "tritanopia") < LEAST_DISTANCE


@pytest.mark.parametrize(("background", "least"), [("white", 2.2), ("black", 3.2)])
def test_colors_stand_out_from_the_background(background, least):
    assert min(contrast(color, background) for color in PALETTE) > least
    assert contrast(gray_line_style(0).color, background) > least


def test_looks_are_distinct():
    assert len({line_style(index) for index in range(56)}) == 56
    assert len({gray_line_style(index) for index in range(32)}) == 32
    first = [line_style(index) for index in range(len(PALETTE))]
    assert [one.color for one in first] == list(PALETTE)
    assert {one.linestyle for one in first} == {"-"}
    # Beyond the colors, activations of one color differ in line style and in marker.
    for one, other in itertools.combinations(map(line_style, range(24)), 2):
        if one.color == other.color:
            assert one.linestyle != other.linestyle
            assert one.marker != other.marker
    assert isinstance(line_style(0), LineStyle)


def test_every_activation_of_the_catalogue_has_its_own_line_style():
    line_styles = [line_style(resolve(name).index) for name in names()]
    assert len(set(line_styles)) == len(line_styles)
