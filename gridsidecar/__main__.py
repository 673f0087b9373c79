"""`python -m gridsidecar`."""

from gridsidecar.cli import main

if __name__ == "__main__":
    main()
