"""Requests by topic: the picture of a part, and another recipe if the settings allow that.

A request has a response topic and correlation data (MQTT 5); the reply goes there with the same correlation data. The
broker says who may ask. A reply never goes to a topic that others of ours trust.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeGuard

import aiomqtt
import structlog

from cmfm_client.errors import NoReplyError, RefusedError
from cmfm_gateway.gateway import Gateway
from cmfm_gateway.mqtt.client import BrokerClient, BrokerRefusedError
from cmfm_gateway.mqtt.counts import Counts
from cmfm_gateway.mqtt.payloads import CONTENT_TYPE, as_json
from cmfm_gateway.mqtt.pictures import Picture, Pictures
from cmfm_gateway.mqtt.publication import Publication
from cmfm_gateway.mqtt.topics import Topics
from cmfm_gateway.settings.mqtt import MqttSection
from cmfm_gateway.store import StoredResult
from cmfm_protocol.wire.limits import MAX_COUNT, MAX_REQUEST_BYTES, MAX_TEXT_BYTES, NAME_PATTERN, NAME_RULE

WAITING: Final = 8
"""Requests that wait for the one before them; further ones are refused."""

MAX_CORRELATION_BYTES: Final = 256

RESERVED: Final = ("$", "cmfm/", "spBv1.0/")
"""Replies never go to topics that begin so: whoever may ask could otherwise speak with the gateway's voice."""

_NAME: Final = re.compile(NAME_PATTERN)
_WILDCARDS: Final = re.compile(r"[+#\x00]")

Serve = Callable[[dict[str, Any]], Awaitable[dict[str, Any] | Picture]]


class RequestError(Exception):
    """A request that cannot be served; the message goes to whoever asked."""


class Requests:
    """Serves requests one by one, over one connection after another."""

    def __init__(self, gateway: Gateway, section: MqttSection, counts: Counts, pictures: Pictures) -> None:
        self._gateway = gateway
        self._section = section
        self._counts = counts
        self._topics = Topics(section.site, section.line)
        self._log = structlog.get_logger("mqtt")
        self._pictures = pictures
        self._serve: dict[str, Serve] = {}
        if section.pictures:
            self._serve[self._topics.picture_request] = self._picture
        if section.recipe_requests:
            self._serve[self._topics.recipe_request] = self._recipe

    async def run(self, client: BrokerClient) -> None:
        """Serve until the connection ends, which this method is the one to notice. Raises MqttError."""
        waiting: asyncio.Queue[aiomqtt.Message] = asyncio.Queue(WAITING)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take(client, waiting))
            tasks.create_task(self._work(client, waiting))

    async def _take(self, client: BrokerClient, waiting: "asyncio.Queue[aiomqtt.Message]") -> None:
        for topic in self._serve:
            try:
                await client.subscribe_to(topic)
            except BrokerRefusedError as refused:
                self._counts.add("refused")
                self._log.warning("mqtt_refused", topic=topic, why=str(refused))
        async for message in client.messages:
            try:
                waiting.put_nowait(message)
            except asyncio.QueueFull:
                await self._reply(client, message, _error("too many requests; ask again later"))

    async def _work(self, client: BrokerClient, waiting: "asyncio.Queue[aiomqtt.Message]") -> None:
        while True:
            message = await waiting.get()
            await self._reply(client, message, await self._answer(message))

    async def _answer(self, message: aiomqtt.Message) -> dict[str, Any] | Picture:
        serve = self._serve.get(str(message.topic))
        if serve is None or message.retain:
            return _error("not a request that is served here")
        try:
            return await serve(_read(message.payload))
        except RequestError as error:
            return _error(str(error))
        except (NoReplyError, RefusedError) as error:
            return _error(f"the worker: {error}")

    async def _recipe(self, request: dict[str, Any]) -> dict[str, Any]:
        recipe = request.get("recipe")
        if not isinstance(recipe, str) or not _NAME.fullmatch(recipe):
            raise RequestError(f"recipe: {NAME_RULE}")
        self._log.info("mqtt_recipe_requested", recipe=recipe)
        await self._gateway.load_recipe(recipe)
        return {"ok": True, "error": "", "recipe": recipe}

    async def _picture(self, request: dict[str, Any]) -> Picture:
        stored = self._wanted(request)
        picture = await asyncio.to_thread(self._pictures.find, stored.result)
        if picture is None:
            raise RequestError(
                f"no picture of {stored.result.part_id or 'that part'}: it was not kept, or is no longer there"
            )
        self._counts.add("pictures")
        return picture

    def _wanted(self, request: dict[str, Any]) -> StoredResult:
        """The result that a request names, by `boot_id` and `result_id` or by `part_id`."""
        part_id, boot_id, result_id = (request.get(key) for key in ("part_id", "boot_id", "result_id"))
        if _is_text(part_id):
            found: StoredResult | None = self._gateway.store.by_part(part_id)
        elif _is_text(boot_id) and type(result_id) is int and 1 <= result_id <= MAX_COUNT:
            found = self._gateway.store.by_wire_id(boot_id, result_id)
        else:
            raise RequestError("name part_id, or boot_id and result_id")
        if found is None:
            raise RequestError("no such result")
        return found

    async def _reply(
        self, client: BrokerClient, message: aiomqtt.Message, answer: dict[str, Any] | Picture
    ) -> None:
        if isinstance(answer, dict) and not answer["ok"]:
            self._counts.add("requests_refused")
            self._log.warning("mqtt_request_refused", topic=str(message.topic), why=answer["error"])
        topic = getattr(message.properties, "ResponseTopic", "")
        correlation = getattr(message.properties, "CorrelationData", b"")
        if not _may_answer_on(topic) or len(correlation) > MAX_CORRELATION_BYTES:
            return
        publication = _publication(topic, correlation, answer)
        if publication.size > client.max_packet:
            publication = _publication(
                topic, correlation, _error("the picture is larger than the broker takes")
            )
        with contextlib.suppress(
            BrokerRefusedError
        ):  # whoever asked may not be answered there; nobody else is concerned
            await client.publish_now(publication)


def _is_text(value: object) -> TypeGuard[str]:
    """Tell whether a value can be an id: JSON also holds lone surrogates, which no file and no store takes."""
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= MAX_TEXT_BYTES


def _may_answer_on(topic: str) -> bool:
    return bool(topic) and not topic.startswith(RESERVED) and not _WILDCARDS.search(topic)


def _publication(topic: str, correlation: bytes, answer: dict[str, Any] | Picture) -> Publication:
    if isinstance(answer, dict):
        return Publication(topic, as_json(answer), content_type=CONTENT_TYPE, answers=correlation)
    user = (("boot_id", answer.boot_id), ("result_id", str(answer.result_id)), ("source", answer.source))
    return Publication(topic, answer.png, content_type="image/png", user=user, answers=correlation)


def _error(text: str) -> dict[str, Any]:
    return {"ok": False, "error": text}


def _read(payload: object) -> dict[str, Any]:
    """The JSON object of a request. Raises RequestError."""
    if not isinstance(payload, bytes) or len(payload) > MAX_REQUEST_BYTES:
        raise RequestError(f"a request has at most {MAX_REQUEST_BYTES} bytes")
    try:
        request = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"not JSON: {error}") from None
    if not isinstance(request, dict):
        raise RequestError("expected a JSON object")
    return request
