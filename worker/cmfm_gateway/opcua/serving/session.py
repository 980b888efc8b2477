"""A client's session: what it may do with its own subscriptions, and nothing with those of others."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_session import InternalSession, SessionState

from cmfm_gateway.opcua.serving import limits
from cmfm_gateway.opcua.serving.event_filter import EventWhere, filter_of, filter_status


class GuardedSession(InternalSession):
    """A session with limits, ownership of subscriptions, and methods by role."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.peer_certificate: bytes | None = None

    @property
    def is_closed(self) -> bool:
        """True once the session is closed."""
        return bool(self.state == SessionState.Closed)

    @property
    def may_control(self) -> bool:
        """True for a user that may call methods that change something."""
        return bool(getattr(self.user, "may_control", False))

    def activate_session(self, params: Any, peer_certificate: bytes | None) -> Any:
        """Activate for a user. A session goes over to another connection only with the same certificate."""
        if self.peer_certificate is not None and peer_certificate != self.peer_certificate:
            raise ServiceError(ua.StatusCodes.BadSecurityChecksFailed)
        result = super().activate_session(params, peer_certificate)
        self.peer_certificate = peer_certificate
        return result

    async def create_subscription(
        self, params: Any, callback: Callable[..., Any], request_callback: Callable[..., Any] | None = None
    ) -> Any:
        """Create a subscription with an interval and counts inside the limits."""
        if len(self._own_ids()) >= limits.MAX_SUBSCRIPTIONS_PER_SESSION:
            self.iserver.refusals.note("too_many_subscriptions", str(self.name))
            raise ServiceError(ua.StatusCodes.BadTooManySubscriptions)
        params.RequestedPublishingInterval = publishing_interval_ms(params.RequestedPublishingInterval)
        return await super().create_subscription(params, callback, request_callback)

    async def create_monitored_items(self, params: Any) -> list[Any]:
        """Create items one by one, so that a wrong one does not spoil the others."""
        subscription = self._own(params.SubscriptionId)
        items = _bounded(params.ItemsToCreate)
        return [await self._create_item(subscription, params, item) for item in items]

    async def _create_item(self, subscription: Any, params: Any, item: Any) -> Any:
        service = subscription.monitored_item_srv
        asked = item.RequestedParameters
        asked.Filter = filter_of(asked)
        refused = ua.MonitoredItemCreateResult()
        refused.StatusCode = ua.StatusCode(filter_status(item.ItemToMonitor, asked.Filter))
        if len(service._monitored_items) >= limits.MAX_ITEMS_PER_SUBSCRIPTION:
            refused.StatusCode = ua.StatusCode(ua.StatusCodes.BadTooManyMonitoredItems)
        if not refused.StatusCode.is_good():
            return refused
        single = ua.CreateMonitoredItemsParameters()
        single.SubscriptionId = params.SubscriptionId
        single.TimestampsToReturn = params.TimestampsToReturn
        single.ItemsToCreate = [item]
        (result,) = await super().create_monitored_items(single)
        made = service._monitored_items.get(result.MonitoredItemId)
        if made is not None and made.where_clause_evaluator is not None:
            made.where_clause_evaluator = EventWhere(self.aspace, made.filter.WhereClause)
        return result

    async def modify_monitored_items(self, params: Any) -> list[Any]:
        """Change items of an own subscription; queue sizes stay inside the limit."""
        known = self._own(params.SubscriptionId).monitored_item_srv._monitored_items
        return [
            await self._modify_item(known.get(item.MonitoredItemId), params, item)
            for item in _bounded(params.ItemsToModify)
        ]

    async def _modify_item(self, made: Any, params: Any, item: Any) -> Any:
        asked = item.RequestedParameters
        asked.Filter = filter_of(asked)
        status = ua.StatusCodes.BadMonitoredItemIdInvalid
        if made is not None:
            status = filter_status(made.read_value_id, asked.Filter or made.filter)
        if status:
            refused = ua.MonitoredItemModifyResult()
            refused.StatusCode = ua.StatusCode(status)
            return refused
        asked.QueueSize = min(max(int(asked.QueueSize), 1), limits.MAX_QUEUE)
        single = ua.ModifyMonitoredItemsParameters()
        single.SubscriptionId = params.SubscriptionId
        single.ItemsToModify = [item]
        (result,) = await super().modify_monitored_items(single)
        if made.where_clause_evaluator is not None:
            made.where_clause_evaluator = EventWhere(self.aspace, made.filter.WhereClause)
        return result

    async def delete_monitored_items(self, params: Any) -> list[Any]:
        """Delete items of an own subscription."""
        self._own(params.SubscriptionId)
        return list(await super().delete_monitored_items(params))

    async def set_monitoring_mode(self, params: Any) -> list[Any]:
        """Switch items of an own subscription."""
        self._own(params.SubscriptionId)
        return list(await super().set_monitoring_mode(params))

    async def set_publishing_mode(self, params: Any) -> list[Any]:
        """Switch own subscriptions; others are unknown."""
        return await self._each_own(params.SubscriptionIds, self._set_one_publishing_mode, params)

    async def _set_one_publishing_mode(self, number: int, params: Any) -> Any:
        single = ua.SetPublishingModeParameters()
        single.PublishingEnabled = params.PublishingEnabled
        single.SubscriptionIds = [number]
        return (await super().set_publishing_mode(single))[0]

    async def delete_subscriptions(self, ids: list[int]) -> list[Any]:
        """Delete own subscriptions; others are unknown."""
        return await self._each_own(ids, self._delete_one_subscription)

    async def _delete_one_subscription(self, number: int) -> Any:
        return (await super().delete_subscriptions([number]))[0]

    async def _each_own(self, ids: Iterable[int], action: Callable[..., Any], *args: Any) -> list[Any]:
        own = self._own_ids()
        unknown = ua.StatusCode(ua.StatusCodes.BadSubscriptionIdInvalid)
        return [await action(number, *args) if number in own else unknown for number in _bounded(ids)]

    def publish(self, acks: Iterable[Any] | None = None) -> tuple[int, list[Any]]:
        """Take acknowledgements of own subscriptions; return how many own subscriptions there are."""
        own = self._own_ids()
        if not own:
            raise ServiceError(ua.StatusCodes.BadNoSubscription)
        statuses = []
        for ack in _bounded(acks or ()):
            if ack.SubscriptionId in own:
                self.subscription_service.subscriptions[ack.SubscriptionId].publish([ack.SequenceNumber])
            good = ack.SubscriptionId in own
            statuses.append(ua.StatusCode(0 if good else ua.StatusCodes.BadSubscriptionIdInvalid))
        return len(own), statuses

    def republish(self, params: Any) -> Any:
        """Return a message that was sent and not acknowledged. Raises ServiceError without one."""
        waiting = self._own(params.SubscriptionId)._not_acknowledged_results
        if params.RetransmitSequenceNumber not in waiting:
            raise ServiceError(ua.StatusCodes.BadMessageNotAvailable)
        return waiting[params.RetransmitSequenceNumber].NotificationMessage

    def modify_subscription(self, params: Any) -> Any:
        """Return the values of an own subscription; they stay those of its creation."""
        self._own(params.SubscriptionId)
        return super().modify_subscription(params)

    async def transfer_subscriptions(self, params: Any, callback: Callable[..., Any]) -> list[Any]:
        """Take over subscriptions of a session of the same user and certificate."""
        results = []
        for number in _bounded(params.SubscriptionIds):
            result = ua.TransferResult()
            subscription = self.subscription_service.subscriptions.get(int(number))
            if subscription is None or not self._is_same_client(subscription.session_id):
                result.StatusCode = ua.StatusCode(ua.StatusCodes.BadSubscriptionIdInvalid)
            else:
                subscription.session_id = self.session_id
                subscription.pub_result_callback = callback
                subscription.pub_request_callback = callback.__self__.get_publish_request  # type: ignore[attr-defined]
                result.AvailableSequenceNumbers = sorted(subscription._not_acknowledged_results)
            results.append(result)
        return results

    def _is_same_client(self, session_id: Any) -> bool:
        for other in self.iserver._external_sessions.values():
            if other.session_id == session_id:
                return bool(
                    other.peer_certificate == self.peer_certificate and other.user.name == self.user.name
                )
        return False

    async def read(self, params: Any) -> list[Any]:
        """Read attributes of at most MAX_NODES nodes."""
        _bounded(params.NodesToRead)
        return list(await super().read(params))

    async def browse(self, params: Any) -> list[Any]:
        """Browse at most MAX_NODES nodes."""
        _bounded(params.NodesToBrowse)
        return list(await super().browse(params))

    async def translate_browsepaths_to_nodeids(self, params: Any) -> list[Any]:
        """Translate at most MAX_NODES paths."""
        return list(await super().translate_browsepaths_to_nodeids(_bounded(params)))

    async def write(self, params: Any) -> list[Any]:
        """Refuse every write: clients act by methods."""
        denied = ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)
        return [denied for _ in _bounded(params.NodesToWrite)]

    async def call(self, params: list[Any]) -> list[Any]:
        """Call methods of this server, as far as the user's role allows."""
        return [await self.iserver.methods.call(self, request) for request in _bounded(params)]

    def _own_ids(self) -> set[int]:
        subscriptions = self.subscription_service.subscriptions
        return {number for number, sub in subscriptions.items() if sub.session_id == self.session_id}

    def _own(self, number: int) -> Any:
        subscription = self.subscription_service.subscriptions.get(number)
        if subscription is None or subscription.session_id != self.session_id:
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)
        return subscription


def publishing_interval_ms(requested: float) -> float:
    """Return the publishing interval inside the limits; NaN and 0 mean the shortest."""
    if math.isnan(requested):
        return limits.MIN_PUBLISHING_MS
    return min(max(requested, limits.MIN_PUBLISHING_MS), limits.MAX_PUBLISHING_MS)


def _bounded(items: Iterable[Any]) -> list[Any]:
    """Return the items of a request. Raises ServiceError if there are none or too many."""
    listed = list(items or ())
    if len(listed) > limits.MAX_NODES:
        raise ServiceError(ua.StatusCodes.BadTooManyOperations)
    return listed
