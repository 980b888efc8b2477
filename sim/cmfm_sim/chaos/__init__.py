"""Chaos: a whole line as processes, a seeded plan of what goes wrong with it, and its account checked from outside."""
