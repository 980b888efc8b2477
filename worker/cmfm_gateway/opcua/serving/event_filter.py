"""Event filters of clients: which are taken, and how their conditions are evaluated.

The library compares OfType exactly and without subtypes, evaluates filters that share branches in exponential time, and
takes a select clause by any name of a Python attribute.
"""

import operator
from collections.abc import Callable
from typing import Any, Final

from asyncua import ua

from cmfm_gateway.opcua.serving import limits

_COMPARISONS: Final[dict[Any, Callable[[Any, Any], Any]]] = {
    ua.FilterOperator.Equals: operator.eq,
    ua.FilterOperator.GreaterThan: operator.gt,
    ua.FilterOperator.LessThan: operator.lt,
    ua.FilterOperator.GreaterThanOrEqual: operator.ge,
    ua.FilterOperator.LessThanOrEqual: operator.le,
}

_OPERANDS: Final = {
    **dict.fromkeys(_COMPARISONS, 2),
    ua.FilterOperator.IsNull: 1,
    ua.FilterOperator.Not: 1,
    ua.FilterOperator.OfType: 1,
    ua.FilterOperator.And: 2,
    ua.FilterOperator.Or: 2,
    ua.FilterOperator.Between: 3,
    ua.FilterOperator.InList: 2,
}
"""Operators that are evaluated, and how many operands each needs at least."""


def filter_of(parameters: Any) -> Any:
    """Return the filter of a monitored item; None for none, which the library decodes as an empty object."""
    given = parameters.Filter
    return None if isinstance(given, ua.ExtensionObject) and given.Body is None else given


def filter_status(item: Any, event_filter: Any) -> int:
    """Return 0 if a monitored item may have the filter, else the status code that says why not."""
    if item.AttributeId != ua.AttributeIds.EventNotifier:
        if event_filter is None:
            return 0
        if not isinstance(event_filter, ua.DataChangeFilter):
            return int(ua.StatusCodes.BadFilterNotAllowed)
        plain = event_filter.DeadbandType == ua.DeadbandType.None_
        return 0 if plain else int(ua.StatusCodes.BadMonitoredItemFilterUnsupported)
    if not isinstance(event_filter, ua.EventFilter):
        return int(ua.StatusCodes.BadEventFilterInvalid)
    if not 0 < len(event_filter.SelectClauses) <= limits.MAX_SELECT_CLAUSES:
        return int(ua.StatusCodes.BadEventFilterInvalid)
    return 0 if _is_tree(event_filter.WhereClause) else int(ua.StatusCodes.BadContentFilterInvalid)


def _is_tree(where: Any) -> bool:
    """Tell whether each element is known and refers to later elements, each referred to once (OPC 10000-4, 7.7)."""
    elements = list(where.Elements or ()) if where is not None else []
    if len(elements) > limits.MAX_WHERE_ELEMENTS:
        return False
    referred: set[int] = set()
    for index, element in enumerate(elements):
        operands = list(element.FilterOperands or ())
        if len(operands) < _OPERANDS.get(element.FilterOperator, len(operands) + 1):
            return False
        for operand in operands:
            if isinstance(operand, ua.ElementOperand):
                if not index < operand.Index < len(elements) or operand.Index in referred:
                    return False
                referred.add(operand.Index)
            elif not isinstance(operand, ua.LiteralOperand | ua.SimpleAttributeOperand):
                return False
    return True


class EventWhere:
    """The condition of one monitored item, in place of the library's."""

    def __init__(self, space: Any, where: Any) -> None:
        self._space = space
        self._elements = list(where.Elements or ()) if where is not None else []

    def eval(self, event: Any) -> bool:
        """Tell whether the event is to be sent. A condition that cannot be evaluated is false."""
        if not self._elements:
            return True
        try:
            return bool(self._element(0, event))
        except (TypeError, ValueError):  # values that cannot be compared
            return False

    def _element(self, index: int, event: Any) -> Any:
        element = self._elements[index]
        kind, operands = element.FilterOperator, element.FilterOperands
        first = self._operand(operands[0], event)
        if kind == ua.FilterOperator.And:
            return first and self._operand(operands[1], event)
        if kind == ua.FilterOperator.Or:
            return first or self._operand(operands[1], event)
        if kind == ua.FilterOperator.Not:
            return not first
        if kind == ua.FilterOperator.IsNull:
            return first is None
        if kind == ua.FilterOperator.OfType:
            return self._is_of_type(event.event_type, first)
        others = [self._operand(operand, event) for operand in operands[1:]]
        if kind == ua.FilterOperator.InList:
            return first in others
        if kind == ua.FilterOperator.Between:
            return others[0] <= first <= others[1]
        return _COMPARISONS[kind](first, others[0])

    def _operand(self, operand: Any, event: Any) -> Any:
        if isinstance(operand, ua.ElementOperand):
            return self._element(operand.Index, event)
        if isinstance(operand, ua.LiteralOperand):
            return operand.Value.Value if operand.Value is not None else None
        return event.field(operand).Value

    def _is_of_type(self, event_type: Any, asked: Any) -> bool:
        """Tell whether a type is the one that was asked for or derived from it."""
        current = event_type
        while current is not None:
            if current == asked:
                return True
            node = self._space.get(current)
            bases = [
                ref.NodeId
                for ref in (node.references if node is not None else ())
                if not ref.IsForward and ref.ReferenceTypeId == ua.NodeId(ua.ObjectIds.HasSubtype)
            ]
            current = bases[0] if bases else None
        return False
