"""Error events: Sentry, where SENTRY_DSN says so; otherwise it is not even imported."""

from service.config import Settings


def configure(settings: Settings, role: str) -> None:
    """Send events to Sentry, without payloads or personal data."""
    dsn = settings.sentry_dsn.get_secret_value()
    if not dsn:
        return
    import sentry_sdk

    # Listing no integration keeps it from importing every framework that it finds installed.
    sentry_sdk.init(
        dsn=dsn,
        release=settings.service_version,
        environment=settings.environment,
        server_name=role,
        send_default_pii=False,
        include_local_variables=False,
        auto_enabling_integrations=False,
    )
