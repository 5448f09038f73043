"""The service: work taken over HTTP, done on Celery, accounted for in a database."""

NAME = "{{ cookiecutter.project_slug }}"
