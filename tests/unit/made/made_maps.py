"""Maps of a part, as its map message has them."""

import numpy as np

from cmfm_protocol.wire.anomaly_map import AnomalyMaps
from cmfm_protocol.wire.result import Result

SIDE = 224


def maps_of(result: Result, *, defect: bool = False) -> AnomalyMaps:
    """Maps of a grey disc on a tray; with a defect Ψ has a peak at row 100, column 120."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    foreground = np.hypot(rows - 112, columns - 112) < 90
    psi = np.full((SIDE, SIDE), 0.1, np.float32)
    if defect:
        psi += np.exp(-((rows - 100) ** 2 + (columns - 120) ** 2) / 200).astype(np.float32)
    rgb = np.where(foreground[..., None], 160, 60).astype(np.uint8).repeat(3, axis=2)
    depth = np.where(foreground, 0.48, 0.5).astype(np.float32)
    return AnomalyMaps(
        map_ref=f"{result.boot_id}/{result.result_id}",
        result_id=result.result_id,
        boot_id=result.boot_id,
        stream_uuid=result.stream_uuid,
        seq=result.seq,
        part_id=result.part_id,
        recipe=result.recipe,
        threshold=result.threshold,
        score=result.score,
        verdict=result.verdict,
        psi=psi,
        psi_2d=psi,
        psi_3d=psi,
        rgb=rgb,
        depth=depth,
        foreground=foreground,
    )
