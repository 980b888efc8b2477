"""Publishes what is retained: the line's state with every change and as a heartbeat, recipes, and health."""

import asyncio
import contextlib
import time

import structlog

from cmfm_gateway.gateway import Gateway
from cmfm_gateway.line_view import LineView
from cmfm_gateway.mqtt.client import BrokerClient, BrokerRefusedError
from cmfm_gateway.mqtt.counts import Counts
from cmfm_gateway.mqtt.outbox import Outbox
from cmfm_gateway.mqtt.payloads import (
    CONTENT_TYPE,
    GATEWAY_LOST,
    GATEWAY_STOPPED,
    HealthMessage,
    RecipeMessage,
    StateMessage,
    as_json,
)
from cmfm_gateway.mqtt.publication import Publication
from cmfm_gateway.mqtt.topics import Topics
from cmfm_gateway.settings.mqtt import MqttSection


def will(section: MqttSection) -> Publication:
    """The last will: *not valid*, retained, published by the broker when the gateway is gone."""
    return _not_valid(section, GATEWAY_LOST)


def farewell(section: MqttSection) -> Publication:
    """The last message of a gateway that stops in good order."""
    return _not_valid(section, GATEWAY_STOPPED)


def _not_valid(section: MqttSection, cause: str) -> Publication:
    message = StateMessage(False, cause, lost=0, newest_number=0, sent_ns=time.time_ns(), worker=None)
    return Publication(
        Topics(section.site, section.line).state, as_json(message), retain=True, content_type=CONTENT_TYPE
    )


class LineReports:
    """Publishes state, recipe and health over one connection after another."""

    def __init__(self, gateway: Gateway, section: MqttSection, counts: Counts, outbox: Outbox) -> None:
        self._gateway = gateway
        self._section = section
        self._counts = counts
        self._outbox = outbox
        self._topics = Topics(section.site, section.line)
        self._log = structlog.get_logger("mqtt")

    async def run(self, client: BrokerClient) -> None:
        """Publish until the connection ends. Raises MqttError if the broker does not acknowledge in time."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._states(client))
            tasks.create_task(self._health(client))

    async def _states(self, client: BrokerClient) -> None:
        """Publish the state at once when the view changes, and at least once a heartbeat."""
        seen, recipes = -1, None
        while True:
            view = self._gateway.view
            await self._publish(client, self._state(view))
            if (shown := (view.valid, view.state.recipes if view.state else ())) != recipes:
                recipes = shown
                await self._publish(client, self._recipe(view))
            seen = await self._next_view(seen, view)

    async def _next_view(self, seen: int, shown: LineView) -> int:
        """Wait for another view than the one shown, at most for a heartbeat; results alone do not count."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._section.heartbeat_s):
                while self._gateway.view == shown:
                    seen = await self._gateway.changed(seen)
        return seen

    async def _health(self, client: BrokerClient) -> None:
        while True:
            await self._publish(client, self._health_message())
            await asyncio.sleep(self._section.health_s)

    async def _publish(self, client: BrokerClient, publication: Publication) -> None:
        """Publish; a refusal is counted and logged, and the next message is tried all the same."""
        if publication.size > client.max_packet:
            self._counts.add("refused")
            self._log.warning("mqtt_too_large", topic=publication.topic, limit=client.max_packet)
            return
        try:
            await client.publish_now(publication)
        except BrokerRefusedError as refused:
            self._counts.add("refused")
            self._log.warning("mqtt_refused", topic=publication.topic, why=str(refused))

    def _state(self, view: LineView) -> Publication:
        message = StateMessage(
            valid=view.valid,
            cause=str(view.cause),
            lost=view.lost,
            newest_number=self._gateway.store.newest(),
            sent_ns=time.time_ns(),
            worker=view.state,
        )
        return Publication(
            self._topics.state,
            as_json(message),
            retain=True,
            expiry_s=self._section.state_expiry_s,
            content_type=CONTENT_TYPE,
        )

    def _recipe(self, view: LineView) -> Publication:
        newest = self._gateway.store.by_number(self._gateway.store.newest())
        message = RecipeMessage(
            valid=view.valid,
            recipes=view.state.recipes if view.state else (),
            newest=newest.result.recipe if newest else "",
            requests=self._section.recipe_requests,
            sent_ns=time.time_ns(),
        )
        return Publication(self._topics.recipe, as_json(message), retain=True, content_type=CONTENT_TYPE)

    def _health_message(self) -> Publication:
        confirmed = self._outbox.confirmed
        message = HealthMessage(
            **self._counts.all(),
            confirmed=confirmed,
            backlog=max(self._gateway.store.newest() - confirmed, 0),
            sent_ns=time.time_ns(),
        )
        return Publication(self._topics.health, as_json(message), retain=True, content_type=CONTENT_TYPE)
