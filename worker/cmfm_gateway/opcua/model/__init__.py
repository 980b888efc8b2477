"""The companion model of OPC 40100-1 Machine Vision as tables of our own.

In: nothing. Out: node types, data types, states and transitions with the node ids of the published model, and `build`,
which adds them to the address space of a server. A test holds ids, types and modelling rules to the published file.
"""
