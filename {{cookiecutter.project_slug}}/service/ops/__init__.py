"""The operator's page: one folder, mounted by one line of `api/app.py`; deleting both leaves the service whole."""
