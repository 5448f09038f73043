"""`python -m service check` on empty embedded stores: the policy and the settings, where no server runs."""

import subprocess
import sys
import tempfile
from pathlib import Path

from local.broker import BrokerError
from local.stores import service, stores

if __name__ == "__main__":
    try:
        with tempfile.TemporaryDirectory() as folder, stores(Path(folder)) as variables:
            print(service(variables, "check"), end="")
    except BrokerError as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
