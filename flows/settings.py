"""Every setting of the product, from `CASTING_*` in the environment. Nothing else reads the environment."""

from __future__ import annotations

import getpass
import os
import re
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from casting_core.alert_channels import Channel, parse_channels
from casting_core.layout import DEFAULT_LAYOUT, KeyLayout
from flows.running import read_running


class Settings(BaseSettings):
    """What a plant may set. Every default works on a machine where nothing is installed."""

    model_config = SettingsConfigDict(
        env_prefix="CASTING_",
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        # A setting that cannot be used may be a secret.
        hide_input_in_errors=True,
    )

    home: Path = Field(default=Path(".casting"), description="Holds the embedded database, local bucket and models.")
    database_url: SecretStr | None = Field(default=None, description="postgresql:// URL; embedded Postgres if not set.")
    images_url: str | None = Field(default=None, description="Where line images arrive: any fsspec URL.")
    images_layout: str = Field(default=DEFAULT_LAYOUT, description="How keys tell line, part, view and time.")
    images_timezone: str = Field(default="UTC", description="The time zone of the times in the keys.")
    models_url: str | None = Field(default=None, description="Where model artifacts lie: any fsspec URL.")
    archive_url: str | None = Field(default=None, description="Where archived months lie: any fsspec URL.")
    s3_endpoint_url: str | None = Field(default=None, description="For an S3 service other than Amazon's.")
    s3_region: str | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None
    s3_client: Literal["s3fs", "obstore"] = Field(
        default="s3fs", description="What reads objects of S3; obstore (an extra) takes less of the processor."
    )
    lookback_hours: float = Field(default=48, gt=0, description="How far back a run looks for late images.")
    reconcile_days: float = Field(
        default=7, ge=0, description="Days of the bucket that the nightly upkeep compares with the database; 0: none."
    )
    settle_seconds: float = Field(default=30, ge=0, description="Files younger than this are left for the next run.")
    chunk_size: int = Field(default=256, gt=0, description="Images that one task claims at a time.")
    chunks_in_flight: int = Field(
        default=4, gt=0, description="Chunks that one process judges at once, so that their stages overlap."
    )
    task_runner: str = Field(
        default="threads", description="What judges the chunks: threads, or dask://HOST:PORT of a Dask scheduler."
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_size: int | None = Field(default=None, gt=0, description="Images a forward pass; by device if not set.")
    chunk_retries: int = Field(default=4, ge=0, description="Further tries of a chunk when storage or database fail.")
    retry_delay_seconds: float = Field(
        default=5, ge=0, description="Wait before the first retry; it doubles each time."
    )
    prefect_host: str = Field(default="127.0.0.1", description="The address at which `casting up` serves Prefect.")
    prefect_port: int = Field(default=4200, gt=0, lt=65536, description="The port at which it serves Prefect.")
    prefect_auth: SecretStr | None = Field(
        default=None, description="user:password that Prefect's server asks for; needed beyond 127.0.0.1."
    )
    metrics_host: str = Field(default="127.0.0.1", description="The address of `casting up`'s figures for Prometheus.")
    metrics_port: int = Field(default=9464, ge=0, lt=65536, description="Their port; 0 serves none.")
    log_format: Literal["text", "json"] = Field(default="text", description="How services and runs write their logs.")
    backups_kept: int = Field(default=14, ge=0, description="Nightly backups of the embedded database; 0 makes none.")
    score_cron: str = Field(default="5 * * * *", description="When the hourly job runs, as a cron expression.")
    schedule_timezone: str = Field(default="UTC", description="The time zone of all schedules.")

    alert_ratio: float = Field(
        default=2, gt=1, description="The climb worth knowing of, as a multiple of the baseline."
    )
    alert_budget_days: float = Field(default=30, gt=0, description="Days to one false alarm, over all lines and kinds.")
    alert_streams: str = Field(
        default="", description="Part attributes whose values are watched beside the lines, as in 'mould, furnace'."
    )
    alert_silent_hours: int = Field(
        default=2, gt=0, description="Usual hours without a picture of a line until an alert."
    )
    alert_stalled_hours: float = Field(
        default=3, gt=0, description="Hours without a completed run, or with pictures waiting, until an alert."
    )
    training_data: str | None = Field(
        default=None, description="Labelled images beside the database's: folder per class, zip or manifest."
    )
    auto_promote: bool = Field(default=True, description="Whether a model that passes the gate serves at once.")
    pretrained: str = Field(
        default="imagenet", description="Weights that training starts from: a file, 'imagenet' to download, or 'none'."
    )
    user: str | None = Field(default=None, description="Who changes labels and models; the system's user by default.")
    alert_urls: SecretStr = Field(
        default=SecretStr(""), description="Channels for alerts, [NAME:][SEVERITY][@LINE,...]=APPRISE-URL each."
    )
    alert_link: str | None = Field(
        default=None, description="Page about an alert; {alert_id}, {line} and {kind} are filled in."
    )
    alert_timezone: str | None = Field(
        default=None, description="Time zone of messages; that of the images if not set."
    )
    alert_timeout_seconds: float = Field(default=20, gt=0, description="How long a channel may take for one message.")
    alert_retry_seconds: float = Field(
        default=60, ge=0, description="How long one run goes on trying a channel that fails; later runs try on."
    )
    alert_give_up_hours: float = Field(default=72, gt=0, description="When a message that never arrives is given up.")
    alert_digest_above: int = Field(default=5, ge=1, description="More messages than this at once are told in one.")

    @field_validator("task_runner")
    @classmethod
    def _runner_is_known(cls, value: str) -> str:
        if value != "threads":
            _dask_address(value)
        return value

    @field_validator("images_layout")
    @classmethod
    def _layout_parses(cls, value: str) -> str:
        KeyLayout(value)
        return value

    @field_validator("alert_streams")
    @classmethod
    def _keys_can_name_streams(cls, value: str) -> str:
        for key in _keys(value):
            if key in ("line", "shift") or re.search(r"[=/\x00-\x1f]", key):
                raise ValueError(f"{key!r} is no key of table part_attribute; name keys such as mould, commas between")
        return value

    @field_validator("alert_urls")
    @classmethod
    def _channels_can_be_opened(cls, value: SecretStr) -> SecretStr:
        parse_channels(value.get_secret_value())
        return value

    @field_validator("alert_link")
    @classmethod
    def _link_can_be_filled(cls, value: str | None) -> str | None:
        try:
            (value or "").format(alert_id=1, line="", kind="")
        except (LookupError, ValueError) as error:
            raise ValueError("only {alert_id}, {line} and {kind} can be filled in; write other braces twice") from error
        return value

    @field_validator("images_timezone", "alert_timezone", "schedule_timezone")
    @classmethod
    def _timezone_exists(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is not a time zone; write it like Europe/Berlin") from error
        return value

    @cached_property
    def layout(self) -> KeyLayout:
        """How keys are read."""
        return KeyLayout(self.images_layout, timezone=ZoneInfo(self.images_timezone))

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """The channels that alerts are sent to."""
        return parse_channels(self.alert_urls.get_secret_value())

    @property
    def stream_keys(self) -> tuple[str, ...]:
        """The part attributes whose values are watched as streams of their own."""
        return _keys(self.alert_streams)

    @property
    def dask_address(self) -> str | None:
        """The scheduler that gives the chunks to its workers, as Dask writes it; None where threads judge them."""
        return None if self.task_runner == "threads" else _dask_address(self.task_runner)

    @property
    def who(self) -> str:
        """Who answers for what this process changes."""
        if self.user:
            return self.user
        try:
            return getpass.getuser()
        except (OSError, KeyError):
            # A container may run as a user that its system does not know.
            return f"uid {os.getuid()}"

    @property
    def postgres_folder(self) -> Path:
        """The data folder of the embedded Postgres."""
        return self.home.absolute() / "postgres"

    @property
    def images_root(self) -> str:
        """The URL that line images lie below."""
        return self.images_url or (self.home.absolute() / "bucket").as_uri()

    @property
    def models_root(self) -> str:
        """The URL that model artifacts lie below."""
        return self.models_url or (self.home.absolute() / "models").as_uri()

    @property
    def archive_root(self) -> str:
        """The URL that archived months lie below."""
        return self.archive_url or (self.home.absolute() / "archive").as_uri()

    def storage_options(self, url: str) -> dict[str, Any]:
        """The options that fsspec takes for a URL; what is not set here comes from the usual AWS variables."""
        if not url.startswith(("s3://", "s3a://")):
            return {}
        secret = self.s3_secret_access_key
        given = {
            "key": self.s3_access_key_id,
            "secret": secret.get_secret_value() if secret else None,
            "endpoint_url": self.s3_endpoint_url,
            "client_kwargs": {"region_name": self.s3_region} if self.s3_region else None,
        }
        return {name: value for name, value in given.items() if value is not None}


def _keys(value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key.strip() for key in value.split(",") if key.strip()))


def _dask_address(value: str) -> str:
    """Raises ValueError where this is not the address of a scheduler."""
    transports = {"dask": "tcp", "dask+tls": "tls"}
    with suppress(ValueError):  # said of a port that is none
        parts = urlsplit(value)
        whole = value == f"{parts.scheme}://{parts.netloc}" and "@" not in value
        if parts.scheme in transports and parts.hostname and parts.port and whole:
            return f"{transports[parts.scheme]}://{parts.netloc}"
    raise ValueError(
        "write threads, or the address of a Dask scheduler: dask://HOST:PORT, dask+tls://HOST:PORT where it asks for "
        "certificates"
    )


def load_settings() -> Settings:
    """Read the environment. Raises pydantic.ValidationError, naming each variable that cannot be used."""
    return Settings()


def use_home(home: Path) -> None:
    """Let this process and those it starts use another home."""
    os.environ["CASTING_HOME"] = str(home)


def use_measured(home: Path, device: str) -> None:
    """Let this process measure on a plant of its own, whatever plant the environment names."""
    for name in [name for name in os.environ if name.startswith("CASTING_") or name == "PREFECT_API_URL"]:
        del os.environ[name]
    os.environ.update(
        CASTING_HOME=str(home), CASTING_DEVICE=device, CASTING_SETTLE_SECONDS="0", PREFECT_HOME=str(home / "prefect")
    )


def inherited_environment() -> dict[str, str]:
    """What this process was started with, for those that it starts."""
    return dict(os.environ)


def given_prefect_server() -> str | None:
    """The Prefect server that the environment names."""
    return os.environ.get("PREFECT_API_URL") or None


def prefect_environment(settings: Settings, *, api_url: str | None = None) -> dict[str, str]:
    """What Prefect is to read from the environment of every process of ours, as far as nobody has set it.

    Its state lies in our home, and it reports nothing to anyone.
    """
    environment = {
        "PREFECT_HOME": str(settings.home.absolute() / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    if api_url is not None:
        environment["PREFECT_API_URL"] = api_url
    if settings.prefect_auth is not None:
        environment["PREFECT_API_AUTH_STRING"] = settings.prefect_auth.get_secret_value()
    return environment


def tell_nobody() -> None:
    """Let this process and those it starts send alerts to no channel, whatever is set."""
    os.environ.pop("CASTING_ALERT_URLS", None)


def configure_prefect(settings: Settings, *, verbose: bool = False) -> None:
    """Set what Prefect reads from the environment when it is first imported, where nobody has set it.

    The server of a `casting up` on this home is used; without one, and without one of the plant's own, each command
    starts a server for the time that it runs.
    """
    # Prefect makes a folder of its own in it, but none above that. Where it cannot be made, the database says why.
    with suppress(OSError):
        settings.home.absolute().mkdir(parents=True, exist_ok=True)
    running = read_running(settings.home)
    api_url = running.api_url if running is not None and running.phase == "up" else None
    defaults = prefect_environment(settings, api_url=api_url) | {
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        # On a busy machine that server takes longer to come up than the 20 s that Prefect waits for it.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        # A command says itself how its flow ended; Prefect would add the traceback of every error we expect.
        "PREFECT_LOGGING_LEVEL": "INFO" if verbose else "CRITICAL",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
