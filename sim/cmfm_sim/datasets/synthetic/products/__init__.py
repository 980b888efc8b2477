"""The products, one module each."""

from collections.abc import Mapping
from types import MappingProxyType

from cmfm_sim.datasets.synthetic.category import CategorySpec
from cmfm_sim.datasets.synthetic.products.biscuit import BISCUIT
from cmfm_sim.datasets.synthetic.products.circuit import CIRCUIT
from cmfm_sim.datasets.synthetic.products.handle import HANDLE
from cmfm_sim.datasets.synthetic.products.praline import PRALINE
from cmfm_sim.datasets.synthetic.products.valve_block import VALVE_BLOCK

CATEGORIES: Mapping[str, CategorySpec] = MappingProxyType(
    {spec.name: spec for spec in (BISCUIT, CIRCUIT, HANDLE, PRALINE, VALVE_BLOCK)}
)
