"""The support plane (tray, table, belt) of a frame: RANSAC as batched tensor operations.

The literature fits the plane to the image border, which fails if the support reaches the border on one side only.
Fitted to all points, the plane would be the flat top of a large part. A support differs from a part in that the
sensor sees nothing *shortly behind* it. So the score of a hypothesis is the number of points on it, with points near
the image border counted several times, minus a penalty for every point behind it. Points far behind (a floor beside
the belt) cost nothing. This fails if a flat top covers more than 80 % of the picture, if a floor lies nearer than
"far", or if the floor is larger than the belt in the picture.

A frame's plane does not depend on its batch: choices are made by exact operations alone (counts, unfused float32
products, a fixed sequence in place of random numbers), and sums are in float64. Nothing here waits for the device.
"""

import torch
from torch import Tensor

SAMPLE_STEP_PX = 4  # every fourth pixel of the 224×224 grid in both directions: 3136 points
HYPOTHESES = (
    256  # half of them through points near the border; a few good ones suffice, because they are refined
)
FINALISTS = 32  # the best hypotheses on some of the points, which are then scored on all points
FINALISTS_STEP = 9  # every ninth point; 9 does not divide the 56 of a row, so they lie all over the picture
RING_PX = 14  # "near the border": the outer sixteenth of the grid on each side
RING_WEIGHT = 6.0  # a point there counts as six: the tray reaches there, a part seldom does
# A point is on a plane within 0.4 of the removal distance, and behind it beyond 0.6. Two faces that are the removal
# distance apart, one to be removed and one to be kept, can then not both be on one plane.
ON = 0.4
BEHIND = 0.6
FAR_BEHIND = 0.15  # of the points' distance from the sensor: parts are flatter, floors lie deeper
BEHIND_PENALTY = (
    4.0  # a point behind costs as much as four on the plane gain: a tray needs a fifth of the points
)
MIN_SHARE = 0.05  # the least score of a support, as a share of all weighted points
REFINEMENTS = 4
# Multiples of 1/g, 1/g² and 1/g³ with g⁴ = g + 1 fill the cube evenly (Kronecker sequence). In units of 2⁻²⁰.
KRONECKER = (858_965, 703_640, 576_403)
UNIT = 1 << 20
FRAMES_AT_ONCE = 16  # off the CPU, where a frame needs 13 MB of working space
HEIGHTS_AT_ONCE = 50_000  # on the CPU, frame by frame: larger arrays do not fit its caches


def signed_height(xyz: Tensor, plane: Tensor) -> Tensor:
    """Compute every point's distance to its frame's plane, positive towards the sensor: (B, ...) metres.

    `xyz` (B, 3, ...) float32 metres, `plane` (B, 4) float32. The result is NaN if the plane is NaN.
    """
    a, b, c, d = (plane[:, i].reshape(-1, *(1,) * (xyz.ndim - 2)) for i in range(4))
    return a * xyz[:, 0] + b * xyz[:, 1] + c * xyz[:, 2] + d


def common_plane(planes: Tensor, tray_points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the median (4,) float32 of the planes (F, 4) of one tray, and each plane's greatest distance (F,) metres.

    Planes are compared by their heights at `tray_points` (R, 3), R ≥ 3 points spread over the tray. A normal alone says
    little about places far from the sensor.
    """
    points, n = tray_points.double(), planes[0, :3].double()
    height = points @ planes[:, :3].double().T + planes[:, 3].double()  # R F: points over planes
    median = height.median(1, keepdim=True).values
    on_median = (
        points - median * n
    )  # planes are nearly parallel: any of their normals measures the same height
    centre = on_median.mean(0)
    normal = torch.linalg.svd(on_median - centre, full_matrices=False).Vh[2][None]
    plane = _towards_sensor(normal, -(normal @ centre)[:, None])[0]
    return plane.float(), (height - median).abs().amax(0)


def find_support_planes(xyz: Tensor, valid: Tensor, edge_px: Tensor, distance_m: float) -> Tensor:
    """Find the support plane of every frame: (B, 4) float32, unit normal towards the sensor and offset; NaN without
    one.

    `xyz` (B, 3, 224, 224) float32 metres with the sensor at the origin; `valid` (B, 224, 224) bool; `edge_px` (224,
    224) integer, grid pixels to the nearest edge of the image; `distance_m` the removal distance.
    """
    half = SAMPLE_STEP_PX // 2
    grid = (..., slice(half, None, SAMPLE_STEP_PX), slice(half, None, SAMPLE_STEP_PX))
    ok = valid[grid].flatten(1)
    points = torch.where(
        ok[:, None], xyz[grid].flatten(2), torch.nan
    )  # NaN is neither on a plane nor behind it
    ring = edge_px[grid].flatten() < RING_PX
    at_once = 1 if xyz.device.type == "cpu" else FRAMES_AT_ONCE
    chunks = zip(torch.split(points, at_once), torch.split(ok, at_once), strict=True)
    return torch.cat([_find(some, usable, ring, distance_m) for some, usable in chunks])


def _find(points: Tensor, ok: Tensor, ring: Tensor, distance_m: float) -> Tensor:
    """Find the planes (B, 4) of the sampled `points` (B, 3, N); `ok` (B, N) and `ring` (N,) bool."""
    weight = torch.where(ring, RING_WEIGHT, 1.0)
    planes = torch.cat([_hypotheses(points, ok), _hypotheses(points, ok & ring)], dim=2)
    far_m = FAR_BEHIND * _dot(points, points).sqrt().nanmedian(2).values[..., None]  # B 1 1
    few = (..., slice(None, None, FINALISTS_STEP))
    for some, usual, number in ((points[few], weight[few], FINALISTS), (points, weight, 1)):
        score = _score_all(some.contiguous(), planes, usual.contiguous(), distance_m, far_m)
        planes = _best(planes, score, number)
    plane = planes[..., 0]
    for _ in range(REFINEMENTS):
        plane = _refine(points, plane, distance_m)
    share = _score(points, plane[..., None], weight, distance_m, far_m)[:, 0] / (ok * weight).sum(1)
    return torch.where((share >= MIN_SHARE)[:, None], plane, torch.nan)


def _best(planes: Tensor, score: Tensor, number: int) -> Tensor:
    """Return the planes (B, 4, `number`) of the highest scores (B, K), best first; of equal ones the first."""
    order = torch.sort(score, dim=1, descending=True, stable=True).indices[:, None, :number]
    return planes.gather(2, order.expand(-1, 4, -1))


def _score_all(points: Tensor, planes: Tensor, weight: Tensor, distance_m: float, far_m: Tensor) -> Tensor:
    """Compute `_score` for any number of planes, in chunks."""
    at_once = max(1, HEIGHTS_AT_ONCE // points.shape[2]) if points.device.type == "cpu" else HYPOTHESES
    chunks = torch.split(planes, at_once, dim=2)
    return torch.cat([_score(points, some, weight, distance_m, far_m) for some in chunks], dim=1)


def _hypotheses(points: Tensor, usable: Tensor) -> Tensor:
    """Return planes through triples of the usable points (B, N): (B, 4, HYPOTHESES / 2); NaN if collinear."""
    number = HYPOTHESES // 2
    count = usable.sum(1)[:, None, None]
    order = torch.argsort((~usable).byte(), dim=1, stable=True)  # the usable ones first
    step = torch.arange(1, number + 1, device=points.device)
    spread = torch.stack([step * factor % UNIT for factor in KRONECKER])
    chosen = order.gather(1, (spread * count // UNIT).flatten(1))  # B 3·K
    p, q, r = points.gather(2, chosen[:, None].expand(-1, 3, -1)).view(-1, 3, 3, number).unbind(2)  # B 3 K
    normal = torch.linalg.cross(q - p, r - p, dim=1)
    normal = normal / _dot(normal, normal).sqrt()
    return _towards_sensor(normal, -_dot(normal, p))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Compute the dot product over the three coordinates in dimension 1, which is kept. The order of sums is fixed."""
    return a[:, :1] * b[:, :1] + a[:, 1:2] * b[:, 1:2] + a[:, 2:] * b[:, 2:]


def _towards_sensor(normal: Tensor, offset: Tensor) -> Tensor:
    sign = torch.where(offset < 0, -1.0, 1.0)  # the offset is the height of the origin, where the sensor is
    return torch.cat([normal * sign, offset * sign], dim=1)


def _score(points: Tensor, planes: Tensor, weight: Tensor, distance_m: float, far_m: Tensor) -> Tensor:
    """Compute the weight of the points on each plane minus the penalty for those behind it: (B, 4, K) → (B, K).

    The sums are of small whole numbers, so they are exact in any order and precision of the device's products.
    """
    a, b, c, d = planes[..., None].unbind(1)  # B K 1
    x, y, z = points[:, :, None].unbind(1)  # B 1 N
    height = a * x + b * y + c * z + d
    on = (height.abs() < ON * distance_m).float() @ weight
    behind = ((height < -BEHIND * distance_m) & (height > -far_m)).float() @ weight
    return on - BEHIND_PENALTY * behind


def _refine(points: Tensor, plane: Tensor, distance_m: float) -> Tensor:
    """Fit planes (B, 4) to the points on `plane` by least squares.

    Heights over the plane are a linear function of the place on it, which has two unknowns and a closed solution.
    """
    on = signed_height(points, plane).abs() < ON * distance_m
    number = on.sum(1, keepdim=True)
    centre = torch.where(on[:, None], points, 0.0).double().sum(2) / number
    q = torch.where(
        on[:, None], points - centre[..., None], 0.0
    )  # centred: otherwise squares would drown heights
    n = plane[:, :3].double()
    axis = torch.arange(3, device=n.device) == n.abs().argmin(1, keepdim=True)  # the one farthest from n
    u = torch.linalg.cross(n, axis.double())
    u = u / _dot(u, u).sqrt()
    v = torch.linalg.cross(n, u)
    s, t, h = ((along[..., None] * q).sum(1) for along in (u, v, n))
    ss, st, tt, sh, th = ((i * j).sum(1, keepdim=True) for i, j in ((s, s), (s, t), (t, t), (s, h), (t, h)))
    determinant = ss * tt - st * st
    normal = n - (sh * tt - th * st) / determinant * u - (th * ss - sh * st) / determinant * v
    normal = normal / _dot(normal, normal).sqrt()
    refined = _towards_sensor(normal, -_dot(normal, centre)).float()
    return torch.where((number >= 3) & (determinant > 0), refined, plane)
