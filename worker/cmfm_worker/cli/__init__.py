"""The commands of `cmfm-worker`, one a module; heavy imports wait until a command runs."""
