"""`python -m sweeps` is the console script `fairfm`, for jobs that carry their own code."""

from sweeps.cli import main

if __name__ == "__main__":
    main()
