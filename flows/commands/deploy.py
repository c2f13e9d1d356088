"""`casting deploy`: tell the Prefect server what runs by itself."""

from __future__ import annotations

import sys

from flows.commands.console import messages, plain_errors


def deploy() -> None:
    """Register work pools, deployments and automations with the Prefect server. `casting up` does it at each start."""
    from flows.settings import configure_prefect, load_settings

    with plain_errors():
        settings = load_settings()
        configure_prefect(settings)
        from flows import automations, deployments

        with messages.status("Registering the deployments ..."):
            registered = deployments.deploy(settings)
            left_out = automations.register(settings)
    if left_out:
        messages.print(
            f"Nobody is told when a run fails: make a notification block named {automations.PEOPLE} in Prefect's UI, "
            "then run casting deploy again.",
            highlight=False,
            soft_wrap=True,
        )
    for name in registered:
        sys.stdout.write(f"{name}\n")
