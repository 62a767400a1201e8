"""Tables and connection pool."""

import os

from peewee import (
    AutoField,
    BigIntegerField,
    BooleanField,
    CharField,
    DateTimeField,
    Model,
    TextField,
)
from playhouse.db_url import connect

# Eight request threads and two of the event writer, of one worker.
database = connect(
    os.environ["BASELINE_POSTGRES_URL"].replace("postgres://", "postgresql+pool://", 1),
    max_connections=20,
    stale_timeout=300,
)


class URL(Model):
    """A link."""

    id = AutoField()
    short_code = CharField(unique=True)
    original_url = TextField()
    user_id = BigIntegerField()
    is_active = BooleanField(default=True)

    class Meta:
        """Peewee's options."""

        database = database
        table_name = "baseline_urls"


class Event(Model):
    """What happened to a link."""

    id = AutoField()
    url_id = BigIntegerField(index=True)
    user_id = BigIntegerField(index=True)
    event_type = CharField(index=True)
    timestamp = DateTimeField(index=True)
    details = TextField()

    class Meta:
        """Peewee's options."""

        database = database
        table_name = "baseline_events"
        indexes = ((("url_id", "event_type"), False),)
