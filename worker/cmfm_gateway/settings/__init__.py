"""Settings of the gateway: `gateway.toml` and the `CMFM_GATEWAY_…` variables become one frozen `GatewaySettings`.

In: a TOML file and the environment. Out: validated values with descriptions and sources, or an InputError. Once, on the
main thread. One file a section; `model` has the rules across sections, `load` reads.
"""
