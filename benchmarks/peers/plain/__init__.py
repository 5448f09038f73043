"""The same Celery without results."""

from dataclasses import replace

from benchmarks.peers.stock import CONTESTANT as STOCK

CONTESTANT = replace(STOCK, name="plain", title="stock Celery, no results", module="stock", environment={})
