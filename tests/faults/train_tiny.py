"""A small distillation as a script, to be stopped; checkpoints go to `checkpoints`."""

from pathlib import Path

from killed import distilled

from cxrfmkd.runtime.arguments import run


def main() -> None:
    if not Path("trained").is_dir():
        distilled(Path("checkpoints/tiny"), Path("trained"))


if __name__ == "__main__":
    run(main)
