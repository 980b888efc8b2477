"""Pictures of a board as cameras of known lens and place see it, for calibrations with a known truth."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from tests.unit.made.known_scene import View, turn

from cmfm_cameras.calibration.board import Board
from cmfm_cameras.geometry.lens import Lens

RAYS: dict[int, NDArray[np.float64]] = {}

FINE = 2
"""The undistorted picture is drawn so many times finer."""

TEXTURE_PX = 40
"""Pixels of a square in the board's own picture."""


def rays_of(view: View) -> NDArray[np.float64]:
    """Rays of a view's pixels at z = 1 (H, W, 2), computed once for each view."""
    if id(view) not in RAYS:
        lens = Lens(
            view.width_px, view.height_px, view.fx_px, view.fy_px, view.cx_px, view.cy_px, view.distortion
        )
        RAYS[id(view)] = lens.rays()
    return RAYS[id(view)]


def texture(board: Board) -> NDArray[np.uint8]:
    """The board's own picture, a square each TEXTURE_PX."""
    size = (board.columns * TEXTURE_PX, board.rows * TEXTURE_PX)
    if board.kind == "charuco":
        return np.asarray(board.charuco().generateImage(size, marginSize=0))
    columns, rows = np.meshgrid(np.arange(size[0]) // TEXTURE_PX, np.arange(size[1]) // TEXTURE_PX)
    return ((columns + rows) % 2 * 255).astype(np.uint8)


def picture(
    board: Board, view: View, rotation: NDArray[np.float64], translation: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """The picture of a board at a place in the scene's frame (rotation and translation of its corner)."""
    to_camera = view.rotation @ rotation
    origin = view.rotation @ translation + view.translation_m
    scale = board.square_m / TEXTURE_PX
    on_board = np.array(
        [[scale, 0, scale / 2], [0, scale, scale / 2], [0, 0, 1]]
    )  # centre of a texture's pixel
    plane = np.stack([to_camera[:, 0], to_camera[:, 1], origin], axis=-1)
    margin = 0.15  # the undistorted picture is wider than the lens's
    focal = view.fx_px * FINE
    middle = np.array([view.width_px, view.height_px]) * FINE * (0.5 + margin)
    size = tuple(int(value) for value in 2 * middle)
    pinhole = np.array([[focal, 0, middle[0]], [0, focal, middle[1]], [0, 0, 1]])
    flat = cv2.warpPerspective(
        texture(board), pinhole @ plane @ on_board, size, flags=cv2.INTER_AREA, borderValue=150
    )
    flat = cv2.GaussianBlur(flat, (0, 0), 0.6 * FINE)
    rays = rays_of(view)
    columns, rows = (rays * focal + middle).astype(np.float32).transpose(2, 0, 1)
    return np.asarray(cv2.remap(flat, columns, rows, cv2.INTER_LINEAR, borderValue=150))


def points(
    board: Board, view: View, rotation: NDArray[np.float64], translation: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The board's points (H, W, 3) as a depth sensor at the scene's origin gives them; NaN beside the board."""
    rays = np.concatenate([rays_of(view), np.ones((view.height_px, view.width_px, 1))], axis=-1)
    normal = rotation[:, 2]
    found = rays * ((normal @ translation) / (rays @ normal))[..., None]
    on_board = (found - translation) @ rotation
    size = np.array([board.columns, board.rows]) * board.square_m
    inside = np.all((on_board[..., :2] >= 0) & (on_board[..., :2] <= size), axis=-1)
    return np.where(np.asarray(inside)[..., None], found, np.nan).astype(np.float32)


def places(
    board: Board, count: int, distance_m: float = 0.5
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Places of the board all over the field of view, tilted about both axes, at several distances."""
    rng = np.random.default_rng(11)
    middle = np.array([board.columns, board.rows, 0]) * board.square_m / 2
    found = []
    for number in range(count):
        x_deg, y_deg, z_deg = rng.uniform([-32, -32, -20], [32, 32, 20])
        rotation = turn(x_deg, y_deg, z_deg)
        side = np.array([(number % 3 - 1) * 0.09, (number // 3 % 3 - 1) * 0.06, 0.0])
        where = np.array([0.0, 0.0, distance_m * rng.uniform(0.85, 1.15)]) + side
        found.append((rotation, where - rotation @ middle))
    return found
