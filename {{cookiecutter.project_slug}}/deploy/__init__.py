"""Where the service runs, who hears of its deploys, and what watches over it."""

# Whom it belongs to, as tags and addresses name it.
TEAM = "{{ cookiecutter.owner | slugify or cookiecutter.project_slug }}"
