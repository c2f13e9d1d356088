"""`python -m flows` is the `casting` command."""

from flows.cli import app

if __name__ == "__main__":
    app(prog_name="casting")
