"""Data sets the simulator can show to a worker: recorded ones and ones it makes itself."""
