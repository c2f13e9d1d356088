"""`casting deploy`: tell the Prefect server what runs by itself."""

from __future__ import annotations

import sys

from flows.commands.console import messages, plain_errors


def deploy() -> None:
    """Register work pools, queues and deployments with the Prefect server. `casting up` does it at each start."""
    from flows.settings import configure_prefect, load_settings

    with plain_errors():
        settings = load_settings()
        configure_prefect(settings)
        from flows.deployments import deploy

        with messages.status("Registering the deployments ..."):
            registered = deploy(settings)
    for name in registered:
        sys.stdout.write(f"{name}\n")
