from .parser import Commands


def add(commands: Commands) -> None:
    pass
