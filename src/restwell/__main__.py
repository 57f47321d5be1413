"""``python -m restwell`` is the ``restwell`` command."""

from restwell.cli import main

if __name__ == "__main__":
    main()
