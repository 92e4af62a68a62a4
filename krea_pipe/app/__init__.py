"""The flow, the Python API, event logs, notification and maintenance."""
