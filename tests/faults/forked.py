"""What the parent of all commands has ready when it forks them: see `commands`. Nothing else imports this."""

import gc

import apprise.plugins  # noqa: F401
import fastapi  # noqa: F401
import matplotlib.figure  # noqa: F401
import s3fs  # noqa: F401
import torchvision  # noqa: F401

import casting_core.scoring  # noqa: F401
import flows.alert_picture
import flows.automations
import flows.cli
import flows.deployments
import flows.score  # noqa: F401
import tests.faults.commands  # noqa: F401
from casting_core.alert_channels import parse_channels

# Apprise loads its hundred kinds of channels when the first is opened.
parse_channels("warm:=json://127.0.0.1/")
# What is here to stay is not looked at, and so not copied, by the collections of each child.
gc.collect()
gc.freeze()
