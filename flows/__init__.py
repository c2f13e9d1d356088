"""The business story: Prefect flows, the settings they read, and the `casting` command."""
