"""Runs the hourly flow again and again in one process, as a worker of months would: python -m tests.soak.scoring 20."""

import sys
import time


def main(every, leak):
    """Score every so many seconds; with a planted leak each run keeps so many MiB, a file and a connection."""
    from flows.settings import configure_prefect, load_settings

    settings = load_settings()
    configure_prefect(settings)
    from flows.resources import open_resources
    from flows.score import score

    kept = []
    while True:
        began = time.monotonic()
        try:
            score()
        except Exception as error:  # noqa: BLE001 - as after a failed hourly run, the next one makes up for it
            sys.stdout.write(f"A run failed: {type(error).__name__}: {error}\n")
        if leak:
            engine = open_resources(settings).engine
            kept.append((bytearray(leak * 2**20), open("/dev/null"), engine.raw_connection().detach()))  # noqa: PTH123, SIM115
        sys.stdout.write(".")
        sys.stdout.flush()
        time.sleep(max(0.0, every - (time.monotonic() - began)))


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
