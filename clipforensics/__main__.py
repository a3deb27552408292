"""`python -m clipforensics` is the command line."""

from clipforensics.cli.app import main

if __name__ == "__main__":
    main()
