"""Boards: where their corners are in a picture, and in the board's own frame."""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.errors import InputError

Kind = Literal["charuco", "checkerboard"]

LEAST_CORNERS: Final = 8
"""Corners in a picture below which a view says too little."""


@dataclass(frozen=True, slots=True, eq=False)
class Corners:
    """Corners of the board in one picture: their numbers (n,), and columns and rows (n, 2) in pixels."""

    ids: NDArray[np.int64]
    pixels: NDArray[np.float32]

    def common(self, other: "Corners") -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Return the numbers of corners that both pictures have, with their pixels in each."""
        ids, mine, others = np.intersect1d(self.ids, other.ids, return_indices=True)
        return ids, self.pixels[mine], other.pixels[others]


@dataclass(frozen=True, slots=True)
class Board:
    """A flat board of `columns` × `rows` squares of `square_m`; ChArUco has markers of `marker_m` in its white ones.

    `dictionary` is the name of OpenCV's marker dictionary. `legacy`: a ChArUco pattern of OpenCV before 4.6, whose
    first square is white if its number of rows is even.
    """

    kind: Kind
    columns: int
    rows: int
    square_m: float
    marker_m: float = 0.0
    dictionary: str = "DICT_5X5_100"
    legacy: bool = False

    def require_usable(self) -> None:
        """Raise InputError for a board that cannot be recognised, or that looks the same turned by 180°."""
        if min(self.columns, self.rows) < 4:
            raise InputError(f"--squares {self.columns}x{self.rows}: a board has at least 4 squares each way")
        if self.kind == "checkerboard" and (self.columns + self.rows) % 2 == 0:
            raise InputError(
                f"--squares {self.columns}x{self.rows}: this checkerboard looks the same turned by 180°, so the two "
                "devices could take it differently; use one with an odd and an even number of squares, or a ChArUco "
                "board"
            )
        if self.kind == "charuco" and not 0 < self.marker_m < self.square_m:
            raise InputError("--marker-mm must be above 0 and below --square-mm")
        if self.kind == "charuco":
            self.charuco()

    def charuco(self) -> Any:
        """Return OpenCV's board. Raises InputError for an unknown dictionary, or one with too few markers."""
        import cv2

        number = getattr(cv2.aruco, self.dictionary, None)
        if number is None or not self.dictionary.startswith("DICT_"):
            known = ", ".join(sorted(name for name in dir(cv2.aruco) if name.startswith("DICT_")))
            raise InputError(f"--dictionary {self.dictionary}: unknown; known: {known}")
        markers = cv2.aruco.getPredefinedDictionary(number)
        needed, given = self.columns * self.rows // 2, len(markers.bytesList)
        if needed > given:
            raise InputError(f"--dictionary {self.dictionary} has {given} markers; this board has {needed}")
        board = cv2.aruco.CharucoBoard((self.columns, self.rows), self.square_m, self.marker_m, markers)
        board.setLegacyPattern(self.legacy)
        return board

    @property
    def points(self) -> NDArray[np.float32]:
        """The inner corners in the board's frame (n, 3), in metres, row by row; a corner's number is its place."""
        columns, rows = np.meshgrid(np.arange(1, self.columns), np.arange(1, self.rows))
        flat = np.stack([columns.ravel(), rows.ravel(), np.zeros(columns.size)], axis=-1)
        return (flat * self.square_m).astype(np.float32)

    def find(self, grey: NDArray[np.uint8]) -> Corners | None:
        """Return the corners in a grey picture (H, W), or None if the board is not there."""
        found = self._find_charuco(grey) if self.kind == "charuco" else self._find_checkerboard(grey)
        return found if found is not None and len(found.ids) >= LEAST_CORNERS else None

    def _find_charuco(self, grey: NDArray[np.uint8]) -> Corners | None:
        import cv2

        pixels, ids, _, _ = cv2.aruco.CharucoDetector(self.charuco()).detectBoard(grey)
        if ids is None or len(ids) == 0:
            return None
        return Corners(ids.ravel().astype(np.int64), pixels.reshape(-1, 2))

    def _find_checkerboard(self, grey: NDArray[np.uint8]) -> Corners | None:
        import cv2

        shape = (self.columns - 1, self.rows - 1)
        flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_ACCURACY
        is_found, pixels = cv2.findChessboardCornersSB(grey, shape, flags=flags)
        if not is_found:
            return None
        grid = pixels.reshape(shape[1], shape[0], 2)
        # Corners count from the end with the dark square. OpenCV 5 begins at the bright one, others may not.
        if _middle(grey, grid[:2, :2]) > _middle(grey, grid[-2:, -2:]):
            grid = grid[::-1, ::-1]
        return Corners(np.arange(grid.shape[0] * grid.shape[1]), np.ascontiguousarray(grid).reshape(-1, 2))


def _middle(grey: NDArray[np.uint8], corners: NDArray[np.float32]) -> float:
    """The brightness in the middle of a square with these corners (2, 2, 2)."""
    column, row = corners.mean(axis=(0, 1))
    return float(grey[round(float(row)), round(float(column))])
