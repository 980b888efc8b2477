"""Clients of an inspection line: cameras, result subscribers and requests, over ZeroMQ."""
