"""MQTT 5: results, line state, recipes, health and pictures for an MES, with store and forward.

In: numbered results of the gateway's store, the newest line view, requests of subscribers. Out: JSON at QoS 1 on
`cmfm/<site>/<line>/…`. A result's place in the store is confirmed when the broker has acknowledged it, never before.
`payloads`, `topics` and `outbox` are pure; `client` is the connection; `adapter` connects again and again.
Everything runs in the gateway's asyncio loop; the maps for pictures are received by one thread.
"""
