"""`python -m service ROLE`: every process of the service starts here."""

from service.cli import main

if __name__ == "__main__":
    main()
