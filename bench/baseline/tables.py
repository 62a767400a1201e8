"""Make the tables and the measured link: `python -m bench.baseline.tables`."""

from bench.baseline.models import URL, Event, database
from bench.links import TARGET, WARM

if __name__ == "__main__":
    database.create_tables([URL, Event])
    URL(short_code=WARM, original_url=TARGET, user_id=1).save()
